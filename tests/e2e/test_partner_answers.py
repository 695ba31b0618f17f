"""Tests the answers to the two partners through the real gateway, for valid and malformed requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import partners
import scenarios
from scenarios import LARGE_ID, Stage

_TOO_LARGE = 300 * 1024
_WINDOW_SECONDS = 600

#: Bodies that are not a notification, each with a string that the answer must contain.
_NOT_A_NOTIFICATION = [
    pytest.param(b"", "empty", id="empty"),
    pytest.param(b"null", "object", id="null"),
    pytest.param(b"[]", "object", id="a list"),
    pytest.param(b'"issued"', "object", id="a string"),
    pytest.param(b'{"orderId":"P-1","type":', "JSON", id="truncated"),
    pytest.param(b'\xff\xfe{"orderId":"P-1"}', "", id="invalid UTF-8"),
    pytest.param(b'{"msg":"\x01","orderId":"P-1"}', "JSON", id="a raw control character"),
]

_TSY_FAULTS = [
    pytest.param({"orderId": None}, "orderId", id="no order"),
    pytest.param({"orderId": ""}, "orderId", id="an empty order id"),
    pytest.param({"orderId": ["P-1"]}, "orderId", id="a list as order id"),
    pytest.param({"orderId": {"id": "P-1"}}, "orderId", id="an object as order id"),
    pytest.param({"orderId": "P\u00001"}, "orderId", id="a control character in the order id"),
    pytest.param({"type": None}, "type", id="no type"),
    pytest.param({"type": True}, "type", id="a boolean as type"),
]

_SCTT_FAULTS = [
    pytest.param({"order_status": None}, "order_status", id="no status"),
    pytest.param({"order_status": "booked"}, "order_status", id="a word as status"),
    pytest.param({"order_status": 1.5}, "order_status", id="half a status"),
    pytest.param({"trade_number": None, "order_code": None}, "order_code", id="no order"),
]

#: Members that the relay never reads, missing or with the wrong type.
_TSY_ODDITIES = [
    pytest.param({"orderNo": None}, id="no order number"),
    pytest.param({"orderNo": ["1"]}, id="a list as order number"),
    pytest.param({"msg": {}}, id="an object as message"),
]

_SCTT_ODDITIES = [
    pytest.param({"total_price": "much"}, id="a word as price"),
    pytest.param({"certificate_mode": {}}, id="an object as certificate mode"),
    pytest.param({"travel_itinerary_url": 7}, id="a number as URL"),
    pytest.param({"cancels": "never"}, id="a string as cancellation rules"),
]

_UNREADABLE_VOUCHERS = [
    pytest.param("none", id="a string as vouchers"),
    pytest.param([{"voucherlist": [{"voucher_type": "QR"}]}], id="a word as type"),
]

_CHANGE_PRICE_ODDITIES = [
    pytest.param({"informType": None}, id="no type"),
    pytest.param({"feeList": {}}, id="an object as list of fees"),
    pytest.param({"feeList": [{"changeFee": "much"}]}, id="a word as fee"),
]


def test_wrong_token_is_rejected_in_the_partners_format(stage: Stage) -> None:
    connection, relay = stage.relay.connection, stage.relay
    tsy, sctt = connection.tsy_url, connection.sctt_url
    for url, push, body in (
        (tsy, relay.push_tsy, partners.tsy_issued("P-1")),
        (connection.beside(tsy, "change-price-push"), relay.push_tsy, partners.tsy_change_price("P-1")),
        (connection.beside(tsy, "change-result-push"), relay.push_tsy, {}),
        (sctt, relay.push_sctt_as_is, partners.sctt_push("T-1", partners.BOOKED)),
        (connection.beside(sctt, "cancel-push"), relay.push_sctt_as_is, partners.sctt_cancel(("T-1", 3))),
    ):
        base, _, endpoint = url.rpartition("/")
        for wrong in (base[:-1], base + "x", base.rpartition("/")[0] + "/wrong"):
            answer = push(body, url=f"{wrong}/{endpoint}")
            assert answer.status_code == 401
            assert set(answer.json()) >= {"msg", "code"}


def test_token_of_one_partner_is_rejected_by_the_other_partners_endpoint(stage: Stage) -> None:
    connection = stage.relay.connection
    tsy_token, sctt_token = (url.split("/")[-2] for url in (connection.tsy_url, connection.sctt_url))
    crossed = connection.tsy_url.replace(tsy_token, sctt_token)
    assert stage.relay.push_tsy(partners.tsy_issued("P-1"), url=crossed).status_code == 401


@pytest.mark.parametrize(("body", "named"), _NOT_A_NOTIFICATION)
def test_invalid_body_is_rejected_and_quarantined(stage: Stage, body: bytes, named: str) -> None:
    _refused_and_kept(stage, "tsy", lambda: stage.relay.push_tsy(body), named)
    _refused_and_kept(stage, "sctt", lambda: stage.relay.push_sctt_as_is(body), named)


def test_equal_unreadable_bodies_share_one_entry_that_counts_deliveries(stage: Stage) -> None:
    body = json.dumps({"orderId": None, "msg": stage.new_id("unreadable")}).encode()
    for _ in range(3):
        _refused_and_kept(stage, "tsy", lambda: stage.relay.push_tsy(body), "orderId")
    entries = [entry for entry in _quarantined(stage, "tsy").values() if entry["body"]["B"] == body]
    assert [_deliveries(entry) for entry in entries] == [3]


@pytest.mark.parametrize(("change", "field"), _TSY_FAULTS)
def test_answer_to_tsy_names_the_invalid_field(stage: Stage, change: dict[str, Any], field: str) -> None:
    body = _changed(partners.tsy_issued(stage.new_id("P")), change)
    _refused_and_kept(stage, "tsy", lambda: stage.relay.push_tsy(body), field)


@pytest.mark.parametrize(("change", "field"), _SCTT_FAULTS)
def test_answer_to_sctt_names_the_invalid_field(stage: Stage, change: dict[str, Any], field: str) -> None:
    body = _changed(partners.sctt_push(stage.new_id("T"), partners.BOOKED), change)
    _refused_and_kept(stage, "sctt", lambda: stage.relay.push_sctt(body), field)


_CHANGE_PRICE_FAULTS = [
    pytest.param({"merchantOrder": None, "orderNum": None}, "merchantOrder", id="no order"),
    pytest.param({"merchantOrder": ["P-1"], "orderNum": {}}, "merchantOrder", id="a list as order id"),
]

_CANCEL_FAULTS = [
    pytest.param({"orderlist": None}, "orderlist", id="no list"),
    pytest.param({"orderlist": []}, "orderlist", id="an empty list"),
    pytest.param({"orderlist": [{"trade_number": "T-1"}]}, "cancel_status", id="no status"),
    pytest.param({"orderlist": [{"cancel_status": 3}]}, "trade_number", id="no order"),
]


@pytest.mark.parametrize(("change", "field"), _CHANGE_PRICE_FAULTS)
def test_answer_to_a_change_price_push_names_the_invalid_field(
    stage: Stage, change: dict[str, Any], field: str
) -> None:
    connection = stage.relay.connection
    url = connection.beside(connection.tsy_url, "change-price-push")
    body = _changed(partners.tsy_change_price(stage.new_id("P")), change)
    _refused_and_kept(stage, "tsy", lambda: stage.relay.push_tsy(body, url), field)


@pytest.mark.parametrize(("change", "field"), _CANCEL_FAULTS)
def test_answer_to_a_cancel_push_names_the_invalid_field(stage: Stage, change: dict[str, Any], field: str) -> None:
    connection = stage.relay.connection
    url = connection.beside(connection.sctt_url, "cancel-push")
    body = _changed(partners.sctt_cancel((stage.new_id("T"), partners.CANCEL_DONE)), change)
    _refused_and_kept(stage, "sctt", lambda: stage.relay.push_sctt(body, url), field)


@pytest.mark.parametrize("change", _TSY_ODDITIES)
def test_unread_members_of_an_issue_notification_are_not_checked(stage: Stage, change: dict[str, Any]) -> None:
    order_id = stage.new_order("tsy")
    stage.link("tsy", order_id, scenarios.happytrip_flight())
    stage.notify_tsy(_changed(partners.tsy_issued(order_id), change))
    stage.await_calls("tsy", order_id, "itinerary-postback", "succeeded")
    assert [entry.effect for entry in stage.entries("itinerary-postback", order_id)] == [True]


@pytest.mark.parametrize("change", _SCTT_ODDITIES)
def test_unread_members_of_a_voucher_push_are_not_checked(stage: Stage, change: dict[str, Any]) -> None:
    order_id, alitrip_id = stage.new_order("sctt"), stage.new_alitrip_id()
    stage.link("sctt", order_id, scenarios.fliggy_ship(alitrip_id, tickets=1))
    stage.notify_sctt(partners.sctt_push(order_id, partners.BOOKED, scenarios.vouchers(1)) | change)
    stage.await_calls("sctt", order_id, "ship-notify", "succeeded")
    assert [entry.request["success"] for entry in stage.entries("ship-notify", alitrip_id)] == [True]


@pytest.mark.parametrize("vouchers", _UNREADABLE_VOUCHERS)
def test_unreadable_vouchers_need_attention_only_if_the_ship_order_is_booked(stage: Stage, vouchers: Any) -> None:
    order_id, alitrip_id = stage.new_order("sctt"), stage.new_alitrip_id()
    stage.link("sctt", order_id, scenarios.fliggy_ship(alitrip_id, tickets=1))
    stage.notify_sctt(partners.sctt_push(order_id, partners.WAITING) | {"vouchers": vouchers})
    stage.await_notifications("sctt", order_id, "dispatched")
    stage.notify_sctt(partners.sctt_push(order_id, partners.BOOKED) | {"vouchers": vouchers})
    seen = stage.await_notifications("sctt", order_id, "attention", "dispatched")
    [reason] = [one["reason"] for one in seen if one["state"] == "attention"]
    assert "vouchers cannot be read" in reason
    stage.wait_until_idle()
    assert stage.entries("ship-notify", alitrip_id) == []


@pytest.mark.parametrize("change", _CHANGE_PRICE_ODDITIES)
def test_only_the_order_id_of_a_change_price_push_is_read(stage: Stage, change: dict[str, Any]) -> None:
    order_id, connection = stage.new_order("tsy"), stage.relay.connection
    body = _changed(partners.tsy_change_price(order_id), change)
    answer = stage.relay.push_tsy(body, connection.beside(connection.tsy_url, "change-price-push"))
    assert (answer.status_code, answer.text) == (200, scenarios.TSY_ACKNOWLEDGEMENT)
    [notification] = stage.await_notifications("tsy", order_id, "dispatched")
    assert notification["kind"] == "change-price-push"
    assert "no TOP call reports a change" in notification["reason"]


def test_byte_order_mark_before_a_push_is_ignored(stage: Stage) -> None:
    order_id = stage.new_order("tsy")
    answer = stage.relay.push_tsy(b"\xef\xbb\xbf" + json.dumps(partners.tsy_issued(order_id)).encode())
    assert (answer.status_code, answer.text) == (200, scenarios.TSY_ACKNOWLEDGEMENT)
    stage.await_notifications("tsy", order_id, "waiting")


def test_body_of_300_kib_is_too_large(stage: Stage) -> None:
    tsy = partners.tsy_rejected(stage.new_id("P"), "x" * _TOO_LARGE)
    sctt = partners.sctt_push(stage.new_id("T"), partners.BOOKED, remark="x" * _TOO_LARGE)
    for answer in (stage.relay.push_tsy(tsy), stage.relay.push_sctt(sctt)):
        assert answer.status_code == 413
        assert set(answer.json()) >= {"msg", "code"}


def test_unknown_fields_are_accepted_and_stored(stage: Stage) -> None:
    order_id = stage.new_order("tsy")
    stage.notify_tsy({**partners.tsy_issued(order_id), "batch": {"number": LARGE_ID}})
    [notification] = stage.await_notifications("tsy", order_id, "waiting")
    assert "batch" in notification["payload"]


def test_chinese_text_emoji_and_escaped_control_characters_are_accepted(stage: Stage) -> None:
    order_id = stage.new_id("P") + "-票🚢"
    stage.notify_tsy(partners.tsy_rejected(order_id, "无座 🚫 \u0001 \u2028"))
    stage.await_notifications("tsy", order_id, "attention")


def test_id_larger_than_a_float_can_hold_keeps_every_digit(stage: Stage) -> None:
    order_code = LARGE_ID * 10**6 + int(stage.new_id("").strip("-"))
    stage.notify_sctt(
        {**partners.sctt_push("", partners.WAITING), "order_code": order_code},
    )
    [notification] = stage.await_notifications("sctt", str(order_code), "dispatched")
    assert notification["kind"] == "voucher-push"


def test_numbers_as_strings_and_strings_as_numbers_are_accepted(stage: Stage) -> None:
    number = str(LARGE_ID * 10**9 + int(stage.new_id("").strip("-")))
    stage.notify_tsy({**partners.tsy_issued(number), "orderId": int(number)})
    stage.await_notifications("tsy", number, "waiting")
    order_id = stage.new_order("sctt")
    stage.notify_sctt({**partners.sctt_push(order_id, partners.WAITING), "order_status": "1", "total_price": "120.50"})
    stage.await_notifications("sctt", order_id, "dispatched")


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda signed: {**signed, "sign": "0" * 32}, id="a wrong signature"),
        pytest.param(lambda signed: _changed(signed, {"sign": None}), id="no signature"),
        pytest.param(lambda signed: {**signed, "merchant_id": signed["merchant_id"] + 1}, id="another merchant"),
        pytest.param(lambda signed: _changed(signed, {"merchant_id": None}), id="no merchant"),
        pytest.param(lambda signed: _changed(signed, {"request_time": None}), id="no time"),
        pytest.param(lambda signed: {**signed, "request_time": "2023-02-11 11:48:00"}, id="a time not signed"),
    ],
)
def test_unauthenticated_push_is_rejected(stage: Stage, spoil: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    signed = stage.relay.signer.sign(partners.sctt_push(stage.new_id("T"), partners.BOOKED))
    _refused(stage.relay.push_sctt_as_is(spoil(signed)), 401)


@pytest.mark.parametrize("age_seconds", [_WINDOW_SECONDS + 60, -_WINDOW_SECONDS - 60], ids=["past", "future"])
def test_push_with_a_request_time_outside_the_window_is_rejected(stage: Stage, age_seconds: int) -> None:
    push = partners.sctt_push(stage.new_id("T"), partners.BOOKED)
    _refused(stage.relay.push_sctt_as_is(stage.relay.signer.sign(push, age_seconds)), 401)


def test_rejected_push_creates_no_order(stage: Stage) -> None:
    order_id = stage.new_order("sctt")
    stage.relay.push_sctt_as_is(partners.sctt_push(order_id, partners.BOOKED, scenarios.vouchers(1)))
    assert stage.relay.ask_order("sctt", order_id).status_code == 404


def _changed(body: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """The body with some fields replaced; a change to None removes the field."""
    return {name: value for name, value in {**body, **change}.items() if value is not None}


def _refused_and_kept(stage: Stage, partner: str, push: Callable[[], Any], named: str) -> None:
    """Asserts that a push gets a 400 that contains `named`, is quarantined, and leads to no call."""
    kept_before, sent_before = _quarantined(stage, partner), len(stage.simulator.ledger())
    answer = push()
    _refused(answer, 400)
    assert named in answer.json()["msg"]
    kept = _quarantined(stage, partner)
    [entry] = [entry for sk, entry in kept.items() if _deliveries(entry) != _deliveries(kept_before.get(sk))]
    assert _deliveries(entry) == _deliveries(kept_before.get(entry["sk"]["S"])) + 1
    assert bytes(entry["body"]["B"]) == (answer.request.body or b"")
    assert "attention" in entry
    stage.wait_until_idle()
    assert len(stage.simulator.ledger()) == sent_before


def _refused(answer: Any, status: int) -> None:
    assert answer.status_code == status, answer.text
    refusal = json.loads(answer.text)
    assert isinstance(refusal["msg"], str)
    assert int(refusal["code"]) == status


def _quarantined(stage: Stage, partner: str) -> dict[str, dict[str, Any]]:
    """The unreadable bodies of a partner, by sort key. Equal bodies share one entry."""
    entries = stage.relay.aws.records(stage.relay.connection.table, f"quarantine#{partner}")
    return {entry["sk"]["S"]: entry for entry in entries}


def _deliveries(entry: dict[str, Any] | None) -> int:
    return int(entry["deliveries"]["N"]) if entry else 0
