"""A notification that arrives many times, concurrently, late or out of order leads to one call."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import partners
import scenarios
from scenarios import Stage

_AT_ONCE = 50


def test_fifty_concurrent_deliveries_of_one_notification_lead_to_one_call(stage: Stage) -> None:
    order_id = stage.new_order("tsy")
    stage.link("tsy", order_id, scenarios.happytrip_flight())
    together = Barrier(_AT_ONCE)

    def deliver(_: int) -> tuple[int, str]:
        together.wait()
        answer = stage.relay.push_tsy(partners.tsy_issued(order_id))
        return answer.status_code, answer.text

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = set(pool.map(deliver, range(_AT_ONCE)))

    assert answers == {(200, scenarios.TSY_ACKNOWLEDGEMENT)}
    stage.await_calls("tsy", order_id, "itinerary-postback", "succeeded")
    stage.wait_until_idle()
    assert [entry.effect for entry in stage.entries("itinerary-postback", order_id)] == [True]
    [notification] = stage.await_notifications("tsy", order_id, "dispatched")
    assert 1 <= notification["deliveries"] <= _AT_ONCE


def test_repeat_after_a_successful_call_is_acknowledged_and_changes_nothing(stage: Stage) -> None:
    order_id, alitrip_id = stage.new_order("sctt"), stage.new_alitrip_id()
    stage.link("sctt", order_id, scenarios.fliggy_ship(alitrip_id, tickets=1))
    push = partners.sctt_push(order_id, partners.BOOKED, scenarios.vouchers(1))
    stage.notify_sctt(push)
    stage.await_calls("sctt", order_id, "ship-notify", "succeeded")
    for _ in range(3):
        stage.notify_sctt(push)  # Signed again: new request_time and sign, the same notification.
    stage.wait_until_idle()
    [notification] = stage.await_notifications("sctt", order_id, "dispatched")
    assert notification["deliveries"] == 4
    assert [entry.outcome for entry in stage.entries("ship-notify", alitrip_id)] == ["success"]


def test_success_after_a_failure_is_sent_to_top(stage: Stage) -> None:
    order_id, alitrip_id = stage.new_order("sctt"), stage.new_alitrip_id()
    stage.link("sctt", order_id, scenarios.fliggy_ship(alitrip_id, tickets=1))
    stage.notify_sctt(partners.sctt_push(order_id, partners.FAILED, remark="sold out"))
    stage.await_calls("sctt", order_id, "ship-notify", "succeeded")
    stage.notify_sctt(partners.sctt_push(order_id, partners.BOOKED, scenarios.vouchers(1)))
    stage.await_notifications("sctt", order_id, "dispatched", "dispatched")
    stage.wait_until_idle()
    stage.await_calls("sctt", order_id, "ship-notify", "succeeded")
    sent = [entry.request["success"] for entry in stage.entries("ship-notify", alitrip_id)]
    assert sent == [False, True]


def test_cancellation_after_a_sent_success_needs_attention(stage: Stage) -> None:
    order_id, alitrip_id = stage.new_order("sctt"), stage.new_alitrip_id()
    stage.link("sctt", order_id, scenarios.fliggy_ship(alitrip_id, tickets=1))
    stage.notify_sctt(partners.sctt_push(order_id, partners.BOOKED, scenarios.vouchers(1)))
    stage.await_calls("sctt", order_id, "ship-notify", "succeeded")
    stage.notify_sctt(partners.sctt_push(order_id, partners.CANCELLED))
    stage.await_notifications("sctt", order_id, "attention", "dispatched")
    stage.wait_until_idle()
    assert [entry.request["success"] for entry in stage.entries("ship-notify", alitrip_id)] == [True]


def test_voucher_count_that_does_not_match_the_tickets_needs_attention(stage: Stage) -> None:
    order_id, alitrip_id = stage.new_order("sctt"), stage.new_alitrip_id()
    stage.link("sctt", order_id, scenarios.fliggy_ship(alitrip_id, tickets=3))
    stage.notify_sctt(partners.sctt_push(order_id, partners.BOOKED, scenarios.vouchers(2)))
    stage.await_notifications("sctt", order_id, "attention")
    stage.wait_until_idle()
    assert stage.entries("ship-notify", alitrip_id) == []


def test_redemption_with_unknown_outcome_is_not_sent_again(stage: Stage) -> None:
    order_id, key = stage.new_order("sctt"), stage.new_id("redemption")
    stage.simulator.fail("ticket-verify", order_id, "timeout_after_effect")
    stage.relay.submit("ticket-verify", scenarios.ticket_redemption(order_id), idempotency_key=key)
    stage.await_submitted("ticket-verify", key, "unknown")
    stage.wait_until_idle()
    assert [entry.effect for entry in stage.entries("ticket-verify", order_id)] == [True]
