"""Tells Fliggy through TOP that a ship order's tickets were issued."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from urllib.parse import urlencode

import batch
import top
import urllib3
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.parameters import SecretsProvider

import relay

_GATEWAY_URL = os.environ["TOP_GATEWAY_URL"]
_SECRET_ID = os.environ["TOP_SECRET_ID"]
_SECRET_MAX_AGE_SECONDS = 5 * 60
_METHOD = "alitrip.ship.order.notify"
_RESPONSE = "alitrip_ship_order_notify_response"
_CHINA = timezone(timedelta(hours=8))
_HEADERS = {"content-type": "application/x-www-form-urlencoded;charset=utf-8", "accept": "application/json"}

_secrets = SecretsProvider(boto3_client=relay.aws.client("secretsmanager"))
# The queue retries, so the connection must not.
_top = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=10))


def _record(record: SQSRecord) -> None:
    request = record.json_body
    told = "issued" if request["success"] else "failed"
    _notify(key=f"{request['alitrip_order_id']}-{told}", request=record.body)


@relay.once
def _notify(*, key: str, request: str) -> str | None:  # noqa: ARG001
    answer = _top.request("POST", _GATEWAY_URL, body=_form(request), headers=_HEADERS).json()
    response = answer.get(_RESPONSE) or {}
    if response.get("ret_success") not in (True, "true"):
        error = answer.get("error_response") or response
        raise RuntimeError(f"TOP refused: code {error.get('code')}, sub_code {error.get('sub_code')}")
    return response.get("request_id")


def _form(request: str) -> str:
    credentials = _secrets.get(_SECRET_ID, max_age=_SECRET_MAX_AGE_SECONDS, transform="json")
    parameters = {
        "method": _METHOD,
        "app_key": credentials["app_key"],
        "session": credentials["session"],
        "timestamp": datetime.now(_CHINA).strftime("%Y-%m-%d %H:%M:%S"),
        "format": "json",
        "v": "2.0",
        "sign_method": "md5",
        "confirm_book_r_q": request,
    }
    parameters["sign"] = top.sign(credentials["app_secret"], parameters)
    return urlencode(parameters)


handler = batch.handler(_record)
