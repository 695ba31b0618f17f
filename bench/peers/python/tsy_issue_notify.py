"""Receives TSY's issue notification: a flight's tickets were issued or rejected."""

from __future__ import annotations

import os
from typing import Any

import partner


def _order_id(payload: dict[str, Any]) -> str:
    for field in ("orderNo", "type"):
        partner.filled_text(payload, field)
    return partner.filled_text(payload, "orderId")


handler = partner.Intake(
    partner="tsy",
    kind="issue-notify",
    token_hashes=os.environ["TSY_TOKEN_HASHES"].split(","),
    acknowledgement='{"msg":"success","code":"0"}',
    refusal=lambda status, message: {"msg": message, "code": str(status)},
    order_id=_order_id,
).handle
