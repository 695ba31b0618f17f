"""Stuck orders continue: the attention list, the operator's remedies, and the sweep."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

import partners
import scenarios
from relay import Relay
from scenarios import Stage
from sweeping import let_grace_pass
from test_queues import messages, unread
from waiting import eventually

#: The maximum page size, and a size that leads to many pages.
_LARGEST_PAGE, _SMALL_PAGE = 100, 2
#: The schedule's minute, plus a delay of MiniStack, which checks its schedules every ten seconds.
_NEXT_SWEEP_SECONDS = 90.0


def test_unsigned_request_learns_nothing_and_changes_nothing(stage: Stage) -> None:
    order_id = stage.new_order("tsy")
    stage.notify_tsy(partners.tsy_rejected(order_id, "No seats"))
    [before] = stage.await_notifications("tsy", order_id, "attention")
    api = stage.relay.connection.api_url
    for method, path in (
        ("GET", "/attention"),
        ("POST", f"/orders/tsy/{order_id}/replay"),
        ("POST", "/calls/ticket-verify/K-1/resolve"),
    ):
        answer = requests.request(method, api + path, data='{"outcome": "retry"}', timeout=30)
        assert answer.status_code == 404, f"{method} {path}: {answer.status_code} {answer.text}"
        assert order_id not in answer.text
    assert stage.await_notifications("tsy", order_id, "attention") == [before]


def test_attention_list_is_paged_oldest_first_with_reasons(stage: Stage) -> None:
    order_id, key = stage.new_order("tsy"), stage.new_id("redemption")
    stage.notify_tsy(partners.tsy_rejected(order_id, "No seats"))
    stage.await_notifications("tsy", order_id, "attention")
    unknown_redemption(stage, key, "timeout_after_effect")

    items = _listed(stage.relay, _LARGEST_PAGE)
    assert [item["since"] for item in items] == sorted(item["since"] for item in items)
    order, call = [item for item in items if order_id == item.get("order_id") or key == item.get("key")]
    assert (order["kind"], order["partner"], order["reasons"]) == ("order", "tsy", ["rejected"])
    assert (call["kind"], call["call"], call["reasons"]) == ("call", "ticket-verify", ["unknown"])
    assert order["reason"] and call["reason"], f"no reason: {order}, {call}"
    assert _listed(stage.relay, _SMALL_PAGE) == items

    # A resolved call leaves the list.
    assert stage.relay.resolve("ticket-verify", key, {"outcome": "succeeded"}).status_code == 202
    stage.await_submitted("ticket-verify", key, "succeeded")
    assert [item for item in _listed(stage.relay, _LARGEST_PAGE) if key == item.get("key")] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [({"limit": 0}, "limit"), ({"limit": 101}, "limit"), ({"limit": "all"}, "limit"), ({"after": "me"}, "after")],
)
def test_invalid_page_is_rejected_with_the_parameter_name(
    relay: Relay, query: dict[str, str | int], field: str
) -> None:
    answer = relay.attention(**query)
    assert (answer.status_code, answer.json()["field"]) == (400, field), answer.text


def test_replay_sends_a_refused_call_again(stage: Stage) -> None:
    order_id, alitrip_id = stage.new_order("sctt"), stage.new_alitrip_id()
    stage.link("sctt", order_id, scenarios.fliggy_ship(alitrip_id, tickets=1))
    stage.simulator.fail("ship-notify", alitrip_id, "business_failure")
    stage.notify_sctt(partners.sctt_push(order_id, partners.BOOKED, scenarios.vouchers(1)))
    [refused] = stage.await_calls("sctt", order_id, "ship-notify", "refused")
    stage.await_notifications("sctt", order_id, "attention")

    answer = stage.relay.replay("sctt", order_id)
    assert answer.status_code == 202, answer.text
    [succeeded] = stage.await_calls("sctt", order_id, "ship-notify", "succeeded")
    assert succeeded["key"] == refused["key"] == alitrip_id
    stage.await_notifications("sctt", order_id, "dispatched")
    assert [entry.outcome for entry in stage.entries("ship-notify", alitrip_id)] == ["business_failure", "success"]

    # The gateway reports the caller: the same one that linked the order.
    timeline = stage.relay.order("sctt", order_id)["timeline"]
    [linked] = [moment for moment in timeline if moment["event"] == "linked"]
    [replayed] = [moment for moment in timeline if "replayed" in moment["event"]]
    assert replayed["detail"] == linked["detail"] and replayed["detail"].startswith("by arn:")
    _assert_finished(stage, f"order#sctt#{order_id}")

    # A replay never repeats a call that succeeded.
    assert stage.relay.replay("sctt", order_id).status_code == 202
    stage.wait_until_idle()
    assert len(stage.entries("ship-notify", alitrip_id)) == 2


def test_order_without_a_notification_cannot_be_replayed(stage: Stage) -> None:
    order_id = stage.new_order("tsy")
    assert stage.relay.replay("tsy", order_id).status_code == 404
    stage.link("tsy", order_id, scenarios.happytrip_flight())
    assert stage.relay.replay("tsy", order_id).status_code == 404


def test_unknown_redemption_resolved_as_succeeded_is_not_sent_again(stage: Stage) -> None:
    key = stage.new_id("redemption")
    order_id = unknown_redemption(stage, key, "timeout_after_effect")
    for _ in range(2):  # The repeat simulates a lost first answer.
        answer = stage.relay.resolve("ticket-verify", key, {"outcome": "succeeded", "note": "seen in the back office"})
        assert answer.status_code == 202, answer.text
        call = stage.await_submitted("ticket-verify", key, "succeeded")
    resolved = call["history"][-1]
    assert (resolved["outcome"], resolved["note"]) == ("resolved_succeeded", "seen in the back office")
    assert resolved["owner"]
    assert stage.relay.resolve("ticket-verify", key, {"outcome": "retry"}).status_code == 409
    stage.wait_until_idle()
    assert [entry.effect for entry in stage.entries("ticket-verify", order_id)] == [True]
    _assert_finished(stage, f"submission#ticket-verify#key#{key}")


def test_unknown_redemption_resolved_as_retry_is_sent_again(stage: Stage) -> None:
    key = stage.new_id("redemption")
    order_id = unknown_redemption(stage, key, "timeout_before_effect")
    answer = stage.relay.resolve("ticket-verify", key, {"outcome": "retry", "note": "TOP has nothing of it"})
    assert answer.status_code == 202, answer.text
    call = stage.await_submitted("ticket-verify", key, "succeeded")
    assert [attempt["outcome"] for attempt in call["history"]] == ["unknown", "resolved_retry", "succeeded"]
    stage.wait_until_idle()
    assert [entry.effect for entry in stage.entries("ticket-verify", order_id)] == [False, True]
    _assert_finished(stage, f"submission#ticket-verify#key#{key}")


def test_unknown_redemption_resolved_as_rejected_is_refused(stage: Stage) -> None:
    key = stage.new_id("redemption")
    order_id = unknown_redemption(stage, key, "timeout_before_effect")
    answer = stage.relay.resolve("ticket-verify", key, {"outcome": "rejected", "note": "the guest left"})
    assert answer.status_code == 202, answer.text
    stage.await_submitted("ticket-verify", key, "refused")
    stage.wait_until_idle()
    assert [entry.effect for entry in stage.entries("ticket-verify", order_id)] == [False]
    _assert_finished(stage, f"submission#ticket-verify#key#{key}")


@pytest.mark.parametrize("answer", [{}, {"outcome": "maybe"}, {"outcome": "retry", "why": "so"}, []], ids=json.dumps)
def test_invalid_resolution_is_rejected(relay: Relay, answer: Any) -> None:
    assert relay.resolve("ticket-verify", "K-1", answer).status_code == 400


def test_call_that_is_not_unknown_cannot_be_resolved(stage: Stage) -> None:
    key = stage.new_id("redemption")
    retry = {"outcome": "retry"}
    assert stage.relay.resolve("ticket-verify", key, retry).status_code == 404
    stage.relay.submit("ticket-verify", scenarios.ticket_redemption(stage.new_id("T")), idempotency_key=key)
    stage.await_submitted("ticket-verify", key, "succeeded")
    assert stage.relay.resolve("ticket-verify", key, retry).status_code == 409


def test_scheduled_sweep_recovers_orders_with_lost_messages(stage: Stage) -> None:
    """One order loses its notification's message, another one its call's. One sweep re-enqueues both."""
    flight, ship, alitrip_id = stage.new_order("tsy"), stage.new_order("sctt"), stage.new_alitrip_id()
    stage.link("tsy", flight, scenarios.happytrip_flight())
    stage.link("sctt", ship, scenarios.fliggy_ship(alitrip_id, tickets=1))
    with unread(stage, "ship-notify"):
        stage.notify_sctt(partners.sctt_push(ship, partners.BOOKED, scenarios.vouchers(1)))
        stage.await_notifications("sctt", ship, "dispatched")
        _lose(stage, "ship-notify", ship)
    with unread(stage, "notifications"):
        stage.notify_tsy(partners.tsy_issued(flight))
        _lose(stage, "notifications", flight)
    stage.wait_until_idle()
    stage.await_calls("sctt", ship, "ship-notify", "pending")
    stage.await_notifications("tsy", flight, "received")
    assert stage.entries("ship-notify", alitrip_id) == stage.entries("itinerary-postback", flight) == []

    # Skip the grace period of five minutes, in which SQS may redeliver a message.
    for pk in (f"order#tsy#{flight}", f"order#sctt#{ship}"):
        let_grace_pass(stage.relay, pk)
    eventually(
        "both orders continued",
        lambda: (stage.entries("ship-notify", alitrip_id), stage.entries("itinerary-postback", flight)),
        all,
        seconds=_NEXT_SWEEP_SECONDS,
    )
    stage.await_calls("tsy", flight, "itinerary-postback", "succeeded")
    stage.await_calls("sctt", ship, "ship-notify", "succeeded")
    stage.await_notifications("tsy", flight, "dispatched")
    stage.wait_until_idle()
    for call_name, business_id in (("ship-notify", alitrip_id), ("itinerary-postback", flight)):
        assert [entry.effect for entry in stage.entries(call_name, business_id)] == [True]
    _assert_finished(stage, f"order#tsy#{flight}", f"order#sctt#{ship}")


def unknown_redemption(stage: Stage, key: str, fault: str) -> str:
    """Submits a redemption that must not be sent twice, and that times out; returns its order id."""
    order_id = stage.new_order("sctt")
    stage.simulator.fail("ticket-verify", order_id, fault)
    answer = stage.relay.submit("ticket-verify", scenarios.ticket_redemption(order_id), idempotency_key=key)
    assert answer.status_code == 202, answer.text
    stage.await_submitted("ticket-verify", key, "unknown")
    return order_id


def _listed(relay: Relay, limit: int) -> list[dict[str, Any]]:
    """The whole attention list, read in pages of at most `limit` items."""
    items: list[dict[str, Any]] = []
    query: dict[str, str | int] = {"limit": limit}
    while True:
        answer = relay.attention(**query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= limit
        items += page["items"]
        if "next" not in page:
            return items
        query["after"] = page["next"]


def _lose(stage: Stage, queue: str, about: str) -> None:
    """Deletes the only message about something from a queue that nothing else reads meanwhile."""
    eventually(f"a message about {about} in {queue}", lambda: _about(stage, queue, about))
    sqs, url = stage.relay.aws.client("sqs"), stage.relay.connection.queues[queue]
    for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        handle = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
        if about in message["Body"]:
            sqs.delete_message(**handle)
        else:
            sqs.change_message_visibility(**handle, VisibilityTimeout=0)
    assert _about(stage, queue, about) == [], f"{queue} still holds a message about {about}"


def _about(stage: Stage, queue: str, what: str) -> list[str]:
    return [body for body in messages(stage, queue).values() if what in body]


def _assert_finished(stage: Stage, *pks: str) -> None:
    """Asserts that these records are in neither index and have an expiry time."""
    for pk in pks:
        record = stage.relay.aws.record(stage.relay.connection.table, pk, "record")
        assert record is not None, f"no record {pk}"
        assert not {"unfinished", "look_at", "attention"} & record.keys(), f"{pk} is still in an index: {record}"
        assert "expires_at" in record
