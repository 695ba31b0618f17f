"""Tests the order events that subscribers of the topic get through the table's stream and the deployed function."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import partners
import scenarios
from layout import STACKS
from processes import Processes
from scenarios import Stage
from waiting import eventually

#: Subscribers get an event within this time, including the stream's batching window.
_PUBLISHED_SECONDS = 60


def test_subscriber_gets_all_events_of_an_order_from_notification_to_success(stage: Stage) -> None:
    order_id = stage.new_order("tsy")
    filters = {"order": [order_id], "outcome": ["succeeded"]}
    with subscribed(stage, {"order": [order_id]}) as all_of_it, subscribed(stage, filters) as the_end:
        stage.notify_tsy(partners.tsy_issued(order_id))
        stage.await_notifications("tsy", order_id, "waiting")
        stage.link("tsy", order_id, scenarios.happytrip_flight())
        stage.await_calls("tsy", order_id, "itinerary-postback", "succeeded")
        expected = {"received", "waiting", "dispatched", "succeeded"}
        events = eventually(
            f"all events of {order_id}",
            all_of_it,
            lambda events: {event["data"]["outcome"] for event in events} == expected,
            seconds=_PUBLISHED_SECONDS,
        )
        assert {event["data"]["order_id"] for event in events} == {order_id}
        assert {event["specversion"] for event in events} == {"1.0"}
        ends = eventually("the event of its success", the_end, seconds=_PUBLISHED_SECONDS)
        assert {event["type"] for event in ends} == {"ticket-relay.call.succeeded"}
        assert all(event["data"]["seconds_from_notification"] >= 0 for event in ends)


def test_events_contain_no_personal_data(stage: Stage) -> None:
    order_id, alitrip_id = stage.new_order("sctt"), stage.new_alitrip_id()
    with subscribed(stage, {"order": [order_id]}) as events:
        stage.link("sctt", order_id, scenarios.fliggy_ship(alitrip_id, tickets=1))
        stage.notify_sctt(partners.sctt_push(order_id, partners.BOOKED, scenarios.vouchers(1)))
        told = eventually(
            f"the success of {order_id}",
            events,
            lambda events: "succeeded" in {event["data"]["outcome"] for event in events},
            seconds=_PUBLISHED_SECONDS,
        )
    for personal in (scenarios.PASSENGER_NAME, scenarios.CERTIFICATE_NUMBER, *scenarios.TICKET_PASSWORDS):
        assert personal not in json.dumps(told, ensure_ascii=False)


def test_events_survive_kills_of_the_publishing_function(stage: Stage) -> None:
    orders = [stage.new_order("tsy") for _ in range(30)]
    with subscribed(stage, {"outcome": ["received"], "partner": ["tsy"]}) as events:
        for index, order_id in enumerate(orders):
            stage.notify_tsy(partners.tsy_issued(order_id))
            if index % 2:
                kill_publishers()
        eventually(
            "an event of each order",
            lambda: {event["data"]["order_id"] for event in events()},
            lambda told: told >= set(orders),
            seconds=_PUBLISHED_SECONDS,
        )


def kill_publishers() -> None:
    """Kills the publishing function without warning, at any point; spares the stack's other functions."""
    for pid in Processes(STACKS / "test").children("ministack"):
        with suppress(OSError):
            if b"ORDER_EVENTS_TOPIC_ARN=" in Path(f"/proc/{pid}/environ").read_bytes():
                os.kill(pid, signal.SIGKILL)


@contextmanager
def subscribed(stage: Stage, policy: dict[str, list[str]]) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Subscribes a new queue to the topic's matching events; yields a function that returns the events so far."""
    aws, topic = stage.relay.aws, stage.relay.connection.order_events_topic
    sqs, sns = aws.client("sqs"), aws.client("sns")
    url = sqs.create_queue(QueueName=stage.new_id("subscriber"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    attributes = {"FilterPolicy": json.dumps(policy), "RawMessageDelivery": "true"}
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=attributes)
    try:
        yield lambda: [json.loads(message["Body"]) for message in aws.messages(url)]
    finally:
        sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
        sqs.delete_queue(QueueUrl=url)
