"""Every story of `make demo`, and what its records say in the table when it is over."""

from __future__ import annotations

import pytest

from scenarios import SCENARIOS, ExpectedCall, Scenario, Stage, verify


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.title)
def test_the_story_ends_as_it_should(stage: Stage, scenario: Scenario) -> None:
    calls = scenario.play(stage)
    stage.settle()
    verify(calls, stage.simulator.ledger())
    assert_order_records_agree(stage)
    assert_call_records_end_as_expected(stage, calls)


def assert_order_records_agree(stage: Stage) -> None:
    """Asserts that the table holds the link and the notification states that the relay tells."""
    for partner, order_id in stage.orders:
        told = stage.relay.order(partner, order_id)
        records = stage.relay.aws.records(stage.relay.connection.table, f"order#{partner}#{order_id}")
        states = {record["sk"]["S"]: record.get("state", {}).get("S") for record in records}
        assert states.pop("link", "none") == (None if told["link"] else "none")
        assert states == {f"notification#{one['kind']}#{one['digest']}": one["state"] for one in told["notifications"]}


def assert_call_records_end_as_expected(stage: Stage, calls: list[ExpectedCall]) -> None:
    """Asserts that each call's record is in the state that the story ends in, and will expire one day."""
    for expected in calls:
        if not expected.requests:
            continue
        record = stage.relay.aws.record(stage.relay.connection.table, f"call#{expected.call}#{expected.key}", "call")
        assert record is not None
        assert record["state"]["S"] == expected.state
        assert "expires_at" in record
