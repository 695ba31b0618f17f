"""Faults on the real template: orders complete while functions are killed, TOP fails and SQS delivers twice.

Partners send notifications of hundreds of orders and repeat every one that was not acknowledged. Meanwhile the test
kills functions with SIGKILL at any point. TOP shows every fault that the simulator knows, and messages are delivered
again while a function still handles them. Then the faults stop, and nothing may be lost, unfinished or done twice.

The test does an operator's work through the API, based on TOP's ledger: it resolves unknown calls and retries refused
ones. It runs on a separate stack, because its faults would affect the other tests.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from threading import Event
from typing import Any

import pytest
import requests

import partners
import scenarios
import steps
from conftest import free_settings
from fault_injection import Copier, Killer, short_visibility
from instance import temporary
from layout import LOGS, STACKS
from processes import Processes
from relay import Relay
from scenarios import Stage
from simulator import Entry
from sweeping import let_grace_pass, sweep
from test_secrecy import found_in
from waiting import eventually

pytestmark = pytest.mark.last

_STACK = "faults"
_ORDERS = 500
#: Orders arrive at a steady pace over this time, so they meet every fault, and faults meet calls of any age.
_TELLING_SECONDS = 80.0
#: Concurrent partners and booking systems, and how long each repeats a request that is not acknowledged.
_SPEAKERS = 8
_PATIENCE_SECONDS = 90.0
#: How long faults may take to occur after the last order was sent.
_SHOWN_SECONDS = 120.0
_KILL_EVERY_SECONDS = 0.3
_SWEEP_EVERY_SECONDS = 5.0
_COPY_EVERY_SECONDS = 0.5
_SWEPT_HASTILY = 20
#: Shorter than TOP's time-outs, so SQS delivers a message again while a function still handles it.
_SHORT_VISIBILITY_SECONDS = 2
#: A lease ends at most 90 seconds after its claim. Calls that failed often wait another minute or two.
_SETTLED_SECONDS = 300.0
_LOOK_EVERY_SECONDS = 3.0
_REPORT_EVERY_SECONDS = 10.0
_DRAINED_SECONDS = 90.0

#: The run is valid only if each kind of fault occurred at least this often.
_FEWEST_OF_A_KIND = 5

#: Log messages of functions that got a message after its work was done.
_FOUND_DONE = ("nothing to send", "nothing to decide")

#: `write_off_type`: a quantity, which must not be sent twice, and a running total, which may be.
_ONCE, _TOTAL = 0, 1

_Fault = tuple[str, Mapping[str, Any]]


def _error(code: int, sub_code: str | None = None, sub_msg: str = "simulated") -> _Fault:
    return "error", {"code": code, "sub_code": sub_code, "sub_msg": sub_msg}


_BAN = _error(7, "accesscontrol.limited-by-api-access-count", "This ban will last for 1 more seconds")
_REFUSED: _Fault = ("business_failure", {})
_NO_ANSWER: _Fault = ("timeout_after_effect", {})

#: Faults in an order's first requests to TOP: the orders get these lines in turn. Configuration faults are missing,
#: because by design a call waits fifteen minutes after one.
_FAULTS: tuple[tuple[_Fault, ...], ...] = (
    (),
    (("timeout_before_effect", {}),),
    (_NO_ANSWER,),
    (("http_500", {}),),
    (("http_500", {"after_effect": True}),),
    (("not_json", {}),),
    (("not_json", {"after_effect": True}),),
    (_BAN,),
    (_error(10),),
    (_error(15, "isp.top-remote-connection-timeout"),),
    (_error(15, "isp.null-pointer-exception"),),
    (_error(31),),
    (_error(50, "isv.invalid-parameter"),),
    (_REFUSED,),
    (("delay", {"ms": 1000}),),  # Within the relay's time-out.
    (("delay", {"ms": 4000}),),  # Beyond the relay's time-out.
    (_NO_ANSWER, _REFUSED),
    (_REFUSED, _NO_ANSWER),
    (_BAN, ("http_500", {}), _REFUSED),
)
#: Their outcomes in TOP's ledger. A delay has none.
_OUTCOMES = {
    f"error {details['code']} {details['sub_code'] or ''}".strip() if fault == "error" else fault
    for faults in _FAULTS
    for fault, details in faults
    if fault != "delay"
}


@dataclass(frozen=True)
class _Effect:
    """The effect of a call at TOP. A ship order's failure and its success are different effects."""

    call: str
    business_id: str
    failed: bool = False

    @staticmethod
    def of_request(entry: Entry) -> _Effect:
        """The effect that a request in TOP's ledger asks for."""
        failed = entry.call == "ship-notify" and not entry.request["success"]
        return _Effect(entry.call, entry.business_id, failed)


@dataclass(frozen=True)
class _Step:
    """A request that is repeated until the relay acknowledges it."""

    what: str
    say: Callable[[], requests.Response]
    acknowledged: Callable[[requests.Response], bool]


@dataclass(frozen=True)
class _Order:
    """An order, with the requests about it, and the effect that TOP must show exactly once at the end."""

    partner: str
    order_id: str
    effect: _Effect
    steps: Sequence[_Step]
    #: The number of different notifications in these steps.
    notifications: int
    #: The request of a submitted call; None if a notification leads to the call.
    redemption: dict[str, Any] | None = None


@dataclass(frozen=True)
class _Record:
    """The checked parts of the record of an order or a submitted call."""

    pk: str
    #: Whether the record has undecided facts.
    undecided: bool
    #: Why the record needs attention.
    reasons: tuple[str, ...]
    #: The call to send, and how it ended, if it did.
    target: str
    end: str
    #: The record's partition in the index, or an empty string.
    unfinished: str
    #: Until when its call is not due or has an owner.
    held_until_ms: int
    #: The states of its notifications.
    notifications: tuple[str, ...]
    #: The keys of submitted calls that TOP refused and that were not corrected.
    refused: tuple[str, ...]
    #: The lanes in which TOP was told something, each `call/id`, and the submitted calls that succeeded.
    told: tuple[str, ...]

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do according to the record's own content."""
        return not self.undecided and not self.reasons and not self.target

    @property
    def message(self) -> dict[str, str]:
        """The message about the record in its queue."""
        kind, name, key = self.pk.split("#", 2)
        return {"call": name, "id": key} if kind == "submission" else {"partner": name, "order_id": key}


class _Ordeal:
    """The whole run on one stack, and its results."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.stage = Stage(relay)
        self.killer = Killer(Processes(STACKS / _STACK), LOGS / f"{_STACK}-ministack.log")
        self.copier = Copier(relay)
        self.orders = _orders(self.stage)
        self.said = Counter[str]()
        self.by_person = Counter[str]()
        self.swept = 0
        self.found_done = 0

    @cached_property
    def records(self) -> list[_Record]:
        """The records at the end."""
        return _scan(self.relay)

    @cached_property
    def ledger(self) -> list[Entry]:
        """TOP's ledger at the end."""
        return self.stage.simulator.ledger()

    def shown(self) -> Counter[str]:
        """The number of TOP's answers so far, by outcome."""
        return Counter(entry.outcome for entry in self.stage.simulator.ledger())

    def rare_outcomes(self) -> list[str]:
        """The faults that occurred too seldom so far."""
        shown = self.shown()
        return sorted(outcome for outcome in _OUTCOMES if shown[outcome] < _FEWEST_OF_A_KIND)

    def run(self) -> None:
        """Sends all orders under faults, waits until every record is finished, and delivers every message again."""
        for title, act in (
            (f"Send {len(self.orders)} orders under faults", self._tell_under_faults),
            ("Stop the faults and finish every record", self._settle),
            ("Deliver every message again", self._deliver_all_again),
        ):
            steps.say(title)
            started = time.monotonic()
            act()
            steps.note(f"done in {time.monotonic() - started:.0f} s")
        self._report()

    def _tell_under_faults(self) -> None:
        over = Event()
        with short_visibility(self.relay, _SHORT_VISIBILITY_SECONDS), ThreadPoolExecutor(_SPEAKERS + 3) as pool:
            background = [
                pool.submit(_repeat, self.killer.kill, _KILL_EVERY_SECONDS, over),
                pool.submit(_repeat, self.copier.copy, _COPY_EVERY_SECONDS, over),
                pool.submit(_repeat, self._sweep_hastily, _SWEEP_EVERY_SECONDS, over),
            ]
            began = time.monotonic()
            told = [pool.submit(self._tell, number, began, over) for number in range(len(self.orders))]
            try:
                self._await_told(told, background)
                # Bans and kills delay calls by some seconds, longer on a busy machine.
                eventually(
                    "every kind of fault has occurred",
                    self.rare_outcomes,
                    lambda rare: rare == [],
                    seconds=_SHOWN_SECONDS,
                )
            finally:
                over.set()
                pool.shutdown(cancel_futures=True)
        self.stage.simulator.stop_failing()
        for future in background:
            future.result()

    def _await_told(self, told: Sequence[Future[None]], background: Sequence[Future[None]]) -> None:
        """Waits until every order is sent; prints the progress."""
        waiting: set[Future[None]] = set(told)
        while waiting:
            ended, waiting = wait(told, _REPORT_EVERY_SECONDS, FIRST_EXCEPTION)
            # A background task ends early only if it fails.
            for future in [*ended, *(future for future in background if future.done())]:
                future.result()
            steps.note(
                f"{len(ended)} orders sent, {self.killer.kills} kills, {self.copier.copies} copies of messages, "
                f"at least {self.copier.received_again} repeated receives"
            )

    def _tell(self, number: int, began: float, over: Event) -> None:
        order = self.orders[number]
        over.wait(began + number * _TELLING_SECONDS / len(self.orders) - time.monotonic())
        for fault, details in _FAULTS[number % len(_FAULTS)]:
            self.stage.simulator.fail(order.effect.call, order.effect.business_id, fault, **details)
        for step in order.steps:
            eventually(
                f"{step.what} of {order.partner} {order.order_id} is acknowledged",
                lambda step=step: self._say(step),
                step.acknowledged,
                seconds=_PATIENCE_SECONDS,
            )

    def _say(self, step: _Step) -> requests.Response:
        answer = step.say()
        self.said["acknowledged" if step.acknowledged(answer) else f"answered {answer.status_code}"] += 1
        return answer

    def _settle(self) -> None:
        """Does the work of the schedule and of operators until every record is finished."""
        deadline, reported, pause = time.monotonic() + _SETTLED_SECONDS, 0.0, Event()
        while True:
            records = _scan(self.relay)
            left = Counter(_state(one) for one in records if one.unfinished or not one.is_done)
            refused = self._refused(records)
            if time.monotonic() - reported > _REPORT_EVERY_SECONDS:
                reported = time.monotonic()
                steps.note(f"unfinished: {dict(left) or 'none'}; refused by TOP: {len(refused)}")
            if not left and not refused:
                break
            assert time.monotonic() < deadline, f"unfinished after {_SETTLED_SECONDS:.0f} s: {_described(records)}"
            self._sweep_overdue(records)
            self._resolve_unknown()
            for order in refused:
                self._have_sent_again(order)
            pause.wait(_LOOK_EVERY_SECONDS)
        logged = [line for lines in self.relay.aws.log_lines().values() for line in lines]
        self.found_done = sum(any(words in line for words in _FOUND_DONE) for line in logged)

    def _refused(self, records: Sequence[_Record]) -> list[_Order]:
        """The orders whose call TOP refused for good, as far as the relay knows."""
        pks = {one.pk for one in records if "refused" in one.reasons}
        keys = {key for one in records for key in one.refused}
        return [
            order
            for order in self.orders
            if f"order#{order.partner}#{order.order_id}" in pks or order.effect.business_id in keys
        ]

    def _sweep_hastily(self) -> None:
        """Sweeps some records that are still in flight, which must be harmless. The sweep itself may be killed."""
        on_their_way = [one for one in _scan(self.relay) if one.unfinished]
        self._sweep(random.sample(on_their_way, min(len(on_their_way), _SWEPT_HASTILY)))

    def _sweep_overdue(self, records: Sequence[_Record]) -> None:
        """Sweeps unfinished records that are due and have no owner; skips the grace period and the schedule."""
        now_ms = time.time() * 1000
        overdue = [one for one in records if one.unfinished and one.held_until_ms < now_ms]
        if overdue:
            problem = self._sweep(overdue)
            assert problem is None, f"the sweep failed: {problem}"

    def _sweep(self, records: Sequence[_Record]) -> str | None:
        for record in records:
            let_grace_pass(self.relay, record.pk)
        self.swept += len(records)
        return sweep(self.relay)

    def _resolve_unknown(self) -> None:
        """Resolves each unknown call with the outcome in TOP's ledger."""
        answer = self.relay.attention(limit=100)
        assert answer.ok, answer.text
        unknown = [item for item in answer.json()["items"] if "unknown" in item["reasons"]]
        if not unknown:
            return
        ledger = self.stage.simulator.ledger()
        done = {
            (entry.call, entry.business_id) for entry in ledger if entry.effect and not _Effect.of_request(entry).failed
        }
        for item in unknown:
            call, key = item["call"], item["key"]
            outcome = "succeeded" if (call, key) in done else "retry"
            said = self.relay.resolve(call, key, {"outcome": outcome, "note": "by TOP's ledger"})
            # A fact of the record may not be decided yet.
            if said.status_code == 409:
                continue
            assert said.ok, f"{call} {key}: {said.status_code} {said.text}"
            self.by_person[f"unknown calls resolved: {outcome}"] += 1

    def _have_sent_again(self, order: _Order) -> None:
        """Retries a refused call: submits it with a corrected body, or replays its order."""
        if order.redemption is None:
            said = self.relay.replay(order.partner, order.order_id)
            self.by_person["orders replayed"] += 1
        else:
            key = order.effect.business_id
            said = self.relay.submit("ticket-verify", {**order.redemption, "total_num": 2}, idempotency_key=key)
            self.by_person["redemptions corrected"] += 1
        # A fact of the record may not be decided yet.
        if said.status_code not in (200, 409):
            assert said.status_code == 202, f"{order.partner} {order.order_id}: {said.status_code} {said.text}"

    def _deliver_all_again(self) -> None:
        """Enqueues the key of every record again, and waits until all messages are handled."""
        sent: defaultdict[str, set[str]] = defaultdict(set)
        sqs, urls = self.relay.aws.client("sqs"), self.relay.connection.queues
        for record in _scan(self.relay):
            for queue in ("notifications", *_queues_of(record)):
                url = urls[queue]
                sent[url].add(sqs.send_message(QueueUrl=url, MessageBody=json.dumps(record.message))["MessageId"])
        steps.note(f"{sum(map(len, sent.values()))} messages")
        eventually(
            "all messages are handled",
            lambda: sum(
                len(ids & {one["MessageId"] for one in self.relay.aws.messages(url)}) for url, ids in sent.items()
            ),
            lambda held: held == 0,
            seconds=_DRAINED_SECONDS,
        )

    def _report(self) -> None:
        interrupted = self.killer.interrupted()
        steps.say("Faults and requests of the run")
        steps.note(f"kills: {self.killer.kills}, during an invocation: {interrupted.total()} {dict(interrupted)}")
        steps.note(f"TOP's answers: {dict(sorted(self.shown().items()))}")
        steps.note(
            f"copies of messages: {self.copier.copies}; repeated receives: at least {self.copier.received_again}; "
            f"messages with nothing left to do: {self.found_done}"
        )
        steps.note(f"requests of partners and booking systems: {dict(self.said)}")
        steps.note(f"requests of operators: {dict(self.by_person)}; records re-enqueued by the sweep: {self.swept}")

    def dead_letters(self) -> list[Any]:
        """The messages in the dead-letter queues."""
        urls = [url for name, url in self.relay.connection.queues.items() if name.endswith("-dead-letters")]
        return [json.loads(message["Body"]) for url in urls for message in self.relay.aws.messages(url)]


@pytest.fixture(scope="module")
def ordeal(pytestconfig: pytest.Config) -> Iterator[_Ordeal]:
    """The finished run. It takes minutes and prints its progress."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with ExitStack() as running:
        with capture.global_and_fixture_disabled():
            print()
            whole = _Ordeal(Relay(running.enter_context(temporary(_STACK, free_settings))))
            whole.run()
        yield whole
        with capture.global_and_fixture_disabled():
            running.close()


def test_every_effect_takes_place_once(ordeal: _Ordeal) -> None:
    times = Counter(_Effect.of_request(entry) for entry in ordeal.ledger if entry.effect)
    assert {order.order_id: times[order.effect] for order in ordeal.orders if times[order.effect] != 1} == {}
    # Other effects are failures of ship orders that were booked later: once each, and never after the success.
    others = times.keys() - {order.effect for order in ordeal.orders}
    assert all(other.failed and times[other] == 1 for other in others), others
    issued: set[str] = set()
    for effect in (_Effect.of_request(entry) for entry in ordeal.ledger if entry.effect):
        assert not (effect.failed and effect.business_id in issued), f"{effect} after its success"
        if not effect.failed:
            issued.add(effect.business_id)


def test_every_notification_is_dispatched(ordeal: _Ordeal) -> None:
    states = Counter(state for one in ordeal.records for state in one.notifications)
    assert states == {"dispatched": sum(order.notifications for order in ordeal.orders)}


def test_every_expected_call_succeeded(ordeal: _Ordeal) -> None:
    told = {name for one in ordeal.records for name in one.told}
    expected = {order.order_id: f"{order.effect.call}/{order.effect.business_id}" for order in ordeal.orders}
    assert {order_id: name for order_id, name in expected.items() if name not in told} == {}


def test_no_record_is_unfinished_or_needs_attention(ordeal: _Ordeal) -> None:
    assert [one for one in ordeal.records if one.unfinished or not one.is_done] == []
    assert ordeal.relay.attention().json()["items"] == []


def test_dead_letters_name_only_finished_records(ordeal: _Ordeal) -> None:
    done = [one.message for one in ordeal.records if one.is_done]
    assert [letter for letter in ordeal.dead_letters() if letter not in done] == []


def test_faults_leak_no_secrets_or_personal_data(ordeal: _Ordeal) -> None:
    relay = ordeal.relay
    for group, lines in relay.aws.log_lines().items():
        assert found_in(relay, "\n".join(lines)) == [], f"in log group {group}"
    assert found_in(relay, json.dumps(ordeal.dead_letters(), ensure_ascii=False)) == []
    assert found_in(relay, "\n".join(relay.error_bodies)) == []


def test_every_kind_of_fault_occurred(ordeal: _Ordeal) -> None:
    """Otherwise the other tests prove nothing."""
    assert ordeal.killer.interrupted().total() >= _FEWEST_OF_A_KIND
    assert ordeal.found_done >= _FEWEST_OF_A_KIND
    assert ordeal.copier.received_again >= _FEWEST_OF_A_KIND
    assert ordeal.rare_outcomes() == []


def _orders(stage: Stage) -> list[_Order]:
    """The orders, which take the scenarios in turn."""
    stories = _stories(stage)
    return [stories[number % len(stories)]() for number in range(_ORDERS)]


def _stories(stage: Stage) -> list[Callable[[], _Order]]:
    """Scenarios of one order each. Its link arrives before, between or after its notifications."""
    relay = stage.relay

    def link(partner: str, order_id: str, content: dict[str, Any]) -> _Step:
        return _Step("the link", lambda: relay.link(partner, order_id, content), lambda answer: answer.ok)

    def pushed(order_id: str, status: int) -> _Step:
        body = partners.sctt_push(order_id, status, scenarios.vouchers(1) if status == partners.BOOKED else ())
        return _Step("a voucher push", lambda: relay.push_sctt(body), _acknowledged(scenarios.SCTT_ACKNOWLEDGEMENT))

    def flight(*plan: str) -> _Order:
        order_id = stage.new_order("tsy")
        body = partners.tsy_issued(order_id)
        said = {
            "link": link("tsy", order_id, scenarios.happytrip_flight()),
            "issued": _Step(
                "the issue notification", lambda: relay.push_tsy(body), _acknowledged(scenarios.TSY_ACKNOWLEDGEMENT)
            ),
        }
        effect = _Effect("itinerary-postback", order_id)
        return _Order("tsy", order_id, effect, [said[what] for what in plan], notifications=1)

    def ship(*plan: str) -> _Order:
        order_id, alitrip_id = stage.new_order("sctt"), stage.new_alitrip_id()
        said = {
            "link": link("sctt", order_id, scenarios.fliggy_ship(alitrip_id, tickets=1)),
            "booked": pushed(order_id, partners.BOOKED),
            "failed": pushed(order_id, partners.FAILED),
        }
        effect = _Effect("ship-notify", alitrip_id)
        return _Order("sctt", order_id, effect, [said[what] for what in plan], len({*plan} - {"link"}))

    def ticket(write_off_type: int, *plan: str) -> _Order:
        order_id = stage.new_order("sctt")
        # TOP adds up the redemptions of an order, so each redemption needs a separate order.
        request = scenarios.ticket_redemption(order_id) | {
            "order_id": int(stage.new_alitrip_id()),
            "write_off_type": write_off_type,
        }
        said = {
            "link": link("sctt", order_id, scenarios.fliggy_ticket(order_id)),
            "booked": pushed(order_id, partners.BOOKED),
            "redeem": _Step(
                "the redemption",
                lambda: relay.submit("ticket-verify", request, idempotency_key=order_id),
                lambda answer: answer.ok,
            ),
        }
        effect = _Effect("ticket-verify", order_id)
        return _Order("sctt", order_id, effect, [said[what] for what in plan], int("booked" in plan), request)

    return [
        lambda: flight("link", "issued"),
        lambda: ship("link", "booked"),
        lambda: ticket(_ONCE, "redeem"),
        lambda: flight("issued", "link", "issued"),
        lambda: ship("booked", "link", "booked"),
        lambda: ticket(_TOTAL, "redeem"),
        lambda: flight("issued", "link"),
        lambda: ship("booked", "link"),
        lambda: ticket(_ONCE, "link", "booked", "redeem"),
        lambda: ship("link", "failed", "booked"),
        lambda: ship("failed", "link", "booked"),
        lambda: ticket(_TOTAL, "booked", "redeem", "link"),
        lambda: ship("failed", "booked", "link"),
    ]


def _acknowledged(body: str) -> Callable[[requests.Response], bool]:
    return lambda answer: (answer.status_code, answer.text) == (200, body)


def _repeat(act: Callable[[], None], every_seconds: float, over: Event) -> None:
    while not over.wait(every_seconds):
        act()


def _scan(relay: Relay) -> list[_Record]:
    """Reads all records of the table."""
    pages = (
        relay.aws.client("dynamodb")
        .get_paginator("scan")
        .paginate(
            TableName=relay.connection.table,
            ConsistentRead=True,
            FilterExpression="sk = :record AND attribute_not_exists(points_to)",
            ExpressionAttributeValues={":record": {"S": "record"}},
        )
    )
    return [_record(item) for page in pages for item in page["Items"]]


def _record(item: Mapping[str, Any]) -> _Record:
    def value(name: str) -> str:
        return str(next(iter(item.get(name, {"S": ""}).values())))

    submissions = [one["M"] for one in item.get("submissions", {}).get("L", [])]
    told = [
        lane for lane, one in item.get("told", {}).get("M", {}).items() if "rejected" not in one["M"]["outcome"]["S"]
    ]
    # A corrected submission comes after the refused one with the same key.
    newest = {one["key"]["S"]: one for one in submissions}
    succeeded = [one["key"]["S"] for one in submissions if "succeeded" in one.get("outcome", {}).get("S", "")]
    return _Record(
        pk=value("pk"),
        undecided="facts" in item,
        reasons=tuple(one["S"] for one in item.get("reasons", {}).get("L", [])),
        target=value("t_call"),
        end=value("t_end"),
        unfinished=value("unfinished"),
        held_until_ms=max(int(value("t_due") or 0), int(value("s_until") or 0)),
        notifications=tuple(
            one["M"].get("state", {}).get("S", "received") for name, one in item.items() if name.startswith("n#")
        ),
        refused=tuple(key for key, one in newest.items() if one.get("refused") and "outcome" not in one),
        told=(*told, *(f"ticket-verify/{key}" for key in succeeded)),
    )


def _queues_of(record: _Record) -> Sequence[str]:
    """The call queues that may have held the record's key."""
    kind, name, _ = record.pk.split("#", 2)
    if kind == "submission":
        return (name,)
    return ("itinerary-postback",) if name == "tsy" else ("ship-notify",)


def _state(record: _Record) -> str:
    if record.undecided:
        return "undecided"
    return ", ".join(record.reasons) or f"{record.target} {record.end or 'pending'}".strip()


def _described(records: Sequence[_Record]) -> str:
    return "\n".join(str(one) for one in records if one.unfinished or not one.is_done)
