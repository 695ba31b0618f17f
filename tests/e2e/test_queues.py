"""Tests the contents of the queues, and the handling of invalid messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import partners
import scenarios
from layout import CALLS
from scenarios import Stage
from waiting import eventually

_POISONS = ("not a key", "{}", '{"call": 7}', "null")
_LONGEST_KEY_MESSAGE = 400
_SORTED_OUT_SECONDS = 90


def test_message_holds_a_key_and_no_personal_data(stage: Stage) -> None:
    order_id, alitrip_id = stage.new_order("sctt"), stage.new_alitrip_id()
    stage.link("sctt", order_id, scenarios.fliggy_ship(alitrip_id, tickets=1))
    with unread(stage, "ship-notify"):
        with unread(stage, "notifications"):
            stage.notify_sctt(partners.sctt_push(order_id, partners.BOOKED, scenarios.vouchers(1)))
            about_the_order = only_message(stage, "notifications")
        about_the_call = only_message(stage, "ship-notify")
    stage.await_calls("sctt", order_id, "ship-notify", "succeeded")
    for message in (about_the_order, about_the_call):
        assert json.loads(message) == {"partner": "sctt", "order_id": order_id}
        assert len(message) <= _LONGEST_KEY_MESSAGE
        for personal in (scenarios.PASSENGER_NAME, scenarios.CERTIFICATE_NUMBER, *scenarios.TICKET_PASSWORDS):
            assert personal not in message


@pytest.mark.parametrize("queue", ["notifications", *CALLS])
def test_undecodable_messages_are_dead_lettered_and_do_not_block_a_valid_one(stage: Stage, queue: str) -> None:
    order_id, key, alitrip_id = stage.new_id("P"), stage.new_id("redemption"), stage.new_alitrip_id()
    stage.link("tsy", order_id, scenarios.happytrip_flight())
    stage.link("sctt", order_id, scenarios.fliggy_ship(alitrip_id, tickets=1))
    with unread(stage, queue):
        poisoned = {send(stage, queue, poison): poison for poison in _POISONS}
        stage.notify_tsy(partners.tsy_issued(order_id))
        stage.notify_sctt(partners.sctt_push(order_id, partners.BOOKED, scenarios.vouchers(1)))
        stage.relay.submit("ticket-verify", scenarios.ticket_redemption(order_id), idempotency_key=key)
        stage.relay.submit("ship-return-notify", scenarios.ship_refund(alitrip_id))
        stage.relay.submit("ticket-refund-notify", scenarios.ticket_refund(alitrip_id))
        eventually(f"{queue} has a valid message", lambda: messages(stage, queue).keys() > poisoned.keys())
    stage.await_calls("tsy", order_id, "itinerary-postback", "succeeded")
    stage.await_calls("sctt", order_id, "ship-notify", "succeeded")
    stage.await_submitted("ticket-verify", key, "succeeded")
    eventually(
        f"the invalid messages of {queue} are dead-lettered",
        lambda: messages(stage, f"{queue}-dead-letters"),
        lambda dead: dead.items() >= poisoned.items(),
        seconds=_SORTED_OUT_SECONDS,
    )
    stage.wait_until_idle()
    assert [entry.effect for entry in stage.entries("itinerary-postback", order_id)] == [True]
    assert [entry.effect for entry in stage.entries("ship-notify", alitrip_id)] == [True]
    assert [entry.effect for entry in stage.entries("ticket-verify", order_id)] == [True]


@contextmanager
def unread(stage: Stage, queue: str) -> Iterator[None]:
    """Stops the queue's function from receiving messages for the duration of the block."""
    lambdas = stage.relay.aws.client("lambda")
    attributes = stage.relay.aws.client("sqs").get_queue_attributes(
        QueueUrl=stage.relay.connection.queues[queue], AttributeNames=["QueueArn"]
    )
    arn = attributes["Attributes"]["QueueArn"]
    [mapping] = lambdas.list_event_source_mappings(EventSourceArn=arn)["EventSourceMappings"]
    lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    try:
        yield
    finally:
        lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


def send(stage: Stage, queue: str, body: str) -> str:
    """Sends a message directly to the queue; returns its id."""
    sqs, url = stage.relay.aws.client("sqs"), stage.relay.connection.queues[queue]
    return sqs.send_message(QueueUrl=url, MessageBody=body)["MessageId"]


def messages(stage: Stage, queue: str) -> dict[str, str]:
    """The bodies of the queue's messages, by message id."""
    held = stage.relay.aws.messages(stage.relay.connection.queues[queue])
    return {message["MessageId"]: message["Body"] for message in held}


def only_message(stage: Stage, queue: str) -> str:
    """Waits until the queue is not empty, and returns the body of its only message."""
    [body] = eventually(f"a message in {queue}", lambda: messages(stage, queue)).values()
    return body
