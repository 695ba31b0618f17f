"""What is stuck is found and goes on: what needs a person, what a person does about it, and the sweep."""

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

#: A page of the largest size, and one of a size that needs many.
_LARGEST_PAGE, _SMALL_PAGE = 100, 2
#: The schedule's minute, and what MiniStack may add: it looks at its schedules every ten seconds.
_NEXT_SWEEP_SECONDS = 90.0


def test_who_does_not_sign_is_told_nothing_and_changes_nothing(stage: Stage) -> None:
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
        assert answer.status_code == 403, f"{method} {path}: {answer.status_code} {answer.text}"
        assert order_id not in answer.text
    assert stage.await_notifications("tsy", order_id, "attention") == [before]


def test_what_needs_a_person_is_listed_with_its_reason_oldest_first_and_page_by_page(stage: Stage) -> None:
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

    # Once it is resolved it is not listed any more.
    assert stage.relay.resolve("ticket-verify", key, {"outcome": "succeeded"}).status_code == 202
    stage.await_submitted("ticket-verify", key, "succeeded")
    assert [item for item in _listed(stage.relay, _LARGEST_PAGE) if key == item.get("key")] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [({"limit": 0}, "limit"), ({"limit": 101}, "limit"), ({"limit": "all"}, "limit"), ({"after": "me"}, "after")],
)
def test_a_page_that_cannot_be_is_refused_naming_the_parameter(
    relay: Relay, query: dict[str, str | int], field: str
) -> None:
    answer = relay.attention(**query)
    assert (answer.status_code, answer.json()["field"]) == (400, field), answer.text


def test_what_top_refused_is_sent_again_when_a_person_has_the_order_decided_again(stage: Stage) -> None:
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

    # The person is who the gateway says it is, the same that linked the order.
    timeline = stage.relay.order("sctt", order_id)["timeline"]
    [linked] = [moment for moment in timeline if moment["event"] == "linked"]
    [replayed] = [moment for moment in timeline if "replayed" in moment["event"]]
    assert replayed["detail"] == linked["detail"] and replayed["detail"].startswith("by arn:")
    _assert_finished(stage, f"order#sctt#{order_id}")

    # What TOP has is not sent to it again, however often a person asks.
    assert stage.relay.replay("sctt", order_id).status_code == 202
    stage.settle()
    assert len(stage.entries("ship-notify", alitrip_id)) == 2


def test_an_order_without_a_notification_cannot_be_decided_again(stage: Stage) -> None:
    order_id = stage.new_order("tsy")
    assert stage.relay.replay("tsy", order_id).status_code == 404
    stage.link("tsy", order_id, scenarios.happytrip_flight())
    assert stage.relay.replay("tsy", order_id).status_code == 404


def test_a_person_says_that_anunknown_redemption_counted(stage: Stage) -> None:
    key = stage.new_id("redemption")
    order_id = unknown_redemption(stage, key, "timeout_after_effect")
    for _ in range(2):  # The second time as if the first answer had been lost.
        answer = stage.relay.resolve("ticket-verify", key, {"outcome": "succeeded", "note": "seen in the back office"})
        assert answer.status_code == 202, answer.text
        call = stage.await_submitted("ticket-verify", key, "succeeded")
    resolved = call["history"][-1]
    assert (resolved["outcome"], resolved["note"]) == ("resolved_succeeded", "seen in the back office")
    assert resolved["owner"]
    assert stage.relay.resolve("ticket-verify", key, {"outcome": "retry"}).status_code == 409
    stage.settle()
    assert [entry.effect for entry in stage.entries("ticket-verify", order_id)] == [True]
    _assert_finished(stage, f"submission#ticket-verify#key#{key}")


def test_a_person_has_anunknown_redemption_sent_again_that_did_not_count(stage: Stage) -> None:
    key = stage.new_id("redemption")
    order_id = unknown_redemption(stage, key, "timeout_before_effect")
    answer = stage.relay.resolve("ticket-verify", key, {"outcome": "retry", "note": "TOP has nothing of it"})
    assert answer.status_code == 202, answer.text
    call = stage.await_submitted("ticket-verify", key, "succeeded")
    assert [attempt["outcome"] for attempt in call["history"]] == ["unknown", "resolved_retry", "succeeded"]
    stage.settle()
    assert [entry.effect for entry in stage.entries("ticket-verify", order_id)] == [False, True]
    _assert_finished(stage, f"submission#ticket-verify#key#{key}")


def test_a_person_drops_anunknown_redemption_that_must_not_count(stage: Stage) -> None:
    key = stage.new_id("redemption")
    order_id = unknown_redemption(stage, key, "timeout_before_effect")
    answer = stage.relay.resolve("ticket-verify", key, {"outcome": "rejected", "note": "the guest left"})
    assert answer.status_code == 202, answer.text
    stage.await_submitted("ticket-verify", key, "refused")
    stage.settle()
    assert [entry.effect for entry in stage.entries("ticket-verify", order_id)] == [False]
    _assert_finished(stage, f"submission#ticket-verify#key#{key}")


@pytest.mark.parametrize("answer", [{}, {"outcome": "maybe"}, {"outcome": "retry", "why": "so"}, []], ids=json.dumps)
def test_what_a_person_cannot_mean_is_refused(relay: Relay, answer: Any) -> None:
    assert relay.resolve("ticket-verify", "K-1", answer).status_code == 400


def test_a_call_that_is_not_unknown_needs_no_person(stage: Stage) -> None:
    key = stage.new_id("redemption")
    retry = {"outcome": "retry"}
    assert stage.relay.resolve("ticket-verify", key, retry).status_code == 404
    stage.relay.submit("ticket-verify", scenarios.ticket_redemption(stage.new_id("T")), idempotency_key=key)
    stage.await_submitted("ticket-verify", key, "succeeded")
    assert stage.relay.resolve("ticket-verify", key, retry).status_code == 409


def test_the_schedule_sweeps_and_so_lost_messages_are_not_the_end_of_an_order(stage: Stage) -> None:
    """One order loses its notification's message and another its call's: one sweep enqueues both again."""
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
    stage.settle()
    stage.await_calls("sctt", ship, "ship-notify", "pending")
    stage.await_notifications("tsy", flight, "received")
    assert stage.entries("ship-notify", alitrip_id) == stage.entries("itinerary-postback", flight) == []

    # As if the five minutes had passed in which a message comes back by itself.
    for pk in (f"order#tsy#{flight}", f"order#sctt#{ship}"):
        let_grace_pass(stage.relay, pk)
    eventually(
        "both went on",
        lambda: (stage.entries("ship-notify", alitrip_id), stage.entries("itinerary-postback", flight)),
        all,
        seconds=_NEXT_SWEEP_SECONDS,
    )
    stage.await_calls("tsy", flight, "itinerary-postback", "succeeded")
    stage.await_calls("sctt", ship, "ship-notify", "succeeded")
    stage.await_notifications("tsy", flight, "dispatched")
    stage.settle()
    for call_name, business_id in (("ship-notify", alitrip_id), ("itinerary-postback", flight)):
        assert [entry.effect for entry in stage.entries(call_name, business_id)] == [True]
    _assert_finished(stage, f"order#tsy#{flight}", f"order#sctt#{ship}")


def unknown_redemption(stage: Stage, key: str, fault: str) -> str:
    """Submits a redemption that may not be sent twice and times out; returns its order."""
    order_id = stage.new_order("sctt")
    stage.simulator.fail("ticket-verify", order_id, fault)
    answer = stage.relay.submit("ticket-verify", scenarios.ticket_redemption(order_id), idempotency_key=key)
    assert answer.status_code == 202, answer.text
    stage.await_submitted("ticket-verify", key, "unknown")
    return order_id


def _listed(relay: Relay, limit: int) -> list[dict[str, Any]]:
    """All that needs a person, read in pages of at most `limit`."""
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
    """Takes the only message about something out of a queue that nobody else reads meanwhile."""
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
    """Asserts that nobody must look at these records any more, and that they expire one day."""
    for pk in pks:
        record = stage.relay.aws.record(stage.relay.connection.table, pk, "record")
        assert record is not None, f"no record {pk}"
        assert not {"unfinished", "look_at", "attention"} & record.keys(), f"{pk} is still in an index: {record}"
        assert "expires_at" in record
