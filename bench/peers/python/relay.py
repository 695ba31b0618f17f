"""Shared code of the four functions: the AWS session, the DynamoDB client, and idempotent steps."""

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

#: Top-level members that differ between deliveries of the same notification.
_CHANGES_ON_RESEND = ("sign", "request_time")
_DAY_SECONDS = 24 * 60 * 60

# Lambda sets AWS_REGION, but boto3 by default reads only AWS_DEFAULT_REGION.
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
    """JSON without spaces, with unescaped Chinese text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def digest(payload: dict[str, Any]) -> str:
    """A digest that is the same for each delivery of a notification, in any order of its members."""
    lasting = {name: value for name, value in payload.items() if name not in _CHANGES_ON_RESEND}
    # ASCII output, because UTF-8 cannot encode half a surrogate pair.
    return hashlib.sha256(json.dumps(lasting, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
