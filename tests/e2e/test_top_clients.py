"""Tests the TOP simulator with other people's clients for TOP, and the relay's signatures with their code."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

import instance
import steps
import top_clients
from layout import BINARIES, LOGS, ROOT, SIMULATOR
from scenarios import Stage
from simulator import METHODS, Entry, Simulator
from test_command_line import relay
from top_clients import Client, Job

_APP_KEY, _APP_SECRET, _SESSION = "12345678", "helloworld", "test"
_VECTORS = json.loads((ROOT / "shared" / "types" / "testdata" / "top-signing.json").read_text("utf-8"))
_HASHES = {"hmac": hashlib.md5, "hmac-sha256": hashlib.sha256}
_SIGN_METHODS = ("md5", "hmac", "hmac-sha256")
_PROTOCOL_PARAMETERS = {
    "app_key",
    "format",
    "method",
    "partner_id",
    "session",
    "sign",
    "sign_method",
    "simplify",
    "timestamp",
    "v",
}


@dataclass(frozen=True)
class Sample:
    """A valid request of a call, in TOP's field names and without its wrapper."""

    business_id: str
    #: The response's member that tells a success from a business failure.
    flag: str
    request: dict[str, Any]
    needs_session: bool = False


_SAMPLES = {
    "itinerary-postback": Sample(
        "O-1",
        "ht_success",
        {"out_relation_order_id": "O-1", "tes_head_id": "3", "ticket_no_list": ["781-1"], "cwt_account_no": "订单&1=+"},
    ),
    "ticket-verify": Sample(
        "O-2",
        "is_success",
        {"order_id": 12345678, "out_order_id": "O-2", "voucher_infos": [{"confirm_code": "码 1", "used_quantity": 1}]},
    ),
    "ship-notify": Sample(
        "3892200000033",
        "ret_success",
        {"agent_order_id": "A-1", "alitrip_order_id": "3892200000033", "success": True, "message": "短信 100%+&"},
        needs_session=True,
    ),
    "ship-return-notify": Sample(
        "3892200000034",
        "ret_success",
        {
            "agent_order_id": "A-1",
            "alitrip_order_id": 3892200000034,
            "agent_refund_amount": 100,
            "agent_refund_trans_id": "M-1 50%+&",
            "agent_return_mode": "online",
            "agent_return_ticket_code": 0,
            "agent_return_ticket_status": 1,
            "agent_return_ticket_type": 0,
            "agent_return_time": "2026-01-01 12:00:00",
            "agent_ticket_id": "票 1",
        },
        needs_session=True,
    ),
    "ticket-refund-notify": Sample(
        "87654321",
        "is_success",
        {
            "order_id": 87654321,
            "refund_status": 2,
            "refund_num": 1,
            "refund_failure_reason": "used 100%+&",
            "refund_batch_no": "B-1=",
        },
    ),
}


@dataclass(frozen=True)
class Gateway:
    """A running simulator, and the jobs that call it."""

    url: str
    simulator: Simulator

    def job(self, call: str) -> Job:
        """A valid request."""
        method, wrapper = METHODS[call]
        request = _SAMPLES[call].request
        parameters = request if wrapper is None else {wrapper: request}
        return Job(
            self.url, method, parameters, _APP_KEY, _APP_SECRET, _SESSION if _SAMPLES[call].needs_session else None
        )

    def outcomes(self) -> list[tuple[str, bool]]:
        """The outcome of each request so far, and whether it took effect."""
        return [(entry.outcome, entry.effect) for entry in self.simulator.ledger()]


@pytest.fixture(scope="module")
def running() -> Iterator[Gateway]:
    """A separate simulator with known credentials."""
    steps.run("Build the TOP simulator", instance.cargo_build(SIMULATOR), "cargo-build-simulator.log")
    credentials = {"TOP_APP_KEY": _APP_KEY, "TOP_APP_SECRET": _APP_SECRET, "TOP_SESSION": _SESSION}
    with (
        (LOGS / f"clients-{SIMULATOR}.log").open("wb") as log,
        subprocess.Popen(
            [BINARIES / SIMULATOR, "--listen", "127.0.0.1:0"],
            env={**instance.plain_env(), **credentials},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on http://"), f"the simulator did not start; see its log: {log.name}"
            url = line.removeprefix("listening on ").strip() + "/router/rest"
            yield Gateway(url, Simulator(url))
        finally:
            process.terminate()


@pytest.fixture
def gateway(running: Gateway) -> Gateway:
    """The simulator with an empty ledger."""
    running.simulator.reset()
    return running


@pytest.fixture(params=[top_clients.ali_topsdk, top_clients.topsdk], ids=["ali-topsdk", "topsdk"])
def client(request: pytest.FixtureRequest) -> Client:
    """Each of the clients."""
    return request.param()


def content(job: Job, answer: dict[str, Any]) -> dict[str, Any]:
    """A response without the root that topsdk keeps and ali-topsdk removes."""
    root = job.method.removeprefix("taobao.").replace(".", "_") + "_response"
    return answer.get(root, answer)


def sent(entry: Entry) -> dict[str, Any]:
    """The call's own parameters, decoded."""
    own = {name: value for name, value in entry.params.items() if name not in _PROTOCOL_PARAMETERS}
    return {name: json.loads(value) if value[0] in "{[" else value for name, value in own.items()}


def as_sent(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters as they travel: only structs and lists keep their type."""
    return {name: value if isinstance(value, dict | list) else str(value) for name, value in parameters.items()}


def test_every_call_of_the_simulator_has_a_sample() -> None:
    assert _SAMPLES.keys() == METHODS.keys()


def test_every_call_takes_effect(gateway: Gateway, client: Client) -> None:
    jobs = [gateway.job(call) for call in _SAMPLES]
    results = client.execute(jobs)
    ledger = gateway.simulator.ledger()
    assert len(ledger) == len(jobs)
    for call, job, result, entry in zip(_SAMPLES, jobs, results, ledger, strict=True):
        assert content(job, result["answer"])[_SAMPLES[call].flag] is True, result
        assert (entry.method, entry.outcome, entry.effect) == (job.method, "success", True)
        assert sent(entry) == as_sent(job.parameters)
        assert entry.params.get("session") == job.session


def test_multipart_encoding_makes_no_difference(gateway: Gateway, client: Client) -> None:
    # ali-topsdk always sends multipart. topsdk does if an API has a file parameter, even without a file.
    jobs = [replace(gateway.job(call), file={"name": "image", "content": None}) for call in _SAMPLES]
    results = client.execute(jobs)
    for call, job, result in zip(_SAMPLES, jobs, results, strict=True):
        assert content(job, result["answer"])[_SAMPLES[call].flag] is True, result
    assert [sent(entry) for entry in gateway.simulator.ledger()] == [as_sent(job.parameters) for job in jobs]
    assert gateway.outcomes() == [("success", True)] * len(jobs)


def test_simplified_answer_has_no_root(gateway: Gateway, client: Client) -> None:
    jobs = [gateway.job(call) for call in _SAMPLES]
    jobs = [replace(job, parameters={**job.parameters, "simplify": "true"}) for job in jobs]
    *results, error = client.execute([*jobs, replace(jobs[0], app_secret="other")])
    for sample, result in zip(_SAMPLES.values(), results, strict=True):
        assert result["answer"][sample.flag] is True, result
    assert error["error"]["code"] == 25, error
    assert gateway.outcomes() == [("success", True)] * len(jobs) + [("error 25", False)]


def test_file_is_not_signed(gateway: Gateway, client: Client) -> None:
    # The signature is valid, and then the API takes no file.
    jobs = [replace(gateway.job(call), file={"name": "image", "content": "some bytes"}) for call in _SAMPLES]
    for result in client.execute(jobs):
        assert (result["error"]["code"], result["error"]["sub_code"]) == (50, "isv.invalid-parameter"), result
        assert "image is a file" in result["error"]["sub_msg"]
    assert gateway.outcomes() == [("error 50 isv.invalid-parameter", False)] * len(jobs)


def with_field(job: Job, name: str, value: Any) -> Job:
    """The ship job with one field of its request changed, or removed if the value is None."""
    [(wrapper, request)] = job.parameters.items()
    request = {**request, name: value}
    return replace(job, parameters={wrapper: {k: v for k, v in request.items() if v is not None}})


#: What is wrong with a ship notification, and the expected error.
_ERRORS: dict[str, tuple[Callable[[Job], Job], int, str | None]] = {
    "wrong secret": (lambda job: replace(job, app_secret="other"), 25, None),
    "unknown app key": (lambda job: replace(job, app_key="87654321"), 29, None),
    "no session": (lambda job: replace(job, session=None), 26, None),
    "wrong session": (lambda job: replace(job, session="old"), 27, "invalid-sessionkey"),
    "unknown method": (lambda job: replace(job, method="alitrip.ship.order.forget"), 22, None),
    "missing argument": (lambda job: with_field(job, "alitrip_order_id", None), 40, None),
    "wrong type": (lambda job: with_field(job, "success", "yes"), 41, None),
    "unknown field": (lambda job: with_field(job, "ticket", "1"), 50, "isv.invalid-parameter"),
}


def test_every_error_reaches_the_caller(gateway: Gateway, client: Client) -> None:
    valid = gateway.job("ship-notify")
    results = client.execute([change(valid) for change, _, _ in _ERRORS.values()])
    for (name, (_, code, sub_code)), result in zip(_ERRORS.items(), results, strict=True):
        assert (result["error"]["code"], result["error"].get("sub_code")) == (code, sub_code), f"{name}: {result}"
    expected = [(f"error {code} {sub_code}" if sub_code else f"error {code}") for _, code, sub_code in _ERRORS.values()]
    assert gateway.outcomes() == [(outcome, False) for outcome in expected]


def test_wrong_secret_is_refused_for_every_call(gateway: Gateway, client: Client) -> None:
    results = client.execute([replace(gateway.job(call), app_secret="other") for call in _SAMPLES])
    assert [result["error"]["code"] for result in results] == [25] * len(_SAMPLES)
    assert gateway.outcomes() == [("error 25", False)] * len(_SAMPLES)


def test_wrong_clock_is_refused(gateway: Gateway) -> None:
    # topsdk stamps with milliseconds, so only the clock matters. ali-topsdk stamps with the local time.
    late = replace(gateway.job("ticket-verify"), clock_skew_seconds=-11 * 60)
    results = [
        *top_clients.topsdk().execute([late]),
        *top_clients.ali_topsdk().execute([gateway.job("ticket-verify")], time_zone="UTC"),
    ]
    assert [result["error"]["code"] for result in results] == [31, 31]
    assert gateway.outcomes() == [("error 31", False)] * 2
    stamps = [entry.params["timestamp"] for entry in gateway.simulator.ledger()]
    assert re.fullmatch(r"\d{13}", stamps[0]) and re.fullmatch(r"[\d-]{10} [\d:]{8}", stamps[1]), stamps


def test_injected_errors_and_business_failures_reach_the_caller(gateway: Gateway, client: Client) -> None:
    for call, sample in _SAMPLES.items():
        details = {"code": 15, "sub_code": "isv.order-closed", "sub_msg": "订单已关闭"}
        gateway.simulator.fail(call, sample.business_id, "error", **details)
        gateway.simulator.fail(call, sample.business_id, "business_failure", code="2001", msg="售罄")
    jobs = [gateway.job(call) for call in _SAMPLES for _ in range(3)]
    results = client.execute(jobs)
    for number, (call, sample) in enumerate(_SAMPLES.items()):
        error, failure, success = results[3 * number : 3 * number + 3]
        told = (error["error"]["code"], error["error"]["sub_code"], error["error"]["sub_msg"])
        assert told == (15, "isv.order-closed", "订单已关闭"), call
        assert content(jobs[3 * number], failure["answer"])[sample.flag] is False, failure
        assert content(jobs[3 * number], success["answer"])[sample.flag] is True, success
    expected = [("error 15 isv.order-closed", False), ("business_failure", False), ("success", True)]
    assert gateway.outcomes() == expected * len(_SAMPLES)


def verify_signatures(client: Client, requests: list[tuple[str, dict[str, str]]]) -> None:
    """Asserts that the client's signing code agrees with the signature of each request.

    A request is its signed string and its parameters. The clients know only `md5`. For the others, the client confirms
    the signed string: signing with an empty secret gives that string's MD5.
    """
    unsigned = [{name: value for name, value in one.items() if name != "sign"} for _, one in requests]
    digests = client.sign("", unsigned)
    signatures = client.sign(_APP_SECRET, unsigned)
    for (signed_text, parameters), digest, signature in zip(requests, digests, signatures, strict=True):
        assert digest == hashlib.md5(signed_text.encode()).hexdigest().upper(), signed_text
        sign_method = parameters["sign_method"]
        if sign_method != "md5":
            code = hmac.new(_APP_SECRET.encode(), signed_text.encode(), _HASHES[sign_method])
            signature = code.hexdigest().upper()
        assert parameters["sign"] == signature, parameters


def test_clients_reproduce_every_signing_vector(client: Client) -> None:
    assert {vector["app_secret"] for vector in _VECTORS} == {_APP_SECRET}
    verify_signatures(client, [(vector["string_to_sign"], vector["params"]) for vector in _VECTORS])


def bodies() -> list[tuple[str, dict[str, Any]]]:
    """The requests to sign, each with its call: those of the vectors, and the samples."""
    found = []
    for call, (method, wrapper) in METHODS.items():
        for vector in _VECTORS:
            parameters = vector["params"]
            if parameters["method"] == method:
                found.append((call, json.loads(parameters[wrapper])))
    unique = [one for number, one in enumerate(found) if one not in found[:number]]
    return unique + [(call, sample.request) for call, sample in _SAMPLES.items()]


_DEPLOYMENT = {
    "Parameters": {"TopSignMethod": {"Type": "String"}, "TopGatewayUrl": {"Type": "String"}},
    "Resources": {
        "Secret": {
            "Type": "AWS::SecretsManager::Secret",
            "Properties": {
                "SecretString": json.dumps({"app_key": _APP_KEY, "app_secret": _APP_SECRET, "session": _SESSION})
            },
        }
    },
    "Outputs": {"TopSecretArn": {"Value": {"Ref": "Secret"}}},
}


@pytest.fixture
def signed(stage: Stage) -> Iterator[list[tuple[str, dict[str, str]]]]:
    """Signed requests of the relay: every body with every signing method.

    `relay sign` reads credentials and method from a deployment, so each method gets one with the vectors' credentials.
    """
    cloudformation = stage.relay.aws.client("cloudformation")
    stacks = {sign_method: f"signing-{sign_method}" for sign_method in _SIGN_METHODS}
    for sign_method, stack in stacks.items():
        parameters = {"TopSignMethod": sign_method, "TopGatewayUrl": stage.relay.connection.top_url}
        cloudformation.create_stack(
            StackName=stack,
            TemplateBody=json.dumps(_DEPLOYMENT),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        )
        cloudformation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
    try:
        yield [sign(stage, stack, call, body) for stack in stacks.values() for call, body in bodies()]
    finally:
        for stack in stacks.values():
            cloudformation.delete_stack(StackName=stack)


def sign(stage: Stage, stack: str, call: str, body: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The signed string and the parameters of the request that the relay would send."""
    at = "2026-01-01T04:00:00Z"
    done = relay(stage, "--json", "sign", call, "-", "--at", at, "--personal", given=body, RELAY_STACK=stack)
    assert (done.returncode, done.stderr) == (0, ""), done
    shown = json.loads(done.stdout)
    parameters = {one["name"]: one["value"] for one in shown["parameters"]}
    if "session" in parameters:
        assert parameters["session"] == "***"
        parameters["session"] = _SESSION
    return shown["signed_text"].replace("session***", f"session{_SESSION}"), parameters


def test_clients_verify_the_signatures_of_the_relay(signed: list[tuple[str, dict[str, str]]]) -> None:
    methods = {(parameters["method"], parameters["sign_method"]) for _, parameters in signed}
    assert methods == {(method, sign_method) for method, _ in METHODS.values() for sign_method in _SIGN_METHODS}
    for client in (top_clients.ali_topsdk(), top_clients.topsdk()):
        verify_signatures(client, signed)


def test_lock_file_names_no_registry() -> None:
    assert "resolved" not in (ROOT / "tests" / "e2e" / "clients" / "package-lock.json").read_text("utf-8")
