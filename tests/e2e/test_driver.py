"""The driver of the local stack itself: what it says of a busy port, and that it leaves nothing running."""

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

#: Starts a child of its own and waits, as MiniStack does with the functions.
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


def test_a_busy_port_is_named_with_its_owner_and_the_variable_that_sets_another(busy_port: int) -> None:
    with pytest.raises(steps.StepFailed, match=rf"port {busy_port} is in use by .*pytest.*; set TOP_PORT=") as told:
        ports.require_free(busy_port, "TOP_PORT")
    assert f"pid {os.getpid()}" in str(told.value)
    ports.require_free(ports.free_pair()[0], "TOP_PORT")


def test_the_ports_are_those_of_the_environment_and_a_wrong_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = ports.free_pair()
    monkeypatch.setenv("MINISTACK_PORT", str(chosen[0]))
    monkeypatch.setenv("TOP_PORT", str(chosen[1]))
    assert commands.wanted_ports() == chosen
    for wrong in ("http", "0", "65536", "-1"):
        monkeypatch.setenv("TOP_PORT", wrong)
        with pytest.raises(steps.StepFailed, match=f"TOP_PORT={wrong} is not a port number"):
            commands.wanted_ports()


def test_stopping_ends_the_children_that_a_crashed_program_left_behind(tmp_path: Path) -> None:
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


def test_a_failed_step_shows_the_end_of_its_output_and_names_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(steps.StepFailed, match=r"test-step\.log"):
        steps.run("Try", ["sh", "-c", "echo a reason; exit 3"], "test-step.log")
    assert "a reason" in capsys.readouterr().out


def test_deploying_anew_changes_no_address_and_no_credential(relay: Relay) -> None:
    assert Instance("test").deploy() == relay.connection


def running(pid: int) -> bool:
    """Whether the process lives; one that ended but was not waited for does not."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
