"""The company's booking system links orders, submits calls and asks for their state."""

from __future__ import annotations

from typing import Any

import pytest
import requests

import partners
import scenarios
from relay import Relay
from scenarios import LARGE_ID, Stage


def test_unsigned_request_is_rejected(relay: Relay) -> None:
    api = relay.connection.api_url
    for method, path in (
        ("GET", "/orders/tsy/P-1"),
        ("PUT", "/orders/tsy/P-1"),
        ("POST", "/calls/ship-notify"),
        ("GET", "/calls/ship-notify/1"),
    ):
        answer = requests.request(method, api + path, data="{}", timeout=30)
        assert answer.status_code == 404 and "not signed" in answer.json()["message"], answer.text


def test_unknown_order_is_not_found(stage: Stage) -> None:
    assert stage.relay.ask_order("tsy", stage.new_id("P")).status_code == 404
    assert stage.relay.ask_order("nobody", stage.new_id("P")).status_code == 404


def test_linked_order_shows_its_link(stage: Stage) -> None:
    order_id = stage.new_order("sctt")
    link = scenarios.fliggy_ship(stage.new_alitrip_id(), tickets=1)
    stage.link("sctt", order_id, link)
    order = stage.relay.order("sctt", order_id)
    assert (order["partner"], order["order_id"]) == ("sctt", order_id)
    assert order["link"]["fliggy_ship"]["main_biz_order_id"] == LARGE_ID
    assert order["notifications"] == [] and order["calls"] == []


def test_later_link_replaces_the_earlier_link(stage: Stage) -> None:
    order_id = stage.new_order("tsy")
    stage.link("tsy", order_id, scenarios.happytrip_flight([]))
    stage.notify_tsy(partners.tsy_issued(order_id))
    stage.await_notifications("tsy", order_id, "waiting")
    stage.link("tsy", order_id, scenarios.happytrip_flight(["781-1234567890"]))
    stage.await_calls("tsy", order_id, "itinerary-postback", "succeeded")
    assert stage.sent("itinerary-postback", order_id)["ticket_no_list"] == ["781-1234567890"]


def _ship_link(**changes: Any) -> dict[str, Any]:
    link = scenarios.fliggy_ship("1", tickets=1)
    link["fliggy_ship"].update(changes)
    return link


@pytest.mark.parametrize(
    ("partner", "link", "field"),
    [
        ("tsy", b"", "empty"),
        ("tsy", b"{", "JSON"),
        ("tsy", b'{"happytrip_flight": {"tes_head_id": 1, "tes_head_id": 2, "ticket_no_list": []}}', "tes_head_id"),
        ("tsy", [], "object"),
        ("tsy", {}, ""),
        ("tsy", {"train": {}}, "train"),
        ("tsy", {"happytrip_flight": {"cwt_account_no": "1", "ticket_no_list": []}}, "tes_head_id"),
        ("sctt", _ship_link(surprise=1), "surprise"),
        ("sctt", _ship_link(alitrip_order_id=None), "alitrip_order_id"),
        ("sctt", _ship_link(total_price="much"), "total_price"),
        ("sctt", _ship_link(passenger_list=[{"ticket_list": [{"ticket_id": "1"}]}]), "ticket_list[0]"),
        ("sctt", {"fliggy_ticket": {"order_id": "one"}}, "order_id"),
    ],
)
def test_invalid_link_is_rejected_with_the_field_name(stage: Stage, partner: str, link: Any, field: str) -> None:
    order_id = stage.new_id("X")
    answer = stage.relay.link(partner, order_id, link)
    assert answer.status_code == 400, answer.text
    assert field in answer.text
    assert stage.relay.ask_order(partner, order_id).status_code == 404


def test_same_call_is_replayed_and_another_body_under_its_key_is_rejected(stage: Stage) -> None:
    order_id, key = stage.new_order("sctt"), stage.new_id("redemption")
    redemption = scenarios.ticket_redemption(order_id)
    first = stage.relay.submit("ticket-verify", redemption, idempotency_key=key)
    assert first.status_code == 202 and "Idempotent-Replayed" not in first.headers
    stage.await_submitted("ticket-verify", key, "succeeded")
    again = stage.relay.submit("ticket-verify", redemption, idempotency_key=key)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert again.json()["state"] == "succeeded"
    other = stage.relay.submit("ticket-verify", {**redemption, "check_num": 2}, idempotency_key=key)
    assert other.status_code == 422, other.text
    stage.wait_until_idle()
    assert len(stage.entries("ticket-verify", order_id)) == 1


@pytest.mark.parametrize("write_off_type", [0, 1], ids=["once", "total"])
def test_refused_call_can_be_submitted_again_with_a_corrected_body(stage: Stage, write_off_type: int) -> None:
    order_id, key = stage.new_order("sctt"), stage.new_id("redemption")
    redemption = _redemption(stage, order_id, write_off_type)
    stage.simulator.fail("ticket-verify", order_id, "business_failure")
    stage.relay.submit("ticket-verify", redemption, idempotency_key=key)
    stage.await_submitted("ticket-verify", key, "refused")
    answer = stage.relay.submit("ticket-verify", {**redemption, "total_num": 2}, idempotency_key=key)
    assert answer.status_code == 202, answer.text
    stage.await_submitted("ticket-verify", key, "succeeded")
    assert str(stage.sent("ticket-verify", order_id)["total_num"]) == "2"


def test_key_of_a_total_is_rejected_for_another_request(stage: Stage) -> None:
    order_id, key = stage.new_order("sctt"), stage.new_id("redemption")
    total = _redemption(stage, order_id, write_off_type=1)
    stage.relay.submit("ticket-verify", total, idempotency_key=key)
    stage.await_submitted("ticket-verify", key, "succeeded")
    for change in ({"total_num": 2}, {"order_id": int(stage.new_alitrip_id())}, {"write_off_type": 0}):
        answer = stage.relay.submit("ticket-verify", total | change, idempotency_key=key)
        assert answer.status_code == 422, f"{change}: {answer.text}"
    stage.wait_until_idle()
    assert len(stage.entries("ticket-verify", order_id)) == 1


def _redemption(stage: Stage, order_id: str, write_off_type: int) -> dict[str, Any]:
    """A redemption of a separate order, because the totals of one order are sent one after the other."""
    own = {"order_id": int(stage.new_alitrip_id()), "write_off_type": write_off_type}
    return scenarios.ticket_redemption(order_id) | own


def test_ship_notification_is_submitted_under_its_business_key(stage: Stage) -> None:
    alitrip_id = stage.new_alitrip_id()
    request = {"alitrip_order_id": alitrip_id, "agent_order_id": "A-1", "success": False, "failed_code": "1"}
    assert stage.relay.submit("ship-notify", request).status_code == 202
    stage.await_submitted("ship-notify", alitrip_id, "succeeded")
    assert stage.sent("ship-notify", alitrip_id)["success"] is False


@pytest.mark.parametrize(
    ("call", "request_body", "key", "field"),
    [
        ("ticket-verify", {"order_id": 1, "confirm_code": "1"}, None, "Idempotency-Key"),
        ("ship-notify", {"alitrip_order_id": "1", "agent_order_id": "1", "success": True}, "k", "Idempotency-Key"),
        ("ship-notify", {"alitrip_order_id": "1", "success": True}, None, "agent_order_id"),
        ("ship-notify", {"alitrip_order_id": "1", "agent_order_id": "1"}, None, "success"),
        ("itinerary-postback", {"out_relation_order_id": "1", "tes_head_id": "1"}, None, "ticket_no_list"),
        ("ticket-verify", {"check_num": "one"}, "k-1", "check_num"),
        ("ticket-verify", {"voucher_infos": {}}, "k-2", "voucher_infos"),
        ("ticket-verify", {"surprise": 1}, "k-3", "surprise"),
        ("ticket-verify", b"", "k-4", "empty"),
        ("ticket-verify", b"[", "k-5", "JSON"),
        ("ticket-verify", b'{"order_id": 1, "check_num": 1, "check_num": 2}', "k-7", "check_num"),
        ("ticket-verify", [], "k-6", "object"),
    ],
)
def test_invalid_call_is_rejected_with_the_field_name(
    relay: Relay, call: str, request_body: Any, key: str | None, field: str
) -> None:
    answer = relay.submit(call, request_body, idempotency_key=key)
    assert answer.status_code == 400, answer.text
    assert field in answer.text
    if key is not None:
        assert relay.ask_call(call, key).status_code == 404


def test_unknown_call_is_not_found(stage: Stage) -> None:
    assert stage.relay.ask_call("ship-notify", stage.new_id("none")).status_code == 404
    assert stage.relay.ask_call("train-notify", "1").status_code == 404
    assert stage.relay.submit("train-notify", {}).status_code == 404
