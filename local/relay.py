"""A client for a running relay, for requests of the two partners and the company's booking system."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import requests

from aws import LocalAws
from connection import Connection
from partners import ScttSigner

_HTTP_TIMEOUT_SECONDS = 60
_FIRST_ERROR_STATUS = 400


class Relay:
    """Sends requests to one stack, and keeps the error bodies it returns (a test searches them for secrets)."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.aws = LocalAws(connection.aws_endpoint_url)
        self.signer = ScttSigner(connection.sctt_merchant_id, connection.sctt_secret)
        self.error_bodies: list[str] = []

    def push_tsy(self, body: Any, url: str | None = None) -> requests.Response:
        """Posts an issue notification; sends bytes unchanged and anything else as JSON."""
        return self._push(url or self.connection.tsy_url, body)

    def push_sctt(self, body: dict[str, Any], url: str | None = None) -> requests.Response:
        """Posts a voucher push, signed with the current time."""
        return self.push_sctt_as_is(self.signer.sign(body), url)

    def push_sctt_as_is(self, body: Any, url: str | None = None) -> requests.Response:
        """Posts a voucher push without adding a signature."""
        return self._push(url or self.connection.sctt_url, body)

    def link(self, partner: str, order_id: str, link: Any) -> requests.Response:
        """Links an order with the data of the booking system."""
        return self._signed("PUT", _order_path(partner, order_id), link)

    def order(self, partner: str, order_id: str) -> dict[str, Any]:
        """Returns everything that the relay knows about an order; raises if the order is unknown."""
        answer = self.ask_order(partner, order_id)
        answer.raise_for_status()
        return answer.json()

    def ask_order(self, partner: str, order_id: str) -> requests.Response:
        """Requests an order; returns the response, even an error."""
        return self._signed("GET", _order_path(partner, order_id))

    def replay(self, partner: str, order_id: str) -> requests.Response:
        """Replays an order."""
        return self._signed("POST", f"{_order_path(partner, order_id)}/replay")

    def attention(self, **query: str | int) -> requests.Response:
        """Lists the items that need attention."""
        return self._signed("GET", "/attention" + ("?" + urlencode(query) if query else ""))

    def resume(self, call: str) -> requests.Response:
        """Ends the pause of a call."""
        return self._signed("POST", f"/breakers/{quote(call, safe='')}/resume", {"note": "done"})

    def resolve(self, call: str, key: str, answer: Any) -> requests.Response:
        """Resolves a call."""
        return self._signed("POST", f"/calls/{quote(call, safe='')}/{quote(key, safe='')}/resolve", answer)

    def submit(self, call: str, request: Any, idempotency_key: str | None = None) -> requests.Response:
        """Submits one call to TOP."""
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return self._signed("POST", f"/calls/{quote(call, safe='')}", request, headers)

    def ask_call(self, call: str, key: str) -> requests.Response:
        """Requests the state of a call."""
        return self._signed("GET", f"/calls/{quote(call, safe='')}/{quote(key, safe='')}")

    def _push(self, url: str, body: Any) -> requests.Response:
        answer = requests.post(
            url, data=_encoded(body), headers={"Content-Type": "application/json"}, timeout=_HTTP_TIMEOUT_SECONDS
        )
        return self._kept(answer)

    def _signed(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> requests.Response:
        content = b"" if body is None else _encoded(body)
        named = {"Content-Type": "application/json", **(headers or {})}
        return self._kept(self.aws.signed_request(method, self.connection.api_url + path, content, named))

    def _kept(self, answer: requests.Response) -> requests.Response:
        if answer.status_code >= _FIRST_ERROR_STATUS:
            self.error_bodies.append(answer.text)
        return answer


def _encoded(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()


def _order_path(partner: str, order_id: str) -> str:
    return f"/orders/{quote(partner, safe='')}/{quote(order_id, safe='')}"
