"""Receives SCTT's voucher push: an order's status, and its vouchers once the order is booked."""

from __future__ import annotations

import os
from typing import Any

import partner


def _order_id(payload: dict[str, Any]) -> str:
    status = partner.filled_text(payload, "order_status")
    if not status.lstrip("-").isdecimal():
        raise partner.Refused(400, "field order_status must be a whole number")
    if payload.get("trade_number") not in (None, ""):
        return partner.filled_text(payload, "trade_number")
    if payload.get("order_code") not in (None, ""):
        return partner.filled_text(payload, "order_code")
    raise partner.Refused(400, "field trade_number is missing, and so is order_code: send one of them")


handler = partner.Intake(
    partner="sctt",
    kind="voucher-push",
    token_hashes=os.environ["SCTT_TOKEN_HASHES"].split(","),
    acknowledgement='{"code":0,"msg":"ok","data":null}',
    refusal=lambda status, message: {"code": status, "msg": message, "data": None},
    order_id=_order_id,
).handle
