"""Tests the built command line for operators against the local stack."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import aws
import partners
import scenarios
from layout import BINARIES
from scenarios import Stage
from test_heal import unknown_redemption
from test_queues import messages, send, unread
from waiting import eventually

_SECONDS = 120
#: `relay doctor` answers within this time, whatever hangs.
_DOCTOR_SECONDS = 10


def operators_environment(stage: Stage) -> dict[str, str]:
    """The environment of an operator of this stack."""
    connection = stage.relay.connection
    return {
        "PATH": os.environ["PATH"],
        **aws.settings(connection.aws_endpoint_url),
        "RELAY_STACK": "ticket-relay-local",
        "RELAY_API_URL": connection.api_url,
    }


def relay(
    stage: Stage, *arguments: str, given: Any = None, **environment: str | None
) -> subprocess.CompletedProcess[str]:
    """Runs `relay` like an operator of this stack; does not set variables that are None."""
    variables = {**operators_environment(stage), **environment}
    return subprocess.run(
        [BINARIES / "relay", *arguments],
        input=None if given is None else json.dumps(given),
        env={name: value for name, value in variables.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def said(stage: Stage, *arguments: str, given: Any = None) -> str:
    """The output of a successful command, for people."""
    done = relay(stage, *arguments, given=given)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def answered(stage: Stage, *arguments: str, given: Any = None) -> Any:
    """The output of a successful command, as JSON."""
    return json.loads(said(stage, "--json", *arguments, given=given))


def test_linked_order_is_shown_with_its_steps_up_to_top(stage: Stage) -> None:
    order_id = stage.new_order("tsy")
    stage.notify_tsy(partners.tsy_issued(order_id))
    linked = answered(stage, "order", "link", "tsy", order_id, "-", given=scenarios.happytrip_flight())
    assert linked["order_id"] == order_id
    stage.await_calls("tsy", order_id, "itinerary-postback", "succeeded")
    shown = said(stage, "order", "show", "tsy", order_id)
    steps = ["linked as happytrip_flight", "issue-notify", "received", "dispatched", "attempt 1 succeeded"]
    places = [shown.index(step) for step in steps]
    assert places == sorted(places), shown
    assert answered(stage, "order", "show", "tsy", order_id) == stage.relay.order("tsy", order_id)


def test_id_with_special_characters_is_one_path_segment(stage: Stage) -> None:
    order_id = f"{stage.new_id('P')} 票 & +"
    stage.notify_tsy(partners.tsy_issued(order_id))
    eventually("the order is known", lambda: stage.relay.ask_order("tsy", order_id).status_code == 200)
    assert answered(stage, "order", "show", "tsy", order_id)["order_id"] == order_id


def test_attention_items_are_listed_resolved_replayed_and_dismissed(stage: Stage) -> None:
    order_id, key = stage.new_order("tsy"), stage.new_id("redemption")
    stage.notify_tsy(partners.tsy_rejected(order_id, "No seats"))
    stage.await_notifications("tsy", order_id, "attention")
    unknown_redemption(stage, key, "timeout_after_effect")

    def listed() -> str:
        return said(stage, "attention", "list")

    assert order_id in listed() and key in listed()
    assert len(answered(stage, "attention", "list", "--limit", "1")["items"]) == 1
    said(stage, "attention", "resolve", "ticket-verify", key, "--outcome", "succeeded", "--note", "seen in the console")
    stage.await_submitted("ticket-verify", key, "succeeded")
    assert "seen in the console" in said(stage, "call", "show", "ticket-verify", key)
    assert key not in listed()
    assert answered(stage, "attention", "replay", "tsy", order_id)["accepted"]
    stage.await_notifications("tsy", order_id, "attention")
    assert answered(stage, "attention", "dismiss", "tsy", order_id, "--note", "refunded")["accepted"]
    stage.await_notifications("tsy", order_id, "dispatched")
    assert order_id not in listed()


def test_submitted_call_is_shown(stage: Stage) -> None:
    order_id, key = stage.new_order("sctt"), stage.new_id("redemption")
    submit = ["call", "submit", "ticket-verify", "-", "--key", key]
    assert answered(stage, *submit, given=scenarios.ticket_redemption(order_id))["state"] == "pending"
    stage.await_submitted("ticket-verify", key, "succeeded")
    assert "succeeded" in said(stage, "call", "show", "ticket-verify", key)


def test_calls_that_are_held_back_are_listed_and_tried_at_once(stage: Stage) -> None:
    order_id, key = stage.new_order("sctt"), stage.new_id("redemption")
    redemption = scenarios.ticket_redemption(order_id)
    stage.simulator.fail("ticket-verify", str(redemption["order_id"]), "error", code=27)
    answered(stage, "call", "submit", "ticket-verify", "-", "--key", key, "--account", "default", given=redemption)
    [held] = eventually("a call is held back", lambda: answered(stage, "call", "held")["items"])
    assert (held["call"], held["account"], held["cause"]) == ("ticket-verify", "default", "configuration_fault")
    assert "configuration fault" in said(stage, "call", "show", "ticket-verify", key)
    answered(stage, "call", "retry-now", "ticket-verify", key, "--note", "new session")
    stage.await_submitted("ticket-verify", key, "succeeded")
    eventually(
        "none is held back", lambda: said(stage, "call", "held"), lambda text: text == "no calls are held back\n"
    )
    refused = relay(stage, "call", "retry-now", "ticket-verify", "--note", "again")
    assert "no calls of ticket-verify are held back" in refused.stderr, refused
    unknown = relay(
        stage, "call", "submit", "ticket-verify", "-", "--key", key, "--account", "no-shop", given=redemption
    )
    assert "names no TOP account" in unknown.stderr, unknown


def test_dead_letters_are_shown_and_redriven(stage: Stage) -> None:
    order_id = stage.new_order("tsy")
    key = {"partner": "tsy", "order_id": order_id, "kind": "issue-notify"}
    keys = [json.dumps({**key, "digest": f"{n:064}"}) for n in range(12)]
    for key in keys:
        send(stage, "notifications-dead-letters", key)
    shown = answered(stage, "dead-letters", "show", "notifications")
    assert {message["message"] for message in shown["messages"]} >= set(keys)
    assert shown["not_listed"] == {}
    dry = answered(stage, "dead-letters", "redrive", "notifications", "--dry-run")
    assert [(one["queue"], one["count"] >= len(keys)) for one in dry] == [("notifications", True)]
    assert len(messages(stage, "notifications-dead-letters")) >= len(keys), "the dry run changed a queue"
    with unread(stage, "notifications"):
        moved = answered(stage, "dead-letters", "redrive", "notifications", "--rate", "100")
        assert moved[0]["count"] >= len(keys)
        assert messages(stage, "notifications-dead-letters") == {}
        assert set(messages(stage, "notifications").values()) >= set(keys)
        # Their keys name no record, so functions would retry them for days.
        stage.relay.aws.client("sqs").purge_queue(QueueUrl=stage.relay.connection.queues["notifications"])


def test_dead_letters_in_flight_are_reported(stage: Stage) -> None:
    send(stage, "notifications-dead-letters", "{}")
    sqs = stage.relay.aws.client("sqs")
    url = stage.relay.connection.queues["notifications-dead-letters"]
    [held] = sqs.receive_message(QueueUrl=url, VisibilityTimeout=600)["Messages"]
    done = relay(stage, "dead-letters", "redrive", "notifications")
    assert done.returncode == 1 and "1 more are hidden" in done.stdout, done
    assert "1 more are not listed" in said(stage, "dead-letters", "show", "notifications")
    [checked] = [one for one in json.loads(relay(stage, "--json", "doctor").stdout) if one["check"] == "dead letters"]
    assert "1 of notifications" in checked["found"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=held["ReceiptHandle"])
    assert answered(stage, "dead-letters", "redrive", "notifications")[0] == {
        "queue": "notifications",
        "count": 0,
        "hidden": 0,
    }


def test_one_dead_letter_is_redriven_or_deleted(stage: Stage) -> None:
    bodies = [json.dumps({"partner": "tsy", "order_id": stage.new_order("tsy")}) for _ in range(3)] + ["not a key"]
    for body in bodies:
        send(stage, "ship-notify-dead-letters", body)
    listed = answered(stage, "dead-letters", "show", "ship-notify")["messages"]
    assert listed == answered(stage, "dead-letters", "show", "ship-notify")["messages"], "show changes nothing"
    ids = {message["message"]: message["id"] for message in listed}
    shown = said(stage, "dead-letters", "show", "ship-notify")
    assert "not sent by the relay: not a key" in shown and ids[bodies[0]] in shown, shown
    answered(stage, "dead-letters", "delete", "ship-notify", ids["not a key"])
    with unread(stage, "ship-notify"):
        answered(stage, "dead-letters", "redrive", "ship-notify", "--id", ids[bodies[0]])
        assert list(messages(stage, "ship-notify").values()) == [bodies[0]]
        stage.relay.aws.client("sqs").purge_queue(QueueUrl=stage.relay.connection.queues["ship-notify"])
    assert set(messages(stage, "ship-notify-dead-letters").values()) == set(bodies[1:3])
    gone = relay(stage, "dead-letters", "delete", "ship-notify", ids["not a key"])
    assert gone.returncode == 1 and "no visible dead letter" in gone.stderr
    for body in bodies[1:3]:
        answered(stage, "dead-letters", "delete", "ship-notify", ids[body])


def test_retry_right_after_an_attempt_needs_confirmation(stage: Stage) -> None:
    key = stage.new_id("redemption")
    unknown_redemption(stage, key, "timeout_before_effect")
    retry = ("attention", "resolve", "ticket-verify", key, "--outcome", "retry", "--note", "TOP has nothing of it")
    refused = relay(stage, *retry)
    assert refused.returncode == 1 and "may still take effect at TOP" in refused.stderr, refused
    assert "--yes" in refused.stderr
    said(stage, *retry, "--yes")
    stage.await_submitted("ticket-verify", key, "succeeded")


def test_credentials_come_from_the_given_profile(stage: Stage, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"[profile ops]\nregion = {aws.REGION}\naws_access_key_id = test\naws_secret_access_key = test\n",
        encoding="utf-8",
    )
    unset = dict.fromkeys(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"])
    done = relay(stage, "--profile", "ops", "--json", "attention", "list", AWS_CONFIG_FILE=str(config), **unset)
    assert done.returncode == 0 and "items" in json.loads(done.stdout), done


def test_printed_signature_matches_tops_computation(stage: Stage) -> None:
    connection = stage.relay.connection
    request = {"agent_order_id": "A-1", "alitrip_order_id": "38", "success": True}
    signed = answered(stage, "sign", "ship-notify", "-", "--at", "2026-01-01T04:00:00Z", given=request)
    assert connection.top_app_secret not in json.dumps(signed) and connection.top_session not in json.dumps(signed)
    parameters = {one["name"]: one["value"] for one in signed["parameters"]}
    assert (parameters["timestamp"], parameters["session"]) == ("2026-01-01 12:00:00", "***")
    text = signed["signed_text"].replace("session***", f"session{connection.top_session}")
    secret = connection.top_app_secret.encode()
    assert hmac.new(secret, text.encode(), hashlib.sha256).hexdigest().upper() == parameters["sign"]
    assert stage.entries("ship-notify", "38") == [], "`relay sign` must not send the call"


def findings(
    stage: Stage, *arguments: str, **environment: str
) -> tuple[dict[str, dict[str, Any]], subprocess.CompletedProcess[str]]:
    """The findings of `relay doctor` or `relay preflight` by check, and the finished process."""
    done = relay(stage, "--json", *arguments, **environment)
    return {one["check"]: one for one in json.loads(done.stdout)}, done


def problems(found: dict[str, dict[str, Any]]) -> set[str]:
    """The checks that found a problem."""
    return {check for check, finding in found.items() if not finding["ok"]}


def test_doctor_finds_no_problem_on_a_healthy_stack(stage: Stage) -> None:
    for name, url in stage.relay.connection.queues.items():
        if name.endswith("-dead-letters"):
            stage.relay.aws.client("sqs").purge_queue(QueueUrl=url)
    found, done = findings(stage, "doctor")
    assert (problems(found), done.returncode, done.stderr) == (set(), 0, "")
    assert "1 confirmed" in found["alarm subscribers"]["found"]
    assert "BoundConcurrency is false" in found["concurrency"]["found"]
    assert "0 of ship-notify" in found["messages in flight"]["found"]
    assert "VpcSubnetIds" in found["address that TOP sees"]["found"]


def test_doctor_reports_alarms_without_a_subscriber(stage: Stage) -> None:
    sns, topic = stage.relay.aws.client("sns"), stage.relay.aws.stack_outputs("ticket-relay-local")["AlarmTopicArn"]
    [usual] = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    sns.unsubscribe(SubscriptionArn=usual["SubscriptionArn"])
    try:
        found, done = findings(stage, "doctor")
    finally:
        sns.subscribe(TopicArn=topic, Protocol=usual["Protocol"], Endpoint=usual["Endpoint"])
    assert done.returncode == 1 and "alarm subscribers" in problems(found)
    assert "AlarmEmail" in found["alarm subscribers"]["fix"]


def test_doctor_names_a_server_that_does_not_answer_within_ten_seconds(stage: Stage) -> None:
    # The system accepts the connections, and nobody reads them.
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        found, done = findings(stage, "doctor", RELAY_API_URL=url)
        assert time.monotonic() - started < _DOCTOR_SECONDS
        assert found["API and local clock"]["found"] == f"no answer within 8 s while waiting for {url}"
        assert problems(found) <= {"API and local clock", "dead letters"} and done.returncode == 1
        started = time.monotonic()
        found, done = findings(stage, "doctor", AWS_ENDPOINT_URL=url)
        assert time.monotonic() - started < _DOCTOR_SECONDS
        assert "waiting for credentials or CloudFormation" in found["stack"]["found"] and done.returncode == 1
        started = time.monotonic()
        found, done = findings(stage, "preflight", AWS_ENDPOINT_URL=url)
        assert time.monotonic() - started < _DOCTOR_SECONDS
        assert "waiting for credentials or STS" in found["credentials"]["found"] and done.returncode == 1


def test_doctor_reports_problems_and_their_fixes(stage: Stage) -> None:
    def examined() -> dict[str, dict[str, Any]]:
        return findings(stage, "doctor")[0]

    elsewhere = relay(stage, "--json", "--stack", "elsewhere", "doctor")
    assert elsewhere.returncode == 1
    assert [(one["check"], one["ok"]) for one in json.loads(elsewhere.stdout)] == [("stack", False)]

    secrets = stage.relay.aws.client("secretsmanager")
    usual = secrets.get_secret_value(SecretId="ticket-relay-local/top")["SecretString"]
    secrets.put_secret_value(
        SecretId="ticket-relay-local/top", SecretString=json.dumps(json.loads(usual) | {"session": ""})
    )
    try:
        found = examined()
    finally:
        secrets.put_secret_value(SecretId="ticket-relay-local/top", SecretString=usual)
    assert found["TOP's credentials"]["found"] == "session not filled in: default"
    assert "put-secret-value --secret-id ticket-relay-local/top" in found["TOP's credentials"]["fix"]


def test_preflight_finds_what_a_fresh_account_lacks(stage: Stage) -> None:
    fresh = stage.new_id("fresh").lower()
    found, done = findings(stage, "--stack", fresh, "preflight")
    assert (problems(found), done.returncode) == ({"log role of API Gateway"}, 1), found
    assert found["log role of API Gateway"]["fix"] == "deploy with SetApiGatewayLogRole=true"
    with_role = ["preflight", "--parameter-overrides", "SetApiGatewayLogRole=true", "TopTimeoutSeconds=5"]
    found, done = findings(stage, "--stack", fresh, *with_role)
    assert (problems(found), done.returncode) == (set(), 0), found
    assert "AlarmEmail" in found["alarm mail"]["found"]
    found, done = findings(stage, "--stack", "a" * 47, *with_role)
    assert problems(found) == {"stack name"} and "3 to 46" in found["stack name"]["found"]


def test_preflight_finds_names_that_an_earlier_stack_left_behind(stage: Stage) -> None:
    name, aws_ = stage.new_id("left").lower(), stage.relay.aws
    aws_.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    aws_.client("secretsmanager").create_secret(Name=f"{name}/top", SecretString="{}")
    aws_.client("secretsmanager").delete_secret(SecretId=f"{name}/top", RecoveryWindowInDays=7)
    aws_.client("logs").create_log_group(logGroupName=f"/aws/lambda/{name}")
    # Only the first name is the stack's.
    queue = aws_.client("sqs").create_queue(QueueName=f"{name}-ship-notify")["QueueUrl"]
    other = aws_.client("sqs").create_queue(QueueName=f"{name}-others")["QueueUrl"]
    try:
        found, done = findings(
            stage, "--stack", name, "preflight", "--parameter-overrides", "SetApiGatewayLogRole=true"
        )
    finally:
        aws_.client("dynamodb").delete_table(TableName=name)
        aws_.client("secretsmanager").delete_secret(SecretId=f"{name}/top", ForceDeleteWithoutRecovery=True)
        aws_.client("logs").delete_log_group(logGroupName=f"/aws/lambda/{name}")
        for url in (queue, other):
            aws_.client("sqs").delete_queue(QueueUrl=url)
    assert problems(found) == {"table name", "secret names", "log group name", "queue names"} and done.returncode == 1
    assert "scheduled for deletion" in found["secret names"]["found"]
    assert f"--secret-id {name}/top" in found["secret names"]["fix"]
    assert f"delete-table --table-name {name}" in found["table name"]["fix"]
    assert f"{name}-ship-notify" in found["queue names"]["found"] and other not in found["queue names"]["found"]


def test_preflight_refers_to_doctor_once_the_stack_is_deployed(stage: Stage) -> None:
    found, _ = findings(stage, "preflight")
    assert found["stack"]["ok"] and "relay doctor" in found["stack"]["found"]
    assert "table name" not in found, "the deployed stack's own names are no problem"


def smoke(stage: Stage, *arguments: str, **environment: str) -> tuple[dict[str, str], dict[str, Any], int]:
    """The outcomes of `relay smoke` by step, the whole answer, and the exit status. The token is in no output."""
    token = stage.relay.connection.tsy_url.split("/")[-2]
    done = relay(stage, "--json", "smoke", *arguments, **{"RELAY_TSY_TOKEN": token, **environment})
    assert token not in done.stdout + done.stderr
    answer = json.loads(done.stdout)
    return {step["step"]: step["outcome"] for step in answer["steps"]}, answer, done.returncode


def temporary_queues(stage: Stage) -> list[str]:
    """The queues that smoke tests have not deleted, and the topic's subscriptions to them."""
    aws_ = stage.relay.aws
    prefix = "ticket-relay-local-smoke-"
    topic = stage.relay.connection.order_events_topic
    subscriptions = aws_.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    endpoints = [subscription["Endpoint"] for subscription in subscriptions]
    queues = aws_.client("sqs").list_queues(QueueNamePrefix=prefix).get("QueueUrls", [])
    return queues + [endpoint for endpoint in endpoints if prefix in endpoint]


def test_smoke_proves_the_deployment_without_telling_top(stage: Stage, tmp_path: Path) -> None:
    steps, answer, status = smoke(stage)
    assert (steps.pop("unprivileged caller is refused"), status) == ("skipped", 0), answer
    assert set(steps) == {
        "unsigned request is refused",
        "wrong token is refused",
        "notification is acknowledged",
        "order needs attention",
        "order is dismissed",
        "order events arrive",
        "temporary queue is deleted",
        "sweep runs",
    }
    assert set(steps.values()) == {"ok"}, answer
    order_id = answer["order_id"]
    order = stage.relay.order("tsy", order_id)
    assert order["calls"] == [] and order.get("attention") is None
    assert "relay smoke" in json.dumps(order["timeline"])
    assert all(order_id not in json.dumps(entry.params) for entry in stage.simulator.ledger())
    assert temporary_queues(stage) == []
    # The local AWS lets every signed request through. A profile without credentials cannot sign one.
    config = tmp_path / "config"
    config.write_text("[profile visitor]\naws_access_key_id = visitor\naws_secret_access_key = x\n", encoding="utf-8")
    for profile, expected in (("visitor", ("skipped", 0)), ("absent", ("FAILED", 1))):
        steps, answer, status = smoke(stage, "--unprivileged-profile", profile, AWS_CONFIG_FILE=str(config))
        assert (steps.pop("unprivileged caller is refused"), status) == expected, answer
        assert set(steps.values()) == {"ok"}, answer


def test_smoke_fails_and_cleans_up_if_the_notification_is_refused(stage: Stage) -> None:
    done = relay(stage, "--json", "smoke", "--tsy-token", "-", RELAY_TSY_TOKEN=None, given="another-token")
    answer = json.loads(done.stdout)
    found = {step["step"]: step for step in answer["steps"]}
    assert done.returncode == 1 and found["notification is acknowledged"]["outcome"] == "FAILED", answer
    assert "TsyTokenHashes" in found["notification is acknowledged"]["found"]
    assert found["order events arrive"]["outcome"] == "skipped"
    assert stage.relay.ask_order("tsy", answer["order_id"]).status_code == 404
    assert temporary_queues(stage) == []
    # Nobody listens there. The error does not show the token, which is part of the URL.
    steps, answer, status = smoke(stage, "--wait", "1", RELAY_API_URL="http://localhost:1")
    assert (steps["notification is acknowledged"], status) == ("FAILED", 1), answer
    assert "/tsy/TOKEN/issue-notify did not answer" in json.dumps(answer)


def test_error_says_what_to_do_and_sets_the_exit_status(stage: Stage) -> None:
    order_id = stage.new_order("tsy")
    stage.notify_tsy(partners.tsy_issued(order_id))
    stage.await_notifications("tsy", order_id, "waiting")
    for arguments, why, status in (
        (["order", "show", "tsy", stage.new_id("P")], "404", 3),
        (["order", "withdraw", "tsy", order_id, "--note", "n"], "no call to withdraw", 4),
        (["list", "--reason", "because"], "reason must be", 5),
        (["order", "link", "tsy", "P-1", "no-such-file.json"], "no-such-file.json could not be read", 1),
        (["--stack", "elsewhere", "order", "show", "tsy", "P-1"], "stack elsewhere not found; pass --stack", 1),
        (["order", "show", "nobody", "P-1"], "possible values: tsy, sctt", 2),
    ):
        done = relay(stage, *arguments)
        assert (done.returncode, done.stdout) == (status, "") and why in done.stderr, done
    silent = relay(stage, "--json", "attention", "list", RELAY_API_URL="http://localhost:1")
    told = json.loads(silent.stderr)
    assert (silent.returncode, told["exit_status"]) == (6, 6) and "did not answer" in told["error"]


def test_completions_and_manual_pages_work_without_a_deployment(stage: Stage, tmp_path: Path) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "dead-letters" in relay(stage, "completions", shell, AWS_ENDPOINT_URL="http://localhost:1").stdout
    relay(stage, "man", str(tmp_path), AWS_ENDPOINT_URL="http://localhost:1")
    assert {"relay.1", "relay-doctor.1", "relay-dead-letters-redrive.1"} <= {page.name for page in tmp_path.iterdir()}
