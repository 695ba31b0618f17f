"""Tests the deployed dashboard, and the alarms that the local AWS supports."""

from __future__ import annotations

import json

from relay import Relay

_STACK = "ticket-relay-local"


def test_dashboard_shows_the_steps_of_a_notification_from_left_to_right(relay: Relay) -> None:
    cloudwatch = relay.aws.client("cloudwatch")
    body = json.loads(cloudwatch.get_dashboard(DashboardName=_STACK)["DashboardBody"])
    first_row = sorted((widget for widget in body["widgets"] if widget["y"] == 0), key=lambda widget: widget["x"])
    steps = ["received", "waiting", "decided", "sent", "refused", "unknown"]
    assert [title for title, step in zip(_titles(first_row), steps, strict=True) if step in title] == _titles(first_row)
    for widget in first_row:
        [[shown]] = widget["properties"]["metrics"]
        assert f'"ticket-relay/{_STACK}"' in shown["expression"], "a namespace with a slash must be quoted"
    assert "alarms" in _titles(body["widgets"])


def test_every_alarm_notifies_the_topic_when_it_fires_and_when_it_ends(relay: Relay) -> None:
    topic = relay.aws.stack_outputs(_STACK)["AlarmTopicArn"]
    alarms = relay.aws.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{_STACK}-")["MetricAlarms"]
    assert {alarm["AlarmName"].removeprefix(f"{_STACK}-") for alarm in alarms} == {
        "configuration-fault",
        "failing",
        "needs-person",
        "order-events-lag",
        "order-events-lost",
    }
    for alarm in alarms:
        assert (alarm["AlarmActions"], alarm["OKActions"]) == ([topic], [topic]), alarm["AlarmName"]


def _titles(widgets: list[dict[str, dict[str, str]]]) -> list[str]:
    return [widget["properties"]["title"] for widget in widgets]
