"""Runs every scenario of `make demo`, and checks its records in the table."""

from __future__ import annotations

import pytest

from scenarios import SCENARIOS, ExpectedCall, Scenario, Stage, verify


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.title)
def test_scenario_ends_with_the_expected_calls_and_records(stage: Stage, scenario: Scenario) -> None:
    calls = scenario.play(stage)
    stage.wait_until_idle()
    verify(calls, stage.simulator.ledger())
    assert_order_records_agree(stage)
    assert_call_records_end_as_expected(stage, calls)


def assert_order_records_agree(stage: Stage) -> None:
    """Asserts that the table holds the link and the notification states that the API returns."""
    for partner, order_id in stage.orders:
        told = stage.relay.order(partner, order_id)
        record = stage.relay.aws.record(stage.relay.connection.table, f"order#{partner}#{order_id}", "record")
        assert record is not None
        assert ("link" in record) == ("link" in told)
        notifications = {name: value["M"]["state"]["S"] for name, value in record.items() if name.startswith("n#")}
        assert notifications == {f"n#{one['digest']}": one["state"] for one in told["notifications"]}


def assert_call_records_end_as_expected(stage: Stage, calls: list[ExpectedCall]) -> None:
    """Asserts that each call is in its expected state, and that its record expires if it is finished."""
    for expected in calls:
        if not expected.requests:
            continue
        assert stage.relay.ask_call(expected.call, expected.key).json()["state"] == expected.state
    for partner, order_id in stage.orders:
        record = stage.relay.aws.record(stage.relay.connection.table, f"order#{partner}#{order_id}", "record")
        assert record is not None
        assert ("expires_at" in record) == ("attention" not in record)
