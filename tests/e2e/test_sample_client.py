"""Runs the sample client of the documentation against the local stack."""

from __future__ import annotations

import sys

import boto3
import pytest

import aws
import partners
import scenarios
from layout import ROOT
from scenarios import Stage

sys.path.insert(0, str(ROOT / "docs" / "samples"))

import booking_system


@pytest.fixture
def session() -> boto3.Session:
    """What the AWS CLI would use."""
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=aws.REGION)


def test_sample_links_an_order_and_follows_its_events(stage: Stage, session: boto3.Session) -> None:
    connection = stage.relay.connection
    endpoint = {"endpoint_url": connection.aws_endpoint_url}
    sqs, sns = session.client("sqs", **endpoint), session.client("sns", **endpoint)
    order_id, name = stage.new_order("sctt"), stage.new_id("sample")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events = booking_system.OrderEvents(url, session, **endpoint)
    events.subscribe(connection.order_events_topic, arn, {"order": [order_id]}, sns)
    relay = booking_system.TicketRelay(connection.api_url, session)
    number = stage.new_alitrip_id()
    assert relay.link("sctt", order_id, scenarios.fliggy_ship(number, tickets=2))["version"] == 1
    stage.notify_sctt(partners.sctt_push(order_id, partners.BOOKED, scenarios.vouchers(2)))
    outcomes = set()
    for event in events:
        outcomes.add(event["data"]["outcome"])
        if "succeeded" in outcomes:
            break
    assert {"received", "succeeded"} <= outcomes
    assert relay.wait("ship-notify", number)["state"] == "succeeded"
    sqs.delete_queue(QueueUrl=url)


def test_sample_submits_a_call_once_and_says_what_is_wrong(stage: Stage, session: boto3.Session) -> None:
    relay = booking_system.TicketRelay(stage.relay.connection.api_url, session)
    order_id, key = stage.new_order("sctt"), stage.new_id("redemption")
    redemption = scenarios.ticket_redemption(order_id)
    for _ in range(2):
        assert relay.submit("ticket-verify", redemption, key)["key"] == key
    assert relay.wait("ticket-verify", key)["state"] == "succeeded"
    with pytest.raises(booking_system.RelayError) as refused:
        relay.submit("ticket-verify", {**redemption, "check_num": "many"}, stage.new_id("redemption"))
    assert (refused.value.status, refused.value.field) == (400, "check_num")
