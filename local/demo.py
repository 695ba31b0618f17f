"""Runs every scenario on a running stack and shows the results on the terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from textwrap import shorten
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from relay import Relay
from scenarios import SCENARIOS, ExpectedCall, Scenario, Stage, verify
from simulator import Entry
from waiting import NotReached

#: Characters a line if the output goes to a file: wide enough for the tables.
_WIDTH_WITHOUT_TERMINAL = 150
_PROBLEM_CHARACTERS = 200


@dataclass
class _Act:
    """One run of a scenario, with its stage and its problem, if any."""

    scenario: Scenario
    stage: Stage
    calls: list[ExpectedCall] = field(default_factory=list)
    problem: str | None = None


class Demo:
    """The demonstration on one stack. Nothing else may use the stack's simulator during the run."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._stage = Stage(relay)
        # The output contains strings from other programs: brackets in them are not markup.
        self._console = Console(highlight=False, markup=False)
        if not self._console.is_terminal:
            self._console.width = _WIDTH_WITHOUT_TERMINAL

    def run(self) -> bool:
        """Runs and shows all scenarios; returns whether all passed and no unexpected call was sent."""
        self._stage.simulator.reset()
        acts = [self._act(number, scenario) for number, scenario in enumerate(SCENARIOS, 1)]
        left_over = self._left_over()
        ledger = self._stage.simulator.ledger()
        for act in acts:
            self._judge(act, ledger)
        for act in acts:
            self._show_orders(act)
        self._show_ledger(ledger)
        strays = _strays(acts, ledger)
        self._show_verdict(acts, strays)
        if left_over:
            self._console.print(left_over)
        return not left_over and not strays and all(act.problem is None for act in acts)

    def _left_over(self) -> str | None:
        """Waits until nothing is in flight; returns an error if something stays in flight or was dead-lettered."""
        try:
            self._stage.wait_until_idle()
        except NotReached as problem:
            return str(problem)
        dead = self._stage.dead_letters()
        return f"unexpected messages in dead-letter queues: {dead}" if dead else None

    def _act(self, number: int, scenario: Scenario) -> _Act:
        self._console.print(f"==> {number}/{len(SCENARIOS)} {scenario.title}")
        started = time.monotonic()
        act = _Act(scenario, Stage(self._relay))
        try:
            act.calls = scenario.play(act.stage)
        except Exception as problem:  # One failure must not hide the results of the other scenarios.
            act.problem = f"{type(problem).__name__}: {problem}"
        seconds = time.monotonic() - started
        self._console.print(f"    {'passed' if act.problem is None else act.problem} ({seconds:.1f} s)")
        return act

    def _judge(self, act: _Act, ledger: Sequence[Entry]) -> None:
        """Checks the ledger again after nothing is in flight any more."""
        try:
            verify(act.calls, ledger)
        except AssertionError as problem:
            act.problem = act.problem or str(problem)

    def _show_orders(self, act: _Act) -> None:
        for partner, order_id in act.stage.orders:
            answer = self._relay.ask_order(partner, order_id)
            if not answer.ok:
                self._console.print(f"{partner} {order_id}: {answer.status_code} {answer.text}")
                continue
            order = answer.json()
            table = _table(f"{partner} {order_id}: {act.scenario.title}", "at", "event", "detail")
            for moment in order["timeline"]:
                table.add_row(moment["at"], moment["event"], moment.get("detail") or "")
            for call in order["calls"] + self._submitted(act, order["calls"]):
                table.add_row(call["updated_at"], f"{call['call']} is {call['state']}", f"key {call['key']}")
            self._console.print(table)

    def _submitted(self, act: _Act, shown: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Calls that the scenario submitted itself. No order lists them."""
        known = {(call["call"], call["key"]) for call in shown}
        others = [call for call in act.calls if call.requests and (call.call, call.key) not in known]
        return [self._relay.ask_call(call.call, call.key).json() for call in others]

    def _show_ledger(self, ledger: Sequence[Entry]) -> None:
        table = _table("TOP's ledger: every request to the simulator", "at", "call", "for", "outcome", "effect")
        for entry in ledger:
            effect = Text("yes", "green") if entry.effect else Text("none", "yellow")
            at = entry.at.strftime("%H:%M:%S.%f")[:-3]
            table.add_row(at, entry.call, entry.business_id, Text(entry.outcome), effect)
        self._console.print(table)

    def _show_verdict(self, acts: Sequence[_Act], strays: Sequence[Entry]) -> None:
        table = _table("Results", "scenario", "expected calls", "result")
        for act in acts:
            calls = ", ".join(
                f"{call.call}: {call.effects} effect, {call.state}" if call.requests else f"{call.call}: none"
                for call in act.calls
            )
            # The full message was printed when the scenario ran.
            problem = act.problem and shorten(act.problem, _PROBLEM_CHARACTERS)
            verdict = Text(problem, "red") if problem else Text("passed", "green")
            table.add_row(act.scenario.title, calls, verdict)
        self._console.print(table)
        for entry in strays:
            self._console.print(f"    unexpected in the ledger: {entry.call} {entry.business_id} at {entry.at}")
        passed = sum(act.problem is None for act in acts)
        self._console.print(f"{passed} of {len(acts)} scenarios passed; {len(strays)} unexpected calls")


def _strays(acts: Sequence[_Act], ledger: Sequence[Entry]) -> list[Entry]:
    """Requests that no scenario expects."""
    expected = {(call.call, call.business_id) for act in acts for call in act.calls}
    return [entry for entry in ledger if (entry.call, entry.business_id) not in expected]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(title, "bold"), title_justify="left", expand=True)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
