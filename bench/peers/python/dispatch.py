"""Decides which call a notification leads to, and enqueues it."""

from __future__ import annotations

import json
import os
from typing import Any

import batch
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

import relay

_ORDERS_TABLE = os.environ["ORDERS_TABLE"]
_SHIP_NOTIFY = os.environ["SHIP_NOTIFY_QUEUE_URL"]
_ITINERARY_POSTBACK = os.environ["ITINERARY_POSTBACK_QUEUE_URL"]
_BOOKED = "2"
_ISSUED = "2"
#: Bar code, QR code, confirmation number: the vouchers that have codes.
_WITH_CODES = ("2", "3", "4")

_sqs = relay.aws.client("sqs")


def _record(record: SQSRecord) -> None:
    notification = record.json_body
    order = f"{notification['partner']}#{notification['order_id']}"
    _dispatch(key=f"{order}/{relay.digest(notification['payload'])}", order=order, notification=notification)


@relay.once
def _dispatch(*, key: str, order: str, notification: dict[str, Any]) -> str | None:  # noqa: ARG001
    found = relay.dynamodb.get_item(TableName=_ORDERS_TABLE, Key={"order": {"S": order}}, ConsistentRead=True)
    link = json.loads(found["Item"]["link"]["S"]) if "Item" in found else {}
    call = decide(notification, link)
    if call is None:
        return None
    queue_url, request = call
    return _sqs.send_message(QueueUrl=queue_url, MessageBody=relay.to_json(request))["MessageId"]


def decide(notification: dict[str, Any], link: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The queue and the request of the call that the notification leads to, or None."""
    payload = notification["payload"]
    if notification["partner"] == "sctt":
        ship = link.get("fliggy_ship")
        if ship and str(payload["order_status"]) == _BOOKED:
            request = _ship_notify(payload, ship)
            return request and (_SHIP_NOTIFY, request)
    else:
        flight = link.get("happytrip_flight")
        if flight and flight.get("ticket_no_list") and payload["type"] == "issued":
            return _ITINERARY_POSTBACK, {"out_relation_order_id": notification["order_id"], **flight}
    return None


def _ship_notify(push: dict[str, Any], ship: dict[str, Any]) -> dict[str, Any] | None:
    vouchers = [voucher for group in push.get("vouchers") or [] for voucher in group.get("voucherlist") or []]
    codes = [voucher for voucher in vouchers if _has_codes(voucher)]
    passengers = ship["passenger_list"]
    tickets = [ticket for passenger in passengers for ticket in passenger.get("ticket_list") or []]
    if not codes or len(codes) != len(tickets):
        return None
    for ticket, voucher in zip(tickets, codes, strict=True):
        ticket["ticket_status"] = _ISSUED
        for name, source in (("e_ticket_no", "voucher_confirmation"), ("ticket_pwd", "voucher_verification")):
            if voucher.get(source):
                ticket[name] = str(voucher[source])
    return {
        "agent_order_id": ship["agent_order_id"],
        "alitrip_order_id": ship["alitrip_order_id"],
        **{name: ship[name] for name in ("main_biz_order_id", "total_price") if name in ship},
        **_order_attr(push, vouchers),
        "passenger_list": passengers,
        "success": True,
        "ticket_count": len(tickets),
    }


def _has_codes(voucher: dict[str, Any]) -> bool:
    filled = voucher.get("voucher_confirmation") or voucher.get("voucher_verification")
    return bool(filled) and str(voucher.get("voucher_type")) in _WITH_CODES


def _order_attr(push: dict[str, Any], vouchers: list[dict[str, Any]]) -> dict[str, str]:
    """The URLs that TOP has no separate field for."""
    groups = push.get("vouchers") or []
    addresses = {
        "travel_itinerary_url": push.get("travel_itinerary_url"),
        "confirmation_url": [group["confirmation_url"] for group in groups if group.get("confirmation_url")],
        "voucher_url": [voucher["voucher_url"] for voucher in vouchers if voucher.get("voucher_url")],
    }
    filled = {name: value for name, value in addresses.items() if value}
    return {"order_attr": relay.to_json(filled)} if filled else {}


handler = batch.handler(_record)
