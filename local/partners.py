"""The two partners' notifications, as documented on the partners' pages, and SCTT's signature."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

#: SCTT documents no time zone for `request_time`; the relay assumes China's.
_CHINA = timezone(timedelta(hours=8))

#: SCTT's signature formula is not published. The local stack uses this one, in the relay's notation.
SCTT_SIGN_TEMPLATE = "{merchant_id}{request_time}{secret}"
SCTT_SIGN_HASH = "md5"

WAITING, BOOKED, FAILED, CANCELLED = 1, 2, 3, 4
CANCEL_FAILED, CANCEL_WAITING, CANCEL_DONE = 1, 2, 3
_PDF, _QR_CODE = 1, 3


def tsy_issued(order_id: str) -> dict[str, Any]:
    """TSY's IssueNotify for tickets that were issued."""
    return {"msg": "", "orderNo": f"TSY-{order_id}", "orderId": order_id, "type": "issued"}


def tsy_rejected(order_id: str, reason: str) -> dict[str, Any]:
    """TSY's IssueNotify for tickets that will not be issued."""
    return {"msg": reason, "orderNo": f"TSY-{order_id}", "orderId": order_id, "type": "rejected"}


def tsy_change_price(order_id: str) -> dict[str, Any]:
    """TSY's ChangePricePush, with the members that its page documents."""
    fee = {"departure": "PVG", "arrival": "HKG", "changeFee": "120.50", "currency": "CNY", "ticketDiffFee": "180"}
    return {
        "orderNum": f"TSY-C-{order_id}",
        "parentOrderNum": f"TSY-{order_id}",
        "informType": "Change_Price",
        "airPnr": "NF5XYZ",
        "pnr": "HX8K2P",
        "pnrList": ["HX8K2P"],
        "totalfee": "320.50",
        "feeList": [{**fee, "taxDiffFee": "20", "totalPricePer": "320.50"}],
        "segmentList": [{"departure": "PVG", "arrival": "HKG"}],
        "passengers": [{"name": "LUO/DAYOU"}],
        "paymentGate": "",
        "serialNum": "S-1",
        "merchantOrder": order_id,
        "permitVoid": "1",
        "data": {},
    }


def sctt_cancel(*orders: tuple[str, int]) -> dict[str, Any]:
    """SCTT's cancel push, unsigned: the cancellation status of each order."""
    entries = [
        {
            "trade_number": trade_number,
            "order_code": 123456,
            "cancel_type": 1,
            "cancel_status": cancel_status,
            "remark": "",
            "subjoin": {},
        }
        for trade_number, cancel_status in orders
    ]
    return {"orderlist": entries}


@dataclass(frozen=True)
class Voucher:
    """A voucher that counts as a ticket: the code to show at the gate, and its password."""

    confirmation: str
    verification: str


def sctt_push(
    trade_number: str,
    order_status: int,
    vouchers: Sequence[Voucher] = (),
    remark: str = "",
) -> dict[str, Any]:
    """SCTT's voucher push, unsigned, with a PDF next to the vouchers as in the published sample."""
    pdf = {
        "voucher_type": _PDF,
        "voucher_url": "https://example.test/v.pdf",
        "voucher_confirmation": "",
        "voucher_verification": "",
    }
    codes = [
        {
            "voucher_type": _QR_CODE,
            "voucher_url": "",
            "voucher_confirmation": voucher.confirmation,
            "voucher_verification": voucher.verification,
        }
        for voucher in vouchers
    ]
    group = {"confirmation_url": "https://example.test/c", "confirm_remarks": "", "voucherlist": [pdf, *codes]}
    return {
        "trade_number": trade_number,
        "order_code": 123456,
        "total_price": 120,
        "order_label": "string",
        "order_currency": "A$",
        "order_status": order_status,
        "certificate_mode": 2,
        "travel_itinerary_url": "http://example.test/i",
        "vouchers": [group] if vouchers else [],
        "surplus_quota": 25.58,
        "cancel_type": 1,
        "subjoin": {"processing": "", "itemid": "", "number": "", "cancel_id": "", "cancel_number": ""},
        "remark": remark,
    }


@dataclass(frozen=True)
class ScttSigner:
    """Adds the members that authenticate a push: merchant, time and signature."""

    merchant_id: str
    secret: str

    def sign(self, body: dict[str, Any], age_seconds: int = 0) -> dict[str, Any]:
        """The body, signed as if SCTT had sent it `age_seconds` ago."""
        sent = datetime.now(_CHINA) - timedelta(seconds=age_seconds)
        request_time = sent.strftime("%Y-%m-%d %H:%M:%S")
        signed_text = SCTT_SIGN_TEMPLATE.format(
            merchant_id=self.merchant_id, request_time=request_time, secret=self.secret
        )
        signature = hashlib.new(SCTT_SIGN_HASH, signed_text.encode()).hexdigest().upper()
        return {"merchant_id": int(self.merchant_id), "request_time": request_time, "sign": signature, **body}
