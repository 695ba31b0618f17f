"""One copy of the local stack: MiniStack with the deployed template, and the TOP simulator.

Each copy has its own name, folder, ports and secrets. So the copies of `make demo` and `make test` do not collide with
the one that a developer left running (`make up`).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import requests
from samcli.yamlhelper import yaml_dump, yaml_parse

import aws
import emulator
import partners
import steps
import tools
from connection import Connection
from layout import BINARIES, CALLS, FUNCTIONS, LOGS, SIMULATOR, STACKS, TEMPLATE, logical_id, logical_prefix
from processes import Processes
from waiting import NotReached, eventually

STACK_NAME = "ticket-relay-local"
_STAGE = "v1"
_READY_SECONDS = 30
_SCTT_MERCHANT_ID = "287729"
_QUEUES = {name: logical_prefix(name) for name in ("notifications", *CALLS)}


@dataclass(frozen=True)
class Settings:
    """Settings that a copy gets when it starts and keeps until it stops."""

    ministack_port: int
    top_port: int
    #: If true, a push needs a valid signature, merchant and time. If false, the token is enough.
    sctt_signature: bool
    tsy_token: str
    sctt_token: str
    sctt_secret: str
    top_app_key: str
    top_app_secret: str
    top_session: str

    @staticmethod
    def new(ministack_port: int, top_port: int, sctt_signature: bool) -> Settings:
        """Settings with fresh random secrets."""
        return Settings(
            ministack_port=ministack_port,
            top_port=top_port,
            sctt_signature=sctt_signature,
            tsy_token=secrets.token_urlsafe(24),
            sctt_token=secrets.token_urlsafe(24),
            sctt_secret=secrets.token_hex(16),
            top_app_key=str(10_000_000 + secrets.randbelow(90_000_000)),
            top_app_secret=secrets.token_hex(16),
            top_session=secrets.token_hex(28),
        )

    @property
    def endpoint(self) -> str:
        """URL of the local AWS."""
        return f"http://localhost:{self.ministack_port}"

    @property
    def top_url(self) -> str:
        """URL of the simulator that replaces TOP's gateway."""
        return f"http://localhost:{self.top_port}/router/rest"


def build() -> None:
    """Builds the functions, the simulator and `relay` with cargo's profile `local`, which compiles fast."""
    steps.run(
        "Build the functions and the TOP simulator (cargo profile `local`)",
        cargo_build(*FUNCTIONS, SIMULATOR, "relay"),
        "cargo-build.log",
    )


def cargo_build(*programs: str) -> list[str | Path]:
    """Cargo's command for some programs of the stack.

    The features are those of the whole workspace, as in `make test`, so no dependency is built twice.
    """
    chosen = [word for program in programs for word in ("--bin", program)]
    return ["cargo", "build", "--locked", "--profile", "local", "--workspace", *chosen]


@contextmanager
def temporary(name: str, choose: Callable[[], Settings], built: Path | None = None) -> Iterator[Connection]:
    """Builds, deploys and runs a copy of the stack for the duration of the block.

    `choose` returns the settings. It is called after an interrupted earlier run is stopped and its ports are free.
    `built` is a folder that `sam build` wrote; its functions are deployed then.
    """
    instance = Instance(name, built)
    with instance.sole_driver():
        instance.stop()
        settings = choose()
        build()
        try:
            yield instance.launch(settings)
        finally:
            # Stop first: printing fails if nobody reads the output any more.
            instance.stop()
            steps.say("Stopped the stack")


class Instance:
    """A copy of the stack, running or not."""

    def __init__(self, name: str, built: Path | None = None) -> None:
        aws.forget_own_account()
        self.name = name
        self._built = built
        self._directory = STACKS / name
        self._processes = Processes(self._directory)
        self._settings_file = self._directory / "settings.json"

    @contextmanager
    def sole_driver(self) -> Iterator[None]:
        """Locks this copy against other drivers; raises StepFailed if another driver holds the lock."""
        STACKS.mkdir(parents=True, exist_ok=True)
        with (STACKS / f"{self.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as held:
                raise steps.StepFailed(f"another command is using the stack `{self.name}`; wait for it") from held
            yield

    @property
    def running(self) -> bool:
        """Whether both programs of this copy are running."""
        return self._processes.alive("ministack") and self._processes.alive(SIMULATOR)

    @property
    def settings(self) -> Settings:
        """The settings that the running copy was started with."""
        return Settings(**json.loads(self._settings_file.read_text()))

    def launch(self, settings: Settings) -> Connection:
        """Starts and deploys this copy; stops everything again if that fails."""
        try:
            self._start(settings)
            return self.deploy()
        except BaseException:
            self.stop()
            raise

    def deploy(self) -> Connection:
        """Deploys template.yaml with the latest binaries, and stores the functions' secrets."""
        settings = self.settings
        template, folder = self._built_template()
        staged = folder / "ministack.yaml"
        staged.write_text(yaml_dump(emulator.adapted(template)))
        steps.run(
            "Deploy template.yaml with `sam deploy`",
            _sam_deploy(staged, settings),
            f"{self.name}-sam-deploy.log",
            env={
                **os.environ,
                **aws.settings(settings.endpoint),
                "PATH": f"{tools.BIN}{os.pathsep}{os.environ['PATH']}",
                "SAM_CLI_TELEMETRY": "0",
                "SAM_CLI_POLL_DELAY": "1",
                # Keeps the SAM CLI's settings out of the user's home folder.
                "__SAM_CLI_APP_DIR": str(self._directory / "sam"),
            },
        )
        local = aws.LocalAws(settings.endpoint)
        outputs = local.stack_outputs(STACK_NAME)
        emulator.complete(local.client("apigateway"), outputs["ApiId"], _STAGE, template)
        _put_secrets(local, outputs, settings)
        _subscribe_to_alarms(local, outputs)
        return _connection(outputs, settings)

    def stop(self) -> list[str]:
        """Stops this copy and its functions; returns the names of the programs that were running."""
        return self._processes.stop_all()

    def _start(self, settings: Settings) -> None:
        """Starts both programs in an empty folder, without any state of an earlier run."""
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(parents=True)
        self._settings_file.touch(mode=0o600)
        self._settings_file.write_text(json.dumps(asdict(settings)))
        steps.say(f"Start MiniStack on port {settings.ministack_port} and the TOP simulator on {settings.top_port}")
        self._start_ministack(settings)
        self._start_simulator(settings)

    def _start_ministack(self, settings: Settings) -> None:
        scratch = self._directory / "ministack"
        scratch.mkdir()
        self._processes.start(
            "ministack",
            [tools.BIN / "python", "-P", emulator.__file__],
            ministack_environment(settings.ministack_port, scratch, _bind_address()),
            LOGS / f"{self.name}-ministack.log",
        )
        self._await_page("ministack", f"{settings.endpoint}/_ministack/ready")

    def _start_simulator(self, settings: Settings) -> None:
        self._processes.start(
            SIMULATOR,
            [BINARIES / SIMULATOR, "--listen", f"{_bind_address()}:{settings.top_port}"],
            {
                **plain_env(),
                "TOP_APP_KEY": settings.top_app_key,
                "TOP_APP_SECRET": settings.top_app_secret,
                "TOP_SESSION": settings.top_session,
            },
            LOGS / f"{self.name}-{SIMULATOR}.log",
        )
        self._await_page(SIMULATOR, f"http://localhost:{settings.top_port}/_sim/health")

    def _await_page(self, name: str, url: str) -> None:
        """Waits until a program that was just started answers; raises StepFailed if it exits or stays silent."""

        def answers() -> bool:
            if not self._processes.alive(name):
                return True
            try:
                return requests.get(url, timeout=2).ok
            except requests.RequestException:
                return False

        log = LOGS / f"{self.name}-{name}.log"
        try:
            eventually(f"{name} answers at {url}", answers, seconds=_READY_SECONDS)
        except NotReached as silent:
            raise steps.StepFailed(f"{silent}; see its log: {log}") from silent
        if not self._processes.alive(name):
            raise steps.StepFailed(f"{name} exited right after its start; see its log: {log}")

    def _built_template(self) -> tuple[dict[str, Any], Path]:
        """The template that `sam build` wrote, or the same with links to the local binaries; and its folder.

        The latter has a separate folder, so the release artifacts of `sam build` in .aws-sam stay unchanged.
        """
        if self._built is not None:
            return yaml_parse((self._built / "template.yaml").read_text()), self._built
        deploy = self._directory / "deploy"
        deploy.mkdir(exist_ok=True)
        for function in FUNCTIONS:
            bootstrap = deploy / logical_id(function) / "bootstrap"
            bootstrap.parent.mkdir(parents=True, exist_ok=True)
            bootstrap.unlink(missing_ok=True)
            os.link(BINARIES / function, bootstrap)
        template = yaml_parse(TEMPLATE.read_text())
        for name in map(logical_id, FUNCTIONS):
            template["Resources"][name]["Properties"]["CodeUri"] = name
        return template, deploy


def ministack_environment(port: int, scratch: Path, bind: str = "127.0.0.1") -> dict[str, str]:
    """The environment of a MiniStack that listens on `port` and keeps nothing but what is in the folder `scratch`.

    The functions inherit it, so it contains only those user variables that programs need.
    """
    return {
        **plain_env(),
        **aws.settings(f"http://localhost:{port}"),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": bind,
        "TMPDIR": str(scratch),
        "STATE_DIR": str(scratch / "state"),
        "S3_DATA_DIR": str(scratch / "s3"),
        "PERSIST_STATE": "0",
        # Otherwise it listens for MQTT on every network interface.
        "IOT_MTLS_ENABLED": "0",
    }


def _bind_address() -> str:
    """The IP address that both programs listen on: loopback, unless MINISTACK_BIND lets containers connect too."""
    return os.environ.get("MINISTACK_BIND") or "127.0.0.1"


def plain_env() -> dict[str, str]:
    """The user variables that programs need."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def _sam_deploy(template: Path, settings: Settings) -> list[str | Path]:
    command: list[str | Path] = [tools.BIN / "sam", "deploy", "--template-file", template]
    command += ["--stack-name", STACK_NAME, "--region", aws.REGION, "--resolve-s3"]
    command += ["--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-fail-on-empty-changeset"]
    command.append("--parameter-overrides")
    command += [f'{name}="{value}"' for name, value in _parameters(settings).items()]
    return command


def _parameters(settings: Settings) -> dict[str, str]:
    """The template parameters that differ from their defaults."""
    parameters = {
        "TsyTokenHashes": _sha256(settings.tsy_token),
        "ScttTokenHashes": _sha256(settings.sctt_token),
        "TopGatewayUrl": settings.top_url,
        # Short, because developers test TOP's time-outs here and should not wait long.
        "TopTimeoutSeconds": "3",
        # A test sends fifty deliveries at once.
        "ThrottlingRate": "1000",
        "ThrottlingBurst": "1000",
        # MiniStack treats the limits as strings and fails when it calculates with them.
        "BoundConcurrency": "false",
    }
    if settings.sctt_signature:
        parameters |= {
            "ScttMerchantId": _SCTT_MERCHANT_ID,
            "ScttRequestTimeWindowSeconds": "600",
            "ScttSignTemplate": partners.SCTT_SIGN_TEMPLATE,
            "ScttSignHash": partners.SCTT_SIGN_HASH,
        }
    return parameters


def _put_secrets(local: aws.LocalAws, outputs: dict[str, str], settings: Settings) -> None:
    top = {
        "app_key": settings.top_app_key,
        "app_secret": settings.top_app_secret,
        "session": settings.top_session,
    }
    values = {outputs["TopSecretArn"]: top}
    if settings.sctt_signature:
        values[outputs["ScttSecretArn"]] = {"secret": settings.sctt_secret}
    for arn, value in values.items():
        local.client("secretsmanager").put_secret_value(SecretId=arn, SecretString=json.dumps(value))


def _subscribe_to_alarms(local: aws.LocalAws, outputs: dict[str, str]) -> None:
    """Subscribes a queue to the alarms, because nobody reads mail here, and `relay doctor` expects a subscriber."""
    sqs = local.client("sqs")
    url = sqs.create_queue(QueueName=f"{STACK_NAME}-alarms")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    local.client("sns").subscribe(TopicArn=outputs["AlarmTopicArn"], Protocol="sqs", Endpoint=arn)


def _connection(outputs: dict[str, str], settings: Settings) -> Connection:
    # The output ApiUrl has the real API's host name. The local API has its id in the path instead.
    api_url = f"{settings.endpoint}/_aws/execute-api/{outputs['ApiId']}/{_STAGE}"
    queues = {name: outputs[f"{output}QueueUrl"] for name, output in _QUEUES.items()}
    queues |= {f"{name}-dead-letters": outputs[f"{output}DeadLetterQueueUrl"] for name, output in _QUEUES.items()}
    return Connection(
        api_url=api_url,
        tsy_url=f"{api_url}/tsy/{settings.tsy_token}/issue-notify",
        sctt_url=f"{api_url}/sctt/{settings.sctt_token}/voucher-push",
        aws_endpoint_url=settings.endpoint,
        region=aws.REGION,
        table=outputs["TableName"],
        queues=queues,
        order_events_topic=outputs["OrderEventsTopicArn"],
        top_url=settings.top_url,
        top_app_key=settings.top_app_key,
        top_app_secret=settings.top_app_secret,
        top_session=settings.top_session,
        sctt_merchant_id=_SCTT_MERCHANT_ID if settings.sctt_signature else "",
        sctt_secret=settings.sctt_secret if settings.sctt_signature else "",
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
