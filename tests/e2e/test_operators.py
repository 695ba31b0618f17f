"""Tests the command line for operators: lists, reasons, and requests that correct unfinished records."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import partners
import scenarios
from layout import BINARIES
from scenarios import Stage
from test_command_line import answered, operators_environment, relay, said
from waiting import eventually


def _waiting(stage: Stage, count: int) -> list[str]:
    """The ids of this many orders that wait for a link."""
    ids = [stage.new_order("tsy") for _ in range(count)]
    for order_id in ids:
        stage.notify_tsy(partners.tsy_issued(order_id))
    for order_id in ids:
        stage.await_notifications("tsy", order_id, "waiting")
    return ids


def _unfinished(stage: Stage, *filters: str) -> set[str]:
    items = answered(stage, "list", *filters)["items"]
    return {item.get("order_id") or item.get("key") or item["digest"] for item in items}


def test_unfinished_orders_are_listed_with_reason_and_next_step(stage: Stage) -> None:
    [order_id] = _waiting(stage, 1)
    shown = said(stage, "list", "--state", "waiting", "--since", "1h")
    assert order_id in shown and "waiting" in shown and "has not linked" in shown and " link " in shown
    assert order_id in _unfinished(stage, "--reason", "no_link", "--partner", "tsy", "--kind", "issue-notify")
    assert order_id not in _unfinished(stage, "--until", "1h")
    assert order_id not in _unfinished(stage, "--state", "attention,refused")
    wrong = relay(stage, "list", "--state", "wait")
    assert wrong.returncode != 0 and "state must be one of attention" in wrong.stderr


def test_narrow_terminal_cuts_no_key(stage: Stage) -> None:
    [order_id] = _waiting(stage, 1)
    done = relay(stage, "list", "--state", "waiting", COLUMNS="80")
    assert order_id in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert "─" not in done.stdout


def test_many_orders_are_closed_at_once_after_a_dry_run(stage: Stage, tmp_path: Path) -> None:
    ids = set(_waiting(stage, 12))
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 120))
    filters = ["--state", "waiting", "--partner", "tsy", "--since", since]
    known = _unfinished(stage, *filters)
    assert ids <= known
    planned = said(stage, "bulk", "close", *filters, "--note", "test orders", "--dry-run")
    assert f"{len(known)} of {len(known)} items" in planned
    assert _unfinished(stage, *filters) == known, "a dry run changes nothing"
    # The file names only this test's orders, so the others' stay.
    listed = [item for item in answered(stage, "list", *filters)["items"] if item["order_id"] in ids]
    file = tmp_path / "orders.jsonl"
    file.write_text("".join(json.dumps(item) + "\n" for item in listed))
    began = time.monotonic()
    done = answered(stage, "bulk", "close", "--from", str(file), "--note", "test orders", "--rate", "5")
    assert time.monotonic() - began >= (len(ids) - 1) / 5
    assert (done["done"], done["skipped"], done["failed"], done["not_touched"]) == (12, 0, [], 0)
    eventually("the orders are closed", lambda: ids & _unfinished(stage, *filters), lambda left: not left)
    assert stage.relay.order("tsy", next(iter(ids)))["stopped"] == "closed"
    # They have changed since the file was written.
    again = answered(
        stage,
        "bulk",
        "close",
        "--from",
        str(file),
        "--note",
        "again",
        "--rate",
        "100",
        "--failures",
        str(tmp_path / "left"),
    )
    assert (again["done"], again["skipped"]) == (0, 12)


def test_interrupted_run_stops_cleanly_and_can_go_on(stage: Stage, tmp_path: Path) -> None:
    ids = _waiting(stage, 6)
    items = [item for item in answered(stage, "list", "--state", "waiting")["items"] if item.get("order_id") in ids]
    file, left = tmp_path / "orders.jsonl", tmp_path / "left.jsonl"
    file.write_text("".join(json.dumps(item) + "\n" for item in items))
    command = ["bulk", "close", "--from", str(file), "--note", "n", "--rate", "1", "--failures", str(left)]
    running = _start(stage, "--json", *command)
    # The first request is sent at once.
    eventually("one order is closed", lambda: [stage.relay.order("tsy", one).get("stopped") for one in ids], any)
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=30)
    told = json.loads(out)
    assert running.returncode != 0 and told["not_touched"] > 0 and told["file"] == str(left)
    assert told["done"] + told["not_touched"] == 6
    going_on = ["bulk", "close", "--from", str(left), "--note", "n", "--rate", "100"]
    assert answered(stage, *going_on)["done"] == told["not_touched"]


def _start(stage: Stage, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [BINARIES / "relay", *arguments],
        env=operators_environment(stage),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_bulk_needs_a_filter_and_confirmation_of_many(stage: Stage, tmp_path: Path) -> None:
    unfiltered = relay(stage, "bulk", "replay", "--note", "n")
    assert unfiltered.returncode != 0 and "at least one filter" in unfiltered.stderr
    item: dict[str, Any] = {"state": "attention", "partner": "tsy", "order_id": "P-none"}
    file = tmp_path / "many.jsonl"
    file.write_text((json.dumps(item) + "\n") * 101)
    many = relay(stage, "bulk", "replay", "--from", str(file), "--note", "n")
    assert many.returncode != 0 and "101 items" in many.stderr and "--yes" in many.stderr
    file.write_text(json.dumps(item) + "\n")
    failures = tmp_path / "failures.jsonl"
    failed = relay(stage, "--json", "bulk", "replay", "--from", str(file), "--note", "n", "--failures", str(failures))
    assert failed.returncode != 0
    [problem] = json.loads(failed.stdout)["failed"]
    assert problem["order_id"] == "P-none" and problem["problem"].startswith("404")
    assert [json.loads(line)["order_id"] for line in failures.read_text().splitlines()] == ["P-none"]


def test_order_is_found_by_its_id_and_by_its_number_at_fliggy(stage: Stage) -> None:
    order_id, number = stage.new_order("sctt"), stage.new_alitrip_id()
    stage.link("sctt", order_id, scenarios.fliggy_ship(number, tickets=2))
    stage.notify_sctt(partners.sctt_push(order_id, partners.BOOKED, scenarios.vouchers(2)))
    stage.await_calls("sctt", order_id, "ship-notify", "succeeded")
    for wanted in (order_id, number):
        items = answered(stage, "find", wanted)["items"]
        assert {(item["partner"], item["order_id"]) for item in items} == {("sctt", order_id)}, wanted
    assert "order number of ship-notify" in said(stage, "find", number)
    nothing = relay(stage, "find", stage.new_id("nowhere"))
    assert nothing.returncode == 3 and "Passengers" in nothing.stderr
    told = said(stage, "log", "--about", order_id, "--since", "10m")
    assert "notification recorded" in told and order_id in told
    assert "notification recorded" not in said(stage, "log", "--about", order_id, "--problems")


def test_report_counts_what_was_received_and_told(stage: Stage) -> None:
    order_id = stage.new_order("sctt")
    before = answered(stage, "report", "--since", "1d")
    number = stage.new_alitrip_id()
    stage.link("sctt", order_id, scenarios.fliggy_ship(number, tickets=2))
    stage.notify_sctt(partners.sctt_push(order_id, partners.BOOKED, scenarios.vouchers(2)))
    stage.await_calls("sctt", order_id, "ship-notify", "succeeded")

    def row(report: dict[str, Any], part: str, name: str, key: str) -> dict[str, Any]:
        [found] = [one for one in report[part] if one[name] == key]
        return found

    def told(report: dict[str, Any]) -> int:
        return row(report, "calls", "call", "ship-notify")["told"]

    after = eventually(
        "the success is counted",
        lambda: answered(stage, "report", "--since", "1d"),
        lambda report: told(report) > told(before),
    )
    received = [row(one, "notifications", "notification", "voucher-push")["received"] for one in (before, after)]
    assert received[1] > received[0]
    ship = row(after, "calls", "call", "ship-notify")
    assert 0 <= ship["p50_s"] <= ship["p95_s"] <= ship["max_s"]
    assert "| ship-notify |" in said(stage, "report", "--format", "markdown")
    assert "call,told,refused" in said(stage, "report", "--format", "csv")


def test_log_is_followed_until_it_is_interrupted(stage: Stage) -> None:
    order_id = stage.new_order("tsy")
    running = _start(stage, "log", "--follow", "--since", "1s", "--about", order_id)
    stage.notify_tsy(partners.tsy_issued(order_id))
    stage.await_notifications("tsy", order_id, "waiting")
    assert running.stdout is not None
    assert order_id in running.stdout.readline()
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=30)
    assert running.returncode == 0


def test_paused_call_waits_until_it_is_resumed(stage: Stage) -> None:
    paused = answered(stage, "pause", "ticket-refund-notify", "--for", "1h", "--note", "TOP asked us to")["items"]
    [pause] = [held for held in paused if held["cause"] == "paused"]
    assert (pause["call"], pause["account"], pause["note"]) == ("ticket-refund-notify", "*", "TOP asked us to")
    shown = said(stage, "status")
    assert "ticket-refund-notify" in shown and "paused" in shown and "dead letters" in shown
    refund = {"order_id": 12345678, "refund_status": 1, "refund_num": 1, "refund_batch_no": stage.new_id("B")}
    key = answered(stage, "call", "submit", "ticket-refund-notify", "-", given=refund)["key"]
    eventually("the call is held", lambda: _unfinished(stage, "--state", "held", "--reason", "paused"), bool)
    assert key in _unfinished(stage, "--state", "held", "--reason", "paused")
    answered(stage, "resume", "all", "--note", "done")
    eventually(
        "the call is sent",
        lambda: answered(stage, "call", "show", "ticket-refund-notify", key)["state"],
        lambda state: state == "succeeded",
        seconds=150,
    )
    wrong = relay(stage, "resume", "ticket-refund-notify", "--note", "n")
    assert wrong.returncode == 4 and "not paused" in wrong.stderr


def test_unreadable_body_is_shown_and_dismissed(stage: Stage) -> None:
    name = stage.new_id("unreadable")
    refused = stage.relay.push_tsy({"orderStatus": name})
    assert refused.status_code == 400
    [item] = [
        item
        for item in answered(stage, "unreadable", "list")["items"]
        if name in said(stage, "unreadable", "show", item["notification"], item["digest"], "--body")
    ]
    digest = item["digest"]
    shown = said(stage, "unreadable", "show", "issue-notify", digest)
    assert "orderId" in shown and name not in shown, "the body is shown only if it is asked for"
    again = relay(stage, "unreadable", "retry", "issue-notify", digest, "--note", "n")
    assert again.returncode != 0 and "still unreadable" in again.stderr
    answered(stage, "unreadable", "dismiss", "issue-notify", digest, "--note", "asked TSY")
    assert digest not in _unfinished(stage, "--state", "unreadable")
    assert "asked TSY" in said(stage, "unreadable", "show", "issue-notify", digest)
