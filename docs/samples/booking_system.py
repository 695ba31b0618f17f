"""A booking system's client: links orders, submits calls, waits for outcomes, and follows order events.

It needs boto3 and requests, and credentials from the same sources as the AWS CLI. The caller may `execute-api:Invoke`;
to follow events it also needs a queue of its own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import boto3
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

_SECONDS = 30
_FIRST_ERROR = 400
_SERVER_ERROR = 500
_TRIES = 5
#: A call in one of these states ends without a further step of the relay.
_FINAL = {"succeeded", "refused", "unknown", "withdrawn"}


class RelayError(Exception):
    """The relay refused a request. `field` names the wrong member, if there is one."""

    def __init__(self, status: int, message: str, field: str | None) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.field = status, field


class TicketRelay:
    """The API of one deployment. `api_url` is the stack's output `ApiUrl`."""

    def __init__(self, api_url: str, session: boto3.Session | None = None) -> None:
        self._url = api_url
        self._session = session or boto3.Session()

    def link(self, partner: str, order_id: str, link: dict[str, Any]) -> dict[str, Any]:
        """Says which order at Fliggy or Happytrip belongs to a partner's order. Repeating it does no harm."""
        return self._ask("PUT", f"/orders/{partner}/{quote(order_id, safe='')}", link)

    def submit(self, call: str, request: dict[str, Any], key: str | None = None) -> dict[str, Any]:
        """Submits a call to TOP. The same key with the same request is one call, however often it is sent."""
        return self._ask("POST", f"/calls/{call}", request, {} if key is None else {"Idempotency-Key": key})

    def wait(self, call: str, key: str, seconds: float = 60) -> dict[str, Any]:
        """Polls a call until it has ended, at most this long, and returns it as it is then."""
        deadline, pause = time.monotonic() + seconds, 0.5
        while True:
            seen = self._ask("GET", f"/calls/{call}/{quote(key, safe='')}")
            if seen["state"] in _FINAL or time.monotonic() + pause > deadline:
                return seen
            time.sleep(pause)
            pause = min(2 * pause, 10)

    def _ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """Signs and sends a request. Repeats it after a server error or no answer: every request here is idempotent."""
        data = None if body is None else json.dumps(body)
        for attempt in range(1, _TRIES + 1):
            request = AWSRequest(
                method, self._url + path, {"Content-Type": "application/json", **(headers or {})}, data
            )
            credentials, region = self._session.get_credentials(), self._session.region_name
            SigV4Auth(credentials, "execute-api", region).add_auth(request)
            try:
                answer = requests.request(
                    method, request.url, data=data, headers=dict(request.headers), timeout=_SECONDS
                )
            except requests.RequestException:
                if attempt == _TRIES:
                    raise
            else:
                if answer.status_code < _FIRST_ERROR:
                    return answer.json()
                if answer.status_code < _SERVER_ERROR or attempt == _TRIES:
                    told = answer.json()
                    raise RelayError(answer.status_code, told.get("message", ""), told.get("field"))
            time.sleep(0.2 * 2**attempt)
        raise AssertionError("unreachable")


class OrderEvents:
    """The order events that a queue receives. The queue's policy must let the topic send to it."""

    def __init__(self, queue_url: str, session: boto3.Session | None = None, **client: Any) -> None:
        self._url = queue_url
        self._sqs = (session or boto3.Session()).client("sqs", **client)

    def subscribe(self, topic_arn: str, queue_arn: str, filters: dict[str, list[str]], sns: Any) -> None:
        """Subscribes the queue to the stack's output `OrderEventsTopicArn`: only events that match the filters."""
        sns.subscribe(
            TopicArn=topic_arn,
            Protocol="sqs",
            Endpoint=queue_arn,
            Attributes={"RawMessageDelivery": "true", "FilterPolicy": json.dumps(filters)},
        )

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yields events without end.

        An event is deleted once the caller asks for the next one. It may come again, but is never lost: compare its
        `id` with those handled before.
        """
        while True:
            received = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10, WaitTimeSeconds=10)
            for message in received.get("Messages", []):
                yield json.loads(message["Body"])
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
