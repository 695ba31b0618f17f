"""Starts the emulators that give the second opinion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

import ports
import tools
from instance import ministack_environment, plain_env
from layout import TARGET, TEMPLATE
from processes import Processes
from replaying import Emulator, table_of
from waiting import eventually

#: Python in the virtual environment of moto's server.
_MOTO_PYTHON = TARGET / "moto" / "bin" / "python"

NAMES = ("MiniStack", "moto")


@contextmanager
def running(folder: Path) -> Iterator[list[Emulator]]:
    """Runs MiniStack and moto's server for the duration of the block. Their logs are in `folder`."""
    processes = Processes(folder)
    found = ports.free_pair()
    try:
        for name, start, port in zip(NAMES, (_start_ministack, _start_moto), found, strict=True):
            ready = f"http://localhost:{port}/{start(processes, folder, port)}"
            eventually(f"{name} answers at {ready}", lambda ready=ready: _answers(ready), seconds=60)
        table = table_of(TEMPLATE)
        yield [Emulator(name, f"http://localhost:{port}", table) for name, port in zip(NAMES, found, strict=True)]
    finally:
        processes.stop_all()


def _start_ministack(processes: Processes, folder: Path, port: int) -> str:
    """Starts MiniStack; returns the page that tells when it is ready."""
    scratch = folder / "ministack"
    scratch.mkdir(parents=True, exist_ok=True)
    environment = ministack_environment(port, scratch)
    processes.start("ministack", [tools.BIN / "ministack"], environment, folder / "ministack.log")
    return "_ministack/ready"


def _start_moto(processes: Processes, folder: Path, port: int) -> str:
    """Starts moto's server; returns the page that tells when it is ready."""
    command = [_MOTO_PYTHON, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    processes.start("moto", command, plain_env(), folder / "moto.log")
    return "moto-api/data.json"


def _answers(page: str) -> bool:
    try:
        return requests.get(page, timeout=5).ok
    except requests.RequestException:
        return False
