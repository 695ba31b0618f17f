"""The main scenarios of the relay: `make demo` shows them, and the end-to-end suite asserts them.

A scenario uses new ids on a running stack and waits until the relay reports the end. It returns the calls that must be
in TOP's ledger by then. A failed check raises AssertionError.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import partners
from partners import Voucher
from relay import Relay
from simulator import Entry, Simulator
from waiting import eventually

#: Personal data of the scenarios' passengers. Only the table and TOP may ever hold it.
PASSENGER_NAME = "罗大佑叁柒玖"
CERTIFICATE_NUMBER = "212100198902171763"
TICKET_PASSWORDS = ("pwd-sesame-7781", "pwd-sesame-7782")

#: The smallest integer that a float cannot hold: code that parses it as a float sends a different number.
LARGE_ID = 2**53 + 1

TSY_ACKNOWLEDGEMENT = '{"msg":"success","code":"0"}'
SCTT_ACKNOWLEDGEMENT = '{"code":0,"msg":"ok","data":null}'

_BAN_SECONDS = 3
_SOLD_OUT = "2001"
_FAR_SIDE_SECONDS = 45.0
_SETTLED_SECONDS = 120.0


@dataclass(frozen=True)
class ExpectedCall:
    """One call's expected entries in the ledger, and its expected state in the relay."""

    call: str
    #: The relay's key of the call; empty if the call must not exist.
    key: str
    business_id: str
    state: str = "succeeded"
    effects: int = 1
    requests: int = 1


@dataclass(frozen=True)
class Scenario:
    """A scenario and its one-line description."""

    title: str
    play: Callable[[Stage], list[ExpectedCall]]


class Stage:
    """A running stack, and the orders that one scenario creates on it."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.simulator = Simulator(relay.connection.top_url)
        #: The scenario's orders, each a partner and an id.
        self.orders: list[tuple[str, str]] = []

    def new_order(self, partner: str) -> str:
        """A new order id, added to the scenario's orders."""
        order_id = self.new_id("P" if partner == "tsy" else "T")
        self.orders.append((partner, order_id))
        return order_id

    def new_id(self, prefix: str) -> str:
        """An id that no other scenario has."""
        return f"{prefix}-{secrets.randbelow(10**9):09}"

    def new_alitrip_id(self) -> str:
        """A new Alitrip order id, which contains only digits."""
        return str(3_892_200_000_000 + secrets.randbelow(10**9))

    def notify_tsy(self, body: dict[str, Any], notification: str = "issue-notify") -> None:
        """Sends TSY's notification; asserts the exact acknowledgement that TSY expects."""
        connection = self.relay.connection
        url = connection.beside(connection.tsy_url, notification)
        _acknowledged(self.relay.push_tsy(body, url), TSY_ACKNOWLEDGEMENT)

    def notify_sctt(self, body: dict[str, Any], notification: str = "voucher-push") -> None:
        """Sends SCTT's notification; asserts the exact acknowledgement that SCTT expects."""
        connection = self.relay.connection
        url = connection.beside(connection.sctt_url, notification)
        _acknowledged(self.relay.push_sctt(body, url), SCTT_ACKNOWLEDGEMENT)

    def link(self, partner: str, order_id: str, link: dict[str, Any]) -> None:
        """Links an order; asserts that the relay accepts the link."""
        answer = self.relay.link(partner, order_id, link)
        assert answer.ok, f"link of {partner} {order_id}: {answer.status_code} {answer.text}"

    def await_notifications(self, partner: str, order_id: str, *states: str) -> list[dict[str, Any]]:
        """Waits until the order's notifications are in exactly these states, in any order, and returns them."""
        return eventually(
            f"the notifications of {partner} {order_id} are {', '.join(states)}",
            lambda: self.relay.order(partner, order_id)["notifications"],
            lambda seen: sorted(one["state"] for one in seen) == sorted(states),
        )

    def await_calls(self, partner: str, order_id: str, call: str, *states: str) -> list[dict[str, Any]]:
        """Waits until the order's calls are all of this kind and in exactly these states, and returns them."""
        return eventually(
            f"the calls of {partner} {order_id} are {call} {', '.join(states)}",
            lambda: self.relay.order(partner, order_id)["calls"],
            lambda seen: sorted((one["call"], one["state"]) for one in seen) == sorted((call, one) for one in states),
            seconds=_FAR_SIDE_SECONDS,
        )

    def await_submitted(self, call: str, key: str, state: str) -> dict[str, Any]:
        """Waits until a submitted call is in `state`, and returns it."""
        return eventually(
            f"{call} {key} is {state}",
            lambda: self.relay.ask_call(call, key).json(),
            lambda seen: seen["state"] == state,
            seconds=_FAR_SIDE_SECONDS,
        )

    def wait_until_idle(self) -> None:
        """Waits until all queues are empty, so no call is still to be sent.

        A duplicate message that finds its call in progress becomes visible again later, to check the outcome.
        """
        eventually(
            "the queues are empty",
            lambda: self._held(lambda name: not name.endswith("-dead-letters")),
            lambda held: not held,
            seconds=_SETTLED_SECONDS,
        )

    def dead_letters(self) -> dict[str, int]:
        """The number of messages in each dead-letter queue that is not empty."""
        return self._held(lambda name: name.endswith("-dead-letters"))

    def _held(self, wanted: Callable[[str], bool]) -> dict[str, int]:
        queues = self.relay.connection.queues
        counts = {name: len(self.relay.aws.messages(url)) for name, url in queues.items() if wanted(name)}
        return {name: count for name, count in counts.items() if count}

    def entries(self, call: str, business_id: str) -> list[Entry]:
        """The ledger's current entries of one call."""
        return entries_of(self.simulator.ledger(), call, business_id)

    def sent(self, call: str, business_id: str) -> dict[str, Any]:
        """The request that took effect at TOP; raises unless there is exactly one."""
        [entry] = [entry for entry in self.entries(call, business_id) if entry.effect]
        return entry.request


def entries_of(ledger: Sequence[Entry], call: str, business_id: str) -> list[Entry]:
    """The ledger's entries of one call."""
    return [entry for entry in ledger if (entry.call, entry.business_id) == (call, business_id)]


def verify(calls: Sequence[ExpectedCall], ledger: Sequence[Entry]) -> None:
    """Asserts that the ledger has exactly the expected requests and effects of each call."""
    for expected in calls:
        entries = entries_of(ledger, expected.call, expected.business_id)
        found = len(entries), sum(entry.effect for entry in entries)
        assert found == (expected.requests, expected.effects), (
            f"{expected.call} {expected.business_id}: {found[0]} requests with {found[1]} effects in the ledger, "
            f"expected {expected.requests} with {expected.effects}"
        )


def happytrip_flight(ticket_numbers: Sequence[str] = ("23142134",)) -> dict[str, Any]:
    """The booking system's link of a Happytrip flight."""
    return {
        "happytrip_flight": {
            "tes_head_id": "3021342134",
            "cwt_account_no": "12342134",
            "emp_no": "322558",
            "ht_user_id": "123421",
            "ticket_no_list": list(ticket_numbers),
        }
    }


def fliggy_ship(alitrip_order_id: str, tickets: int) -> dict[str, Any]:
    """The booking system's link of a ship order for one passenger."""
    ticket_list = [
        {
            "ticket_id": f"2901838383{number}",
            "ticket_type": "1",
            "ticket_price": 100,
            "ticket_sub_type": "11",
            "ticket_title": "船票",
        }
        for number in range(tickets)
    ]
    passenger = {
        "passenger_id": "30303029",
        "passenger_name": PASSENGER_NAME,
        "passenger_cert_no": CERTIFICATE_NUMBER,
        "passenger_cert_type": "1",
        "ticket_list": ticket_list,
    }
    return {
        "fliggy_ship": {
            "alitrip_order_id": alitrip_order_id,
            "agent_order_id": f"A-{alitrip_order_id}",
            "main_biz_order_id": LARGE_ID,
            "total_price": 23000,
            "passenger_list": [passenger],
        }
    }


def fliggy_ticket(out_order_id: str) -> dict[str, Any]:
    """The booking system's link of an admission ticket."""
    return {"fliggy_ticket": {"order_id": LARGE_ID, "out_order_id": out_order_id}}


def ticket_redemption(out_order_id: str) -> dict[str, Any]:
    """A redemption request: one ticket of an order was used at the gate."""
    return {
        "check_num": 1,
        "order_id": LARGE_ID,
        "return_num": 0,
        "total_num": 1,
        "out_order_id": out_order_id,
        "voucher_infos": [{"confirm_code": "2516352", "used_quantity": 1, "used_date": "2020-01-11 14:00:00"}],
        "write_off_type": 0,
    }


def ship_refund(alitrip_id: str) -> dict[str, Any]:
    """A report that one ticket of a ship order was refunded."""
    return {
        "agent_order_id": "A-1",
        "alitrip_order_id": int(alitrip_id),
        "agent_refund_amount": 100,
        "agent_return_ticket_code": 0,
        "agent_return_ticket_status": 1,
        "agent_return_ticket_type": 0,
        "agent_ticket_id": "T1",
    }


def ticket_refund(order_id: str) -> dict[str, Any]:
    """A report that one scenic-spot ticket was refunded."""
    return {"order_id": int(order_id), "refund_status": 1, "refund_num": 1, "refund_batch_no": "B-1"}


def vouchers(count: int) -> list[Voucher]:
    """Vouchers, each with a ticket password."""
    return [Voucher(f"e-{number}", password) for number, password in enumerate(TICKET_PASSWORDS[:count])]


def _issued_before_its_link(stage: Stage) -> list[ExpectedCall]:
    order_id = stage.new_order("tsy")
    stage.notify_tsy(partners.tsy_issued(order_id))
    stage.await_notifications("tsy", order_id, "waiting")
    stage.link("tsy", order_id, happytrip_flight())
    return _posted_back(stage, order_id)


def _issued_after_its_link(stage: Stage) -> list[ExpectedCall]:
    order_id = stage.new_order("tsy")
    stage.link("tsy", order_id, happytrip_flight(["23142134", "23142135"]))
    stage.notify_tsy(partners.tsy_issued(order_id))
    return _posted_back(stage, order_id, ["23142134", "23142135"])


def _sent_three_times(stage: Stage) -> list[ExpectedCall]:
    order_id = stage.new_order("tsy")
    stage.link("tsy", order_id, happytrip_flight())
    for _ in range(3):
        stage.notify_tsy(partners.tsy_issued(order_id))
    calls = _posted_back(stage, order_id)
    [notification] = stage.await_notifications("tsy", order_id, "dispatched")
    assert notification["deliveries"] == 3
    return calls


def _posted_back(stage: Stage, order_id: str, tickets: Sequence[str] = ("23142134",)) -> list[ExpectedCall]:
    """Waits for an issued flight's itinerary postback and asserts its content."""
    [call] = stage.await_calls("tsy", order_id, "itinerary-postback", "succeeded")
    stage.await_notifications("tsy", order_id, "dispatched")
    assert stage.sent("itinerary-postback", order_id) == {
        "out_relation_order_id": order_id,
        "tes_head_id": "3021342134",
        "cwt_account_no": "12342134",
        "emp_no": "322558",
        "ht_user_id": "123421",
        "ticket_no_list": list(tickets),
    }
    return [ExpectedCall("itinerary-postback", call["key"], order_id)]


def _rejected_by_tsy(stage: Stage) -> list[ExpectedCall]:
    order_id = stage.new_order("tsy")
    stage.link("tsy", order_id, happytrip_flight())
    stage.notify_tsy(partners.tsy_rejected(order_id, "No seats"))
    stage.await_notifications("tsy", order_id, "attention")
    assert stage.relay.order("tsy", order_id)["calls"] == []
    return [ExpectedCall("itinerary-postback", "", order_id, effects=0, requests=0)]


def _voucher_for_each_ticket(stage: Stage) -> list[ExpectedCall]:
    order_id, alitrip_id = stage.new_order("sctt"), stage.new_alitrip_id()
    stage.link("sctt", order_id, fliggy_ship(alitrip_id, tickets=2))
    stage.notify_sctt(partners.sctt_push(order_id, partners.BOOKED, vouchers(2)))
    calls = _ship_notified(stage, order_id, alitrip_id)
    sent = stage.sent("ship-notify", alitrip_id)
    assert sent["success"] is True and sent["main_biz_order_id"] == LARGE_ID
    assert _tickets(sent) == [("e-0", TICKET_PASSWORDS[0], "2"), ("e-1", TICKET_PASSWORDS[1], "2")]
    return calls


def _one_voucher_for_all_tickets(stage: Stage) -> list[ExpectedCall]:
    order_id, alitrip_id = stage.new_order("sctt"), stage.new_alitrip_id()
    stage.link("sctt", order_id, fliggy_ship(alitrip_id, tickets=3))
    stage.notify_sctt(partners.sctt_push(order_id, partners.BOOKED, vouchers(1)))
    calls = _ship_notified(stage, order_id, alitrip_id)
    sent = stage.sent("ship-notify", alitrip_id)
    assert (sent["fetch_tickets_number"], sent["fetch_tickets_pwd"]) == ("e-0", TICKET_PASSWORDS[0])
    assert _tickets(sent) == [(None, None, "2")] * 3
    return calls


def _failed_at_sctt(stage: Stage) -> list[ExpectedCall]:
    order_id, alitrip_id = stage.new_order("sctt"), stage.new_alitrip_id()
    link = fliggy_ship(alitrip_id, tickets=1)
    link["fliggy_ship"]["failed_code"] = _SOLD_OUT
    stage.link("sctt", order_id, link)
    stage.notify_sctt(partners.sctt_push(order_id, partners.FAILED, remark="sold out"))
    calls = _ship_notified(stage, order_id, alitrip_id)
    sent = stage.sent("ship-notify", alitrip_id)
    assert (sent["success"], sent["failed_code"]) == (False, _SOLD_OUT)
    return calls


def _cancelled_in_one_push(stage: Stage) -> list[ExpectedCall]:
    ships = [(stage.new_order("sctt"), stage.new_alitrip_id()) for _ in range(2)]
    refused = stage.new_order("sctt")
    for order_id, alitrip_id in ships:
        stage.link("sctt", order_id, fliggy_ship(alitrip_id, tickets=1))
    done = [(order_id, partners.CANCEL_DONE) for order_id, _ in ships]
    push = partners.sctt_cancel(*done, (refused, partners.CANCEL_FAILED))
    stage.notify_sctt(push, "cancel-push")
    calls = [call for order_id, alitrip_id in ships for call in _ship_notified(stage, order_id, alitrip_id)]
    assert all(stage.sent("ship-notify", alitrip_id)["success"] is False for _, alitrip_id in ships)
    [notification] = stage.await_notifications("sctt", refused, "dispatched")
    assert [order["trade_number"] for order in notification["payload"]["orderlist"]] == [refused]
    return calls


def _change_priced(stage: Stage) -> list[ExpectedCall]:
    order_id = stage.new_order("tsy")
    stage.link("tsy", order_id, happytrip_flight())
    stage.notify_tsy(partners.tsy_change_price(order_id), "change-price-push")
    stage.notify_tsy({"merchantOrder": order_id, "result": "whatever TSY sends"}, "change-result-push")
    stage.await_notifications("tsy", order_id, "dispatched", "dispatched")
    assert stage.relay.order("tsy", order_id)["calls"] == []
    return [ExpectedCall("itinerary-postback", "", order_id, effects=0, requests=0)]


def _redeemed(stage: Stage) -> list[ExpectedCall]:
    order_id, key = stage.new_order("sctt"), stage.new_id("redemption")
    stage.link("sctt", order_id, fliggy_ticket(order_id))
    stage.notify_sctt(partners.sctt_push(order_id, partners.BOOKED, vouchers(1)))
    first = stage.relay.submit("ticket-verify", ticket_redemption(order_id), idempotency_key=key)
    assert first.status_code == 202, f"{first.status_code} {first.text}"
    again = stage.relay.submit("ticket-verify", ticket_redemption(order_id), idempotency_key=key)
    assert (again.status_code, again.headers.get("Idempotent-Replayed")) == (200, "true"), again.text
    stage.await_submitted("ticket-verify", key, "succeeded")
    sent = stage.sent("ticket-verify", order_id)
    assert (str(sent["order_id"]), str(sent["return_num"])) == (str(LARGE_ID), "0")
    return [ExpectedCall("ticket-verify", key, order_id)]


def _refunded(stage: Stage) -> list[ExpectedCall]:
    alitrip_id, order_id = stage.new_alitrip_id(), stage.new_alitrip_id()
    expected = []
    for call, business_id, key, request in (
        ("ship-return-notify", alitrip_id, f"{alitrip_id}-ticket-T1", ship_refund(alitrip_id)),
        ("ticket-refund-notify", order_id, f"{order_id}-B-1", ticket_refund(order_id)),
    ):
        answer = stage.relay.submit(call, request)
        assert (answer.status_code, answer.json()["key"]) == (202, key), f"{answer.status_code} {answer.text}"
        again = stage.relay.submit(call, request)
        assert (again.status_code, again.headers.get("Idempotent-Replayed")) == (200, "true"), again.text
        stage.await_submitted(call, key, "succeeded")
        expected.append(ExpectedCall(call, key, business_id))
    return expected


def _timed_out_after_effect(stage: Stage) -> list[ExpectedCall]:
    order_id, alitrip_id = stage.new_order("sctt"), stage.new_alitrip_id()
    stage.link("sctt", order_id, fliggy_ship(alitrip_id, tickets=1))
    stage.simulator.fail("ship-notify", alitrip_id, "timeout_after_effect")
    stage.notify_sctt(partners.sctt_push(order_id, partners.BOOKED, vouchers(1)))
    return _ship_notified(stage, order_id, alitrip_id, requests=2)


def _banned_for_a_while(stage: Stage) -> list[ExpectedCall]:
    order_id = stage.new_order("tsy")
    stage.link("tsy", order_id, happytrip_flight())
    stage.simulator.fail(
        "itinerary-postback",
        order_id,
        "error",
        code=7,
        sub_code="accesscontrol.limited-by-api-access-count",
        sub_msg=f"This ban will last for {_BAN_SECONDS} more seconds",
    )
    stage.notify_tsy(partners.tsy_issued(order_id))
    [call] = stage.await_calls("tsy", order_id, "itinerary-postback", "succeeded")
    banned, accepted = stage.entries("itinerary-postback", order_id)
    waited = accepted.at - banned.at
    assert waited.total_seconds() >= _BAN_SECONDS, f"sent again {waited} after a ban of {_BAN_SECONDS} s"
    return [ExpectedCall("itinerary-postback", call["key"], order_id, requests=2)]


def _refused_by_top(stage: Stage) -> list[ExpectedCall]:
    order_id, alitrip_id = stage.new_order("sctt"), stage.new_alitrip_id()
    stage.link("sctt", order_id, fliggy_ship(alitrip_id, tickets=1))
    stage.simulator.fail("ship-notify", alitrip_id, "business_failure")
    stage.notify_sctt(partners.sctt_push(order_id, partners.BOOKED, vouchers(1)))
    calls = _ship_notified(stage, order_id, alitrip_id, state="refused", effects=0, notification="attention")
    timeline = stage.relay.order("sctt", order_id)["timeline"]
    assert any("refused" in moment["event"] for moment in timeline), f"no refusal in the timeline: {timeline}"
    return calls


def _ship_notified(
    stage: Stage,
    order_id: str,
    alitrip_id: str,
    state: str = "succeeded",
    effects: int = 1,
    requests: int = 1,
    notification: str = "dispatched",
) -> list[ExpectedCall]:
    """Waits for the ship notification of an SCTT order."""
    [call] = stage.await_calls("sctt", order_id, "ship-notify", state)
    stage.await_notifications("sctt", order_id, notification)
    expected = ExpectedCall("ship-notify", call["key"], alitrip_id, state, effects, requests)
    return [expected]


def _tickets(sent: dict[str, Any]) -> list[tuple[str | None, str | None, str]]:
    return [
        (ticket.get("e_ticket_no"), ticket.get("ticket_pwd"), ticket["ticket_status"])
        for passenger in sent["passenger_list"]
        for ticket in passenger["ticket_list"]
    ]


def _acknowledged(answer: Any, body: str) -> None:
    assert (answer.status_code, answer.text) == (200, body), f"answered {answer.status_code} {answer.text}"


SCENARIOS = (
    Scenario("TSY issues before the order is linked: the link triggers the call", _issued_before_its_link),
    Scenario("TSY issues after the order is linked", _issued_after_its_link),
    Scenario("TSY sends the same notification three times: one call", _sent_three_times),
    Scenario("TSY rejects: needs attention, because no TOP call reports a rejection", _rejected_by_tsy),
    Scenario("SCTT books with one voucher for each ticket: each ticket gets one", _voucher_for_each_ticket),
    Scenario("SCTT books with one voucher for several tickets: the order gets it", _one_voucher_for_all_tickets),
    Scenario("SCTT fails: Fliggy is told about the failure", _failed_at_sctt),
    Scenario("SCTT cancels several orders in one push: Fliggy is told about each done one", _cancelled_in_one_push),
    Scenario("TSY sends a change price and a change result: stored, no call", _change_priced),
    Scenario("The booking system submits a redemption twice with one key: one call", _redeemed),
    Scenario("The booking system reports two refunds, each twice: one call each", _refunded),
    Scenario("TOP times out after the call took effect: retried, one effect", _timed_out_after_effect),
    Scenario("TOP bans the caller for 3 seconds (code 7): retried after the ban", _banned_for_a_while),
    Scenario("TOP refuses for business reasons: needs attention, shown in the timeline", _refused_by_top),
)
