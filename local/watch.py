"""Rebuilds and redeploys one function of the running stack whenever its sources change."""

from __future__ import annotations

import io
import subprocess
import threading
import time
import zipfile

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

import steps
from aws import LocalAws
from connection import Connection
from instance import STACK_NAME, cargo_build
from layout import BINARIES, FUNCTIONS, ROOT, logical_id

#: The alias that the queues and the API invoke.
_ALIAS = "live"
#: Wait after a change, because editors write a file in several steps.
_SETTLED_SECONDS = 0.2


class _Changes(FileSystemEventHandler):
    """Records that a source changed."""

    def __init__(self) -> None:
        self.seen = threading.Event()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Handles an event. Watchdog calls this in its own thread."""
        if event.event_type in ("modified", "created", "moved", "deleted") and str(event.src_path).endswith(".rs"):
            self.seen.set()


def watch(connection: Connection, function: str) -> None:
    """Rebuilds and redeploys one function now and after each change of its sources, until interrupted."""
    if function not in FUNCTIONS:
        raise steps.StepFailed(f"there is no function {function}; choose one of {', '.join(FUNCTIONS)}")
    changes = _Changes()
    observer = Observer()
    for folder in (ROOT / "shared", ROOT / "functions" / function / "src"):
        observer.schedule(changes, str(folder), recursive=True)
    observer.start()
    try:
        while True:
            changes.seen.clear()
            bring_up_to_date(connection, function)
            steps.note("waiting for a change in shared/ or in the function's sources; press Ctrl-C to stop")
            changes.seen.wait()
            time.sleep(_SETTLED_SECONDS)
    finally:
        observer.stop()
        observer.join()


def bring_up_to_date(connection: Connection, function: str) -> float | None:
    """Builds and deploys the function; returns the seconds that it took, or None if it does not compile."""
    started = time.monotonic()
    steps.say(f"Build {function}")
    if subprocess.run(cargo_build(function), cwd=ROOT, check=False).returncode != 0:
        steps.say(f"{function} does not compile; the deployed version stays")
        return None
    aws = LocalAws(connection.aws_endpoint_url)
    described = {"StackName": STACK_NAME, "LogicalResourceId": logical_id(function)}
    resource = aws.client("cloudformation").describe_stack_resource(**described)
    name = resource["StackResourceDetail"]["PhysicalResourceId"]
    lambdas = aws.client("lambda")
    published = lambdas.update_function_code(FunctionName=name, ZipFile=_zipped(function), Publish=True)
    lambdas.update_alias(FunctionName=name, Name=_ALIAS, FunctionVersion=published["Version"])
    seconds = time.monotonic() - started
    steps.say(f"Deployed {function} {seconds:.1f} s after the change")
    return seconds


def _zipped(function: str) -> bytes:
    """The function's artifact as an uncompressed zip, because compressing takes longer than a local upload."""
    artifact = io.BytesIO()
    with zipfile.ZipFile(artifact, "w", zipfile.ZIP_STORED) as archive:
        bootstrap = zipfile.ZipInfo("bootstrap")
        bootstrap.external_attr = 0o755 << 16
        archive.writestr(bootstrap, (BINARIES / function).read_bytes())
    return artifact.getvalue()
