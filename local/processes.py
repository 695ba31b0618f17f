"""Starts each long-running program of a stack in its own process group, and stops whole groups.

MiniStack runs the functions as child processes in its own group. If MiniStack or the driver crashes, they keep running.
The group's number is in a file, so a later `down` finds and stops all of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.05


class Processes:
    """The programs of one stack. A folder holds one file for each process group."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def start(self, name: str, command: Sequence[str | Path], env: Mapping[str, str], log: Path) -> None:
        """Starts `command` in a new process group with `env` as its entire environment; writes its output to `log`."""
        self._directory.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(part) for part in command],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._file(name).write_text(json.dumps({"pid": process.pid, "started": _started(process.pid)}))

    def alive(self, name: str) -> bool:
        """Whether the program itself is running, not only orphaned children."""
        group = self._group(name)
        return group is not None and any(one.pid == group for one in _members(group))

    def children(self, name: str) -> list[int]:
        """The ids of the running processes that the program started, without its own id."""
        group = self._group(name)
        return [] if group is None else [one.pid for one in _members(group) if one.pid != group]

    def stop_all(self) -> list[str]:
        """Stops every program and its children; returns the names of the programs that had running processes."""
        return [file.stem for file in sorted(self._directory.glob("*.pid")) if self._stop(file.stem)]

    def _stop(self, name: str) -> bool:
        group = self._group(name)
        running = group is not None and bool(list(_members(group)))
        if group is not None and running:
            for urgency in (signal.SIGTERM, signal.SIGKILL):
                _signal(group, urgency)
                if _gone(group):
                    break
        self._file(name).unlink(missing_ok=True)
        return running

    def _group(self, name: str) -> int | None:
        """The program's process group, or None if it never ran or another program now has its number."""
        try:
            record = json.loads(self._file(name).read_text())
        except (FileNotFoundError, ValueError):
            return None
        pid = record["pid"]
        # The system does not reuse the number while a member of the group is running. Later it may, and then the start
        # time differs.
        started = _started(pid)
        return pid if started in (None, record["started"]) else None

    def _file(self, name: str) -> Path:
        return self._directory / f"{name}.pid"


@dataclass(frozen=True)
class _Process:
    pid: int
    group: int
    zombie: bool
    started: str


def _all_processes() -> Iterator[_Process]:
    """All processes of this machine, from /proc, or from `ps` without /proc (macOS)."""
    if Path("/proc/self/stat").exists():
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                # The command's name is in brackets and may itself contain spaces and brackets.
                pid, _, rest = stat.read_text().partition(" ")
            except OSError:
                continue
            fields = rest.rpartition(")")[2].split()
            yield _Process(int(pid), int(fields[2]), fields[0] == "Z", fields[19])
        return
    table = subprocess.run(["ps", "-A", "-o", "pid=,pgid=,stat=,lstart="], capture_output=True, text=True, check=True)
    for row in table.stdout.splitlines():
        pid, group, state, started = row.split(None, 3)
        yield _Process(int(pid), int(group), state.startswith("Z"), started)


def _started(pid: int) -> str | None:
    return next((one.started for one in _all_processes() if one.pid == pid), None)


def _members(group: int) -> Iterator[_Process]:
    """The group's running processes, without zombies."""
    return (one for one in _all_processes() if one.group == group and not one.zombie)


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _gone(group: int) -> bool:
    """Waits up to `_GRACE_SECONDS` for the whole group to end; returns whether it did."""
    deadline = time.monotonic() + _GRACE_SECONDS
    while any(_members(group)):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
