"""Tests the driver of the local stack: it reports a busy port, and it leaves no process running."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import commands
import ports
import steps
from instance import Instance
from processes import Processes
from relay import Relay
from waiting import eventually

#: A program that starts a child and waits, as MiniStack does with the functions.
_PARENT = """
import subprocess, sys, time
print(subprocess.Popen(["sleep", "600"]).pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A port that this test run listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_busy_port_error_names_the_owner_and_the_variable(busy_port: int) -> None:
    with pytest.raises(steps.StepFailed, match=rf"port {busy_port} is in use by .*pytest.*; set TOP_PORT=") as told:
        ports.require_free(busy_port, "TOP_PORT")
    assert f"pid {os.getpid()}" in str(told.value)
    ports.require_free(ports.free_pair()[0], "TOP_PORT")


def test_ports_come_from_the_environment_and_invalid_ones_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = ports.free_pair()
    monkeypatch.setenv("MINISTACK_PORT", str(chosen[0]))
    monkeypatch.setenv("TOP_PORT", str(chosen[1]))
    assert commands.wanted_ports() == chosen
    for wrong in ("http", "0", "65536", "-1"):
        monkeypatch.setenv("TOP_PORT", wrong)
        with pytest.raises(steps.StepFailed, match=f"TOP_PORT={wrong} is not a port number"):
            commands.wanted_ports()


def test_stop_ends_orphaned_children_of_a_crashed_program(tmp_path: Path) -> None:
    processes, log = Processes(tmp_path), tmp_path / "parent.log"
    processes.start("parent", [sys.executable, "-c", _PARENT], dict(os.environ), log)
    child = int(eventually("the parent has a child", log.read_text))
    assert processes.alive("parent")

    parent = int((tmp_path / "parent.pid").read_text().partition('"pid": ')[2].partition(",")[0])
    os.kill(parent, signal.SIGKILL)
    eventually("the parent is dead", lambda: not processes.alive("parent"))
    assert running(child)

    assert Processes(tmp_path).stop_all() == ["parent"]
    assert not running(child)
    assert Processes(tmp_path).stop_all() == []


def test_failed_step_prints_the_end_of_its_output_and_the_log_path(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(steps.StepFailed, match=r"test-step\.log"):
        steps.run("Try", ["sh", "-c", "echo a reason; exit 3"], "test-step.log")
    assert "a reason" in capsys.readouterr().out


def test_redeployment_changes_no_url_and_no_credential(relay: Relay) -> None:
    assert Instance("test").deploy() == relay.connection


def running(pid: int) -> bool:
    """Whether the process is running; a zombie is not."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
