"""The driver's commands, each returning its exit status."""

from __future__ import annotations

import json
import os
import subprocess

import aws
import ports
import steps
import watch as watching
from connection import Connection
from demo import Demo
from instance import STACK_NAME, Instance, Settings, build, temporary
from layout import BINARIES, FUNCTIONS_ENV, ROOT, STACK_JSON
from relay import Relay

_DEFAULT_PORTS = {"MINISTACK_PORT": 4566, "TOP_PORT": 4580}


def up() -> int:
    """Starts the stack and leaves it running; rebuilds and redeploys a stack that is already running."""
    instance = Instance("up")
    with instance.sole_driver():
        if instance.running:
            steps.say("The stack is already running: rebuilding and redeploying it")
            build()
            connection = instance.deploy()
        else:
            instance.stop()
            settings = Settings.new(*wanted_ports(), sctt_signature=os.environ.get("SCTT_SIGNATURE") == "on")
            build()
            connection = instance.launch(settings)
        connection.write(STACK_JSON)
        FUNCTIONS_ENV.write_text(environment_file(connection))
    steps.say("The stack is up")
    _describe(connection)
    return 0


def down() -> int:
    """Stops the stack in any state, even if only a part of it is running."""
    instance = Instance("up")
    with instance.sole_driver():
        stopped = instance.stop()
        STACK_JSON.unlink(missing_ok=True)
    steps.say(f"Stopped: {', '.join(stopped)}" if stopped else "The stack was not running")
    return 0


def watch(function: str) -> int:
    """Rebuilds and redeploys one function of the running stack whenever its sources change."""
    instance = Instance("up")
    if not (instance.running and STACK_JSON.is_file()):
        raise steps.StepFailed("the stack is not running; start it with `make up`")
    watching.watch(Connection.read(STACK_JSON), function)
    return 0


def status() -> int:
    """Shows whether the stack is running, and its queues; the exit status is 0 if it is running."""
    if not (Instance("up").running and STACK_JSON.is_file()):
        steps.say("The stack is not running; start it with `make up`")
        return 1
    connection = Connection.read(STACK_JSON)
    steps.say("The stack is running")
    _describe(connection)
    local = Relay(connection).aws
    for name, url in connection.queues.items():
        steps.note(f"{name:<34}{len(local.messages(url))} messages")
    return 0


def console() -> int:
    """Serves the operator's web console of the running stack until Ctrl-C."""
    if not (Instance("up").running and STACK_JSON.is_file()):
        raise steps.StepFailed("the stack is not running; start it with `make up`")
    connection = Connection.read(STACK_JSON)
    environment = {**os.environ, **aws.settings(connection.aws_endpoint_url)}
    environment |= {"RELAY_STACK": STACK_NAME, "RELAY_API_URL": connection.api_url}
    return subprocess.run([BINARIES / "relay", "console"], env=environment, check=False).returncode


def demo() -> int:
    """Runs every scenario on a separate stack; the exit status is 0 if all of them pass."""
    with temporary("demo", _demo_settings) as connection:
        verdict = Demo(Relay(connection)).run()
    steps.say("All scenarios passed" if verdict else "The demo FAILED")
    if verdict:
        steps.note("To look around in a browser: make up, then make console")
    return 0 if verdict else 1


def _demo_settings() -> Settings:
    if Instance("up").running:
        steps.say("The stack of `make up` is running and stays untouched: the demo starts another one on free ports")
        return Settings.new(*ports.free_pair(), sctt_signature=True)
    return Settings.new(*wanted_ports(), sctt_signature=True)


def wanted_ports() -> tuple[int, int]:
    """The ports from the environment, or the defaults; raises StepFailed if one is invalid or in use."""
    chosen = []
    for variable, usual in _DEFAULT_PORTS.items():
        text = os.environ.get(variable) or str(usual)
        if not (text.isdecimal() and 0 < int(text) < 2**16):
            raise steps.StepFailed(f"{variable}={text} is not a port number; set a number from 1 to 65535")
        ports.require_free(int(text), variable)
        chosen.append(int(text))
    ministack_port, top_port = chosen
    return ministack_port, top_port


def environment_file(connection: Connection) -> str:
    """One environment file with the variables of all functions, for running functions directly on this machine."""
    variables: dict[str, str] = {}
    for of_function in json.loads((ROOT / "events" / "env.json").read_text()).values():
        variables |= of_function
    variables |= aws.settings(connection.aws_endpoint_url)
    variables |= {"AWS_REGION": connection.region, "TOP_GATEWAY_URL": connection.top_url}
    return "".join(f"{name}={value}\n" for name, value in variables.items() if value)


def _describe(connection: Connection) -> None:
    steps.note(f"API            {connection.api_url}")
    steps.note(f"TSY posts to   {connection.tsy_url}")
    steps.note(f"SCTT posts to  {connection.sctt_url}{' (signed)' if connection.sctt_secret else ''}")
    steps.note(f"TOP's ledger   {connection.top_url.removesuffix('/router/rest')}/_sim/ledger")
    steps.note("Web console    make console")
    steps.note(f"Full details   {STACK_JSON}")
