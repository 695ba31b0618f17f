"""What all four functions share: the AWS session, the DynamoDB client, and steps that are taken once."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from typing import Any

import boto3
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)

#: Top-level members that differ from one delivery of a notification to the next.
_CHANGES_ON_RESEND = ("sign", "request_time")
_DAY_SECONDS = 24 * 60 * 60

# Lambda sets this variable; boto3 by itself reads AWS_DEFAULT_REGION alone.
aws = boto3.Session(region_name=os.environ["AWS_REGION"])
dynamodb = aws.client("dynamodb")
config = IdempotencyConfig(expires_after_seconds=_DAY_SECONDS)

#: Makes a function idempotent on its keyword argument `key`.
once = functools.partial(
    idempotent_function,
    data_keyword_argument="key",
    persistence_store=DynamoDBPersistenceLayer(os.environ["IDEMPOTENCY_TABLE"], boto3_client=dynamodb),
    config=config,
)


def to_json(value: Any) -> str:
    """JSON without blanks, with Chinese text as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def digest(payload: dict[str, Any]) -> str:
    """The same for a notification that is sent again, whatever the order of its members."""
    lasting = {name: value for name, value in payload.items() if name not in _CHANGES_ON_RESEND}
    # As ASCII, so that half a surrogate pair can be digested too.
    return hashlib.sha256(json.dumps(lasting, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
