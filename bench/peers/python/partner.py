"""Receives a partner's notification: checks it, enqueues it once, and acknowledges it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import relay

_MAX_BODY_BYTES = 256 * 1024
_QUEUE_URL = os.environ["NOTIFICATIONS_QUEUE_URL"]
_HEADERS = {"content-type": "application/json"}

_sqs = relay.aws.client("sqs")


class Refused(Exception):
    """The request is rejected with this status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Intake:
    """A notification endpoint of one partner."""

    partner: str
    kind: str
    token_hashes: list[str]
    #: The body of the acknowledgement, exactly as the partner documents it.
    acknowledgement: str
    #: Builds an error body in the partner's format.
    refusal: Callable[[int, str], dict[str, Any]]
    #: Checks the payload's fields and returns its order id.
    order_id: Callable[[dict[str, Any]], str]

    def handle(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """Answers an event of API Gateway's proxy integration."""
        relay.config.register_lambda_context(context)
        try:
            self._check_token(event)
            self._enqueue(_payload(event))
        except Refused as refused:
            return self._refuse(refused.status, str(refused))
        except Exception:
            logging.exception("notification not enqueued; the partner must send it again")
            return self._refuse(500, "could not be stored; send it again")
        return _answer(200, self.acknowledgement)

    def _check_token(self, event: dict[str, Any]) -> None:
        token = (event.get("pathParameters") or {}).get("token") or ""
        presented = hashlib.sha256(token.encode()).hexdigest()
        # `sum` compares every hash, even after a match.
        if not sum(hmac.compare_digest(presented, known) for known in self.token_hashes):
            raise Refused(401, "not authorized")

    def _enqueue(self, payload: dict[str, Any]) -> None:
        order_id = self.order_id(payload)
        message = {"partner": self.partner, "kind": self.kind, "order_id": order_id, "payload": payload}
        _send(key=f"{self.partner}/{order_id}/{self.kind}/{relay.digest(payload)}", message=message)

    def _refuse(self, status: int, message: str) -> dict[str, Any]:
        return _answer(status, relay.to_json(self.refusal(status, message)))


@relay.once
def _send(*, key: str, message: dict[str, Any]) -> str:  # noqa: ARG001
    return _sqs.send_message(QueueUrl=_QUEUE_URL, MessageBody=relay.to_json(message))["MessageId"]


def filled_text(payload: dict[str, Any], field: str) -> str:
    """Returns a field as a string; raises Refused unless it is a string that is not empty, or a number."""
    if field not in payload:
        raise Refused(400, f"field {field} is missing")
    value = payload[field]
    if value == "" or isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Refused(400, f"field {field} must be a non-empty string")
    return str(value)


def _payload(event: dict[str, Any]) -> dict[str, Any]:
    body = event.get("body") or ""
    data = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    if len(data) > _MAX_BODY_BYTES:
        raise Refused(413, "the body is larger than 256 KiB")
    try:
        payload = json.loads(data)
    except ValueError:
        raise Refused(400, "the body is not valid JSON") from None
    if not isinstance(payload, dict):
        raise Refused(400, "the body must be a JSON object")
    return payload


def _answer(status: int, body: str) -> dict[str, Any]:
    return {"statusCode": status, "headers": _HEADERS, "body": body}
