"""Tests the deployed dashboard, and the alarms that the local AWS supports."""

from __future__ import annotations

import json
import re

from layout import ROOT, TEMPLATE
from relay import Relay

_STACK = "ticket-relay-local"
ALARMS = re.findall(r'AlarmName: !Sub "?\$\{AWS::StackName\}-([a-z-]+)', TEMPLATE.read_text(encoding="utf-8"))


def test_dashboard_shows_the_steps_of_a_notification_from_left_to_right(relay: Relay) -> None:
    cloudwatch = relay.aws.client("cloudwatch")
    body = json.loads(cloudwatch.get_dashboard(DashboardName=_STACK)["DashboardBody"])
    first_row = sorted((widget for widget in body["widgets"] if widget["y"] == 0), key=lambda widget: widget["x"])
    steps = ["received", "waiting", "decided", "sent", "refused", "unknown"]
    assert [title for title, step in zip(_titles(first_row), steps, strict=True) if step in title] == _titles(first_row)
    for widget in first_row:
        [[shown]] = widget["properties"]["metrics"]
        assert f'"ticket-relay/{_STACK}"' in shown["expression"], "a namespace with a slash must be quoted"
    [alarms] = [widget["properties"]["alarms"] for widget in body["widgets"] if widget["type"] == "alarm"]
    assert {arn.rpartition(f":{_STACK}-")[2] for arn in alarms} == set(ALARMS)


def test_every_alarm_notifies_the_topic_when_it_fires_and_when_it_ends(relay: Relay) -> None:
    topic = relay.aws.stack_outputs(_STACK)["AlarmTopicArn"]
    alarms = relay.aws.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{_STACK}-", MaxRecords=100)[
        "MetricAlarms"
    ]
    assert {alarm["AlarmName"].removeprefix(f"{_STACK}-") for alarm in alarms} == set(ALARMS)
    sections = re.findall("^### (.*)$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    for alarm in alarms:
        assert (alarm["AlarmActions"], alarm["OKActions"]) == ([topic], [topic]), alarm["AlarmName"]
        assert alarm["AlarmDescription"].rpartition("docs/operations.md#")[2] in sections, alarm["AlarmName"]


def _titles(widgets: list[dict[str, dict[str, str]]]) -> list[str]:
    return [widget["properties"]["title"] for widget in widgets]
