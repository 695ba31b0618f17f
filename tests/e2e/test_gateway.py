"""Tests what API Gateway does with bytes, paths and methods before a function sees them."""

from __future__ import annotations

import json

import pytest
import requests

import partners
import scenarios
from scenarios import Stage
from test_command_line import answered

#: Ids that a path must encode, or that clients and gateways tend to change.
_IDS = [
    "a/b",
    "a//b",
    "a/../b",
    "/",
    "..a",
    "a%2Fb",
    "a%2541",
    "100%",
    "1+1",
    "two words",
    "订单-1",
    "a?b#c",
    "a&b=c",
    "~a_b.c-d",
    "a\\b",
]
_GET_TIMEOUT_SECONDS = 10


def test_body_that_is_not_utf8_is_refused_and_kept_byte_for_byte(stage: Stage) -> None:
    # Three ids, which become the same one where a gateway replaces bytes that are not UTF-8.
    for prefix in ("订单", "票号", "船票"):
        body = json.dumps(partners.tsy_issued(f"{prefix}B"), ensure_ascii=False).encode("gbk")
        answer = stage.relay.push_tsy(body)
        assert (answer.status_code, answer.json()["code"]) == (400, "400"), answer.text
        found = stage.relay.aws.records(stage.relay.connection.table, "quarantine#tsy")
        assert body in [bytes(item["body"]["B"]) for item in found]


def test_id_with_a_replacement_character_is_refused(stage: Stage) -> None:
    answer = stage.relay.push_tsy(partners.tsy_issued("����B"))
    assert answer.status_code == 400 and "orderId" in answer.json()["msg"], answer.text
    assert stage.relay.link("tsy", "�", scenarios.happytrip_flight()).status_code == 400


@pytest.mark.parametrize("suffix", _IDS)
def test_every_id_is_reached_through_api_and_command_line(stage: Stage, suffix: str) -> None:
    order_id = f"{stage.new_id('P')}{suffix}"
    assert stage.relay.push_tsy(partners.tsy_issued(order_id)).status_code == 200
    assert stage.relay.link("tsy", order_id, scenarios.happytrip_flight()).status_code == 200
    order = stage.relay.order("tsy", order_id)
    assert (order["order_id"], len(order["notifications"])) == (order_id, 1)
    assert answered(stage, "order", "show", "tsy", order_id)["order_id"] == order_id
    # A header has visible ASCII characters only.
    key = "".join(c for c in f"{stage.new_id('K')}{suffix}" if "!" <= c <= "~")
    submitted = stage.relay.submit("ticket-verify", scenarios.ticket_redemption(stage.new_order("sctt")), key)
    assert submitted.status_code == 202, submitted.text
    assert stage.relay.ask_call("ticket-verify", key).json()["key"] == key
    assert answered(stage, "call", "show", "ticket-verify", key)["key"] == key


@pytest.mark.parametrize("order_id", [".", ".."])
def test_id_that_paths_drop_is_refused(stage: Stage, order_id: str) -> None:
    answer = stage.relay.push_tsy(partners.tsy_issued(order_id))
    assert answer.status_code == 400 and "orderId" in answer.json()["msg"], answer.text


def test_wrong_paths_and_methods_are_answered_with_a_sentence(stage: Stage) -> None:
    connection = stage.relay.connection
    nowhere = requests.get(f"{connection.api_url}/nowhere", timeout=_GET_TIMEOUT_SECONDS)
    assert nowhere.status_code == 404 and "no such path" in nowhere.json()["message"], nowhere.text
    assert {"msg", "code"} <= nowhere.json().keys(), "partners read these"
    unsigned = requests.get(f"{connection.api_url}/attention", timeout=_GET_TIMEOUT_SECONDS)
    assert unsigned.status_code == 404 and "not signed" in unsigned.json()["message"], unsigned.text
    for url, body in (
        (connection.tsy_url, {"msg": "use POST", "code": "405"}),
        (connection.sctt_url, {"code": 405, "msg": "use POST", "data": None}),
    ):
        answer = requests.get(url, timeout=_GET_TIMEOUT_SECONDS)
        assert (answer.status_code, answer.json()) == (405, body)
    deleted = stage.relay.aws.signed_request("DELETE", f"{connection.api_url}/orders/tsy/P-1", b"", {})
    assert deleted.status_code == 405 and deleted.json()["message"] == "this path takes GET, PUT", deleted.text
