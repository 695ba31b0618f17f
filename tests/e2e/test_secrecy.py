"""Tests that secrets and personal data stay in the table and at TOP during the whole suite."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

import partners
import scenarios
from layout import LOGS
from relay import Relay
from scenarios import Stage

pytestmark = pytest.mark.last


def test_personal_data_is_masked_in_answers_to_the_booking_system(stage: Stage) -> None:
    order_id = stage.new_order("sctt")
    stage.link("sctt", order_id, scenarios.fliggy_ship(stage.new_alitrip_id(), tickets=2))
    stage.notify_sctt(partners.sctt_push(order_id, partners.BOOKED, scenarios.vouchers(2)))
    stage.await_calls("sctt", order_id, "ship-notify", "succeeded")
    order = stage.relay.order("sctt", order_id)
    for part in ("notifications", "calls", "timeline"):
        told = json.dumps(order[part], ensure_ascii=False)
        assert [name for name, value in personal().items() if value in told] == []


def test_function_logs_contain_no_secrets_or_personal_data(relay: Relay) -> None:
    lines = relay.aws.log_lines()
    assert sum(map(len, lines.values())) > 100, "this test does not find the functions' logs"
    for group, written in lines.items():
        assert found_in(relay, "\n".join(written)) == [], f"in log group {group}"


def test_program_logs_contain_no_secrets_or_personal_data(relay: Relay) -> None:
    for log in LOGS.glob("test-*.log"):
        assert found_in(relay, log.read_text("utf-8", errors="replace")) == [], f"in {log.name}"


def test_messages_contain_no_secrets_or_personal_data(relay: Relay) -> None:
    for name, url in relay.connection.queues.items():
        held = json.dumps(relay.aws.messages(url), ensure_ascii=False)
        assert found_in(relay, held) == [], f"in queue {name}"


def test_error_bodies_contain_no_secrets_or_personal_data(relay: Relay) -> None:
    assert len(relay.error_bodies) > 20, "this test must run after the tests that provoke errors"
    assert found_in(relay, "\n".join(relay.error_bodies)) == []


def personal() -> dict[str, str]:
    """The scenarios' personal data, by description."""
    return {
        "passenger name": scenarios.PASSENGER_NAME,
        "certificate number": scenarios.CERTIFICATE_NUMBER,
        "first ticket password": scenarios.TICKET_PASSWORDS[0],
        "second ticket password": scenarios.TICKET_PASSWORDS[1],
    }


def found_in(relay: Relay, text: str) -> list[str]:
    """Names the secrets and personal data in the text: plain, escaped as in JSON, or encoded as in a form or URL."""
    connection = relay.connection
    planted = {
        **personal(),
        "TSY's token": connection.tsy_url.split("/")[-2],
        "SCTT's token": connection.sctt_url.split("/")[-2],
        "SCTT's secret": connection.sctt_secret,
        "TOP's app secret": connection.top_app_secret,
        "TOP's session": connection.top_session,
    }
    return [
        what
        for what, value in planted.items()
        if any(form in text for form in (value, json.dumps(value)[1:-1], quote(value)))
    ]
