"""Tests the ways to run one function on this machine: `make watch`, cargo-lambda's emulator, and SAM's containers.

The last one needs a Docker engine.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

import commands
import partners
import ports
import scenarios
import tools
import watch
from aws import LocalAws
from connection import Connection
from instance import Settings, temporary
from layout import FUNCTIONS, ROOT, STACKS, TARGET, logical_id
from relay import Relay
from scenarios import TSY_ACKNOWLEDGEMENT, Stage
from waiting import eventually

_EVENTS = ROOT / "events"
_TARGET = "x86_64-unknown-linux-gnu"
#: The emulator compiles a function on its first invocation.
_INVOKE_SECONDS = 600
_START_SECONDS = 120

#: Each event with its function and expected status, None for functions that have no HTTP status. The order of the
#: events leads a flight, a ship order, a redemption and two refunds to their end.
_TOLD = (
    ("tsy-issue-notify", "tsy-issue-notify", 200),
    ("tsy-change-price-push", "tsy-change-price-push", 200),
    ("tsy-change-result-push", "tsy-change-result-push", 200),
    ("sctt-voucher-push", "sctt-voucher-push", 200),
    ("sctt-cancel-push", "sctt-cancel-push", 200),
    ("order-link", "order-link", 200),
    ("order-link-ship", "order-link", 200),
    ("order-link-get", "order-link", 200),
    ("order-link-replay", "order-link", 202),
    # The order does not need attention.
    ("order-link-dismiss", "order-link", 409),
    ("dispatch", "dispatch", None),
    ("itinerary-postback", "itinerary-postback", None),
    ("ship-notify", "ship-notify", None),
    ("submit-call", "submit-call", 202),
    ("ticket-verify", "ticket-verify", None),
    ("submit-call-ship-return", "submit-call", 202),
    ("ship-return-notify", "ship-return-notify", None),
    ("submit-call-ticket-refund", "submit-call", 202),
    ("ticket-refund-notify", "ticket-refund-notify", None),
    ("submit-call-get", "submit-call", 200),
    # The call succeeded, so there is nothing to resolve.
    ("submit-call-resolve", "submit-call", 409),
    ("attention", "attention", 200),
    ("sweep", "sweep", None),
    ("order-events", "order-events", None),
)


def test_every_event_and_function_is_covered() -> None:
    assert {event for event, *_ in _TOLD} == {path.stem for path in _EVENTS.glob("*.json")} - {"env"}
    assert {function for _, function, _ in _TOLD} == set(FUNCTIONS)


def test_function_is_redeployed_in_the_running_stack(stage: Stage) -> None:
    lambdas = stage.relay.aws.client("lambda")
    [name] = [
        one["FunctionName"]
        for one in lambdas.list_functions()["Functions"]
        if "-DispatchFunction" in one["FunctionName"]
    ]
    before = lambdas.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
    assert watch.bring_up_to_date(stage.relay.connection, "dispatch") is not None
    assert lambdas.get_alias(FunctionName=name, Name="live")["FunctionVersion"] != before
    order_id = stage.new_order("tsy")
    stage.link("tsy", order_id, scenarios.happytrip_flight())
    stage.notify_tsy(partners.tsy_issued(order_id))
    stage.await_calls("tsy", order_id, "itinerary-postback", "succeeded")


def test_cargo_lambda_invokes_every_event(relay: Relay, tmp_path: Path) -> None:
    port = str(ports.free_pair()[0])
    variables = tmp_path / "functions.env"
    variables.write_text(commands.environment_file(relay.connection))
    cargo_lambda = [tools.BIN / "cargo-lambda", "lambda"]
    # The README's command with another port. The target is the one that `sam build` compiles for.
    emulator = [*cargo_lambda, "watch", "--env-file", variables, "--invoke-port", port, "--target", _TARGET]
    with _runs(emulator, _development_build(), tmp_path / "emulator.log"):
        eventually("the emulator listens", lambda: _listens(int(port)), seconds=_START_SECONDS)
        for event, function, status in _TOLD:
            invoke = [*cargo_lambda, "invoke", "--invoke-port", port, function]
            _answers_as_told(event, status, [*invoke, "--data-file", _EVENTS / f"{event}.json"], dict(os.environ))


def test_functions_that_sam_built_answer_on_the_local_stack(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    environment = _sam_environment() | _development_build() | {"SAM_BUILD_MODE": "debug"}
    build = [tools.BIN / "sam", "build", "--build-dir", tmp_path]
    done = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled(), temporary("sam-build", _settings, built=tmp_path) as connection:
        stage = Stage(Relay(connection))
        order_id = stage.new_order("tsy")
        stage.link("tsy", order_id, scenarios.happytrip_flight())
        stage.notify_tsy(partners.tsy_issued(order_id))
        stage.await_calls("tsy", order_id, "itinerary-postback", "succeeded")


def _development_build() -> dict[str, str]:
    """Variables for builds that share one folder. It keeps the release artifacts in target/lambda as they are."""
    return os.environ | {
        "PATH": f"{tools.BIN}{os.pathsep}{os.environ['PATH']}",
        "CARGO_TARGET_DIR": str(TARGET / "sam-build"),
        # Faster to compile.
        "CARGO_PROFILE_DEV_DEBUG": "0",
        "CARGO_INCREMENTAL": "0",
    }


def _docker_is_there() -> bool:
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def reachable(pytestconfig: pytest.Config) -> Iterator[Connection]:
    """A stack that containers can reach; skips the test without a Docker engine."""
    if not _docker_is_there():
        pytest.skip("no Docker engine found; `sam local` needs one")
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    os.environ["MINISTACK_BIND"] = "0.0.0.0"
    try:
        with capture.global_and_fixture_disabled(), temporary("sam", _settings) as connection:
            yield connection
    finally:
        del os.environ["MINISTACK_BIND"]


def _settings() -> Settings:
    return Settings.new(*ports.free_pair(), sctt_signature=False)


@pytest.fixture
def sam(reachable: Connection, tmp_path: Path) -> list[str | Path]:
    """Options of `sam local`: the staged template, and variables that point to the stack."""
    usual = json.loads((_EVENTS / "env.json").read_text())
    host = "http://host.docker.internal"
    for variables in usual.values():
        variables["AWS_ENDPOINT_URL"] = f"{host}:{reachable.aws_endpoint_url.rpartition(':')[2]}"
        if "TOP_GATEWAY_URL" in variables:
            variables["TOP_GATEWAY_URL"] = reachable.top_url.replace("http://localhost", host)
    variables_file = tmp_path / "env.json"
    variables_file.write_text(json.dumps(usual))
    template = STACKS / "sam" / "deploy" / "ministack.yaml"
    return [
        "--template-file",
        template,
        "--env-vars",
        variables_file,
        "--add-host",
        "host.docker.internal:host-gateway",
        "--skip-pull-image",
        "--region",
        reachable.region,
    ]


def test_sam_local_invokes_every_event(sam: list[str | Path]) -> None:
    for event, function, status in _TOLD:
        invoke = [
            tools.BIN / "sam",
            "local",
            "invoke",
            logical_id(function),
            "--event",
            _EVENTS / f"{event}.json",
            *sam,
        ]
        _answers_as_told(event, status, invoke, _sam_environment())


def test_sam_local_serves_the_api(sam: list[str | Path], reachable: Connection, tmp_path: Path) -> None:
    port = ports.free_pair()[0]
    command = [tools.BIN / "sam", "local", "start-api", "--port", str(port), *sam]
    with _runs(command, _sam_environment(), tmp_path / "start-api.log"):
        eventually("sam local serves", lambda: _listens(port), seconds=_START_SECONDS)
        url = f"http://localhost:{port}/tsy/local-token/issue-notify"
        answer = requests.post(url, json=partners.tsy_issued("P-1001"), timeout=_INVOKE_SECONDS)
        assert (answer.status_code, answer.text) == (200, TSY_ACKNOWLEDGEMENT)
        assert requests.post(url.replace("local-token", "other"), json={}, timeout=_INVOKE_SECONDS).status_code == 401
        # Bytes that are not UTF-8 arrive as they were sent.
        body = json.dumps(partners.tsy_issued("订单B"), ensure_ascii=False).encode("gbk")
        answer = requests.post(url, data=body, timeout=_INVOKE_SECONDS)
        assert (answer.status_code, answer.json()["code"]) == (400, "400"), answer.text
        kept = LocalAws(reachable.aws_endpoint_url).records(reachable.table, "quarantine#tsy")
        assert body in [bytes(item["body"]["B"]) for item in kept]


def _sam_environment() -> dict[str, str]:
    return os.environ | {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "SAM_CLI_TELEMETRY": "0"}


def _answers_as_told(event: str, status: int | None, command: list[Any], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=_INVOKE_SECONDS, check=False
    )
    assert done.returncode == 0, f"{event}: {done.stdout}{done.stderr}"
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    if status is not None:
        assert answer["statusCode"] == status, f"{event}: {answer}\n{done.stderr}"
    elif isinstance(answer, dict) and "batchItemFailures" in answer:
        assert answer["batchItemFailures"] == [], f"{event}: {answer}"


@contextmanager
def _runs(command: list[Any], environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("localhost", port)) == 0
