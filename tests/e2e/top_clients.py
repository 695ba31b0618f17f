"""Other people's clients for TOP, unmodified: the npm package `ali-topsdk` and the PyPI package `topsdk`.

Each has a small driver in the folder `clients`, which runs in its own process. The packages are installed under
target/clients.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import steps
from layout import ROOT, TARGET

_SOURCES = ROOT / "tests" / "e2e" / "clients"
_NODE_FOLDER = TARGET / "clients" / "node"
_PYTHON_FOLDER = TARGET / "clients" / "python"
_NODE_FILES = ("package.json", "package-lock.json", ".npmrc")
_REQUIREMENTS = _SOURCES / "requirements.txt"
_RUN_SECONDS = 60

#: TOP's time zone. ali-topsdk stamps requests in the time zone of its process.
_TOPS_TIME_ZONE = "Asia/Shanghai"


@dataclass(frozen=True)
class Job:
    """A request for a client to send."""

    url: str
    method: str
    parameters: dict[str, Any]
    app_key: str
    app_secret: str
    session: str | None
    #: A file parameter's name and content. Without content, the request declares the parameter but sends no file.
    file: dict[str, str | None] | None = None
    #: How far the clock of the client's machine is off; topsdk only.
    clock_skew_seconds: int = 0
    do: str = field(default="execute", init=False)


@dataclass(frozen=True)
class Client:
    """One package, with the command that runs its driver."""

    name: str
    command: tuple[str | Path, ...]
    folder: Path
    environment: dict[str, str]

    def execute(self, jobs: Sequence[Job], time_zone: str = _TOPS_TIME_ZONE) -> list[dict[str, Any]]:
        """Sends requests, one after another; returns for each the parsed `answer` or the `error`."""
        return self._run([asdict(job) for job in jobs], time_zone)

    def sign(self, secret: str, parameter_sets: Sequence[dict[str, str]]) -> list[str]:
        """The signature that the package's own function computes for each set of parameters."""
        jobs = [{"do": "sign", "app_secret": secret, "parameters": one} for one in parameter_sets]
        return [result["sign"] for result in self._run(jobs, _TOPS_TIME_ZONE)]

    def _run(self, jobs: list[dict[str, Any]], time_zone: str) -> list[dict[str, Any]]:
        done = subprocess.run(
            [str(part) for part in self.command],
            input=json.dumps(jobs),
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "TZ": time_zone, **self.environment},
            capture_output=True,
            text=True,
            timeout=_RUN_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{self.name} failed: {done.stderr}"
        return json.loads(done.stdout)


def ali_topsdk() -> Client:
    """The npm package; installs it first if it is missing or outdated."""
    if not (shutil.which("node") and shutil.which("npm")):
        raise steps.StepFailed(
            "node or npm not found; install Node.js 20 or newer, which runs the npm package ali-topsdk"
        )
    _install("ali-topsdk (npm)", _NODE_FOLDER, [_SOURCES / name for name in _NODE_FILES], _npm_ci())
    return Client("ali-topsdk", ("node", _SOURCES / "ali_topsdk_driver.mjs"), _NODE_FOLDER, {})


def topsdk() -> Client:
    """The PyPI package; installs it first if it is missing or outdated."""
    _install("topsdk (PyPI)", _PYTHON_FOLDER, [_REQUIREMENTS], _pip_install())
    # -B: the driver's folder is under version control.
    command = (sys.executable, "-B", "-W", "ignore::SyntaxWarning", _SOURCES / "topsdk_driver.py")
    return Client("topsdk", command, _PYTHON_FOLDER, {"PYTHONPATH": str(_PYTHON_FOLDER)})


def _npm_ci() -> list[str | Path]:
    return ["npm", "ci", "--prefix", _NODE_FOLDER, "--ignore-scripts", "--no-audit", "--no-fund"]


def _pip_install() -> list[str | Path]:
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    return [*pip, "--no-deps", "--target", _PYTHON_FOLDER, "--requirement", _REQUIREMENTS]


def _install(title: str, folder: Path, pins: Sequence[Path], command: Sequence[str | Path]) -> None:
    """Installs a package into an empty folder with a copy of its pins, unless the same pins are installed."""
    stamp = folder / "installed"
    wanted = hashlib.sha256(b"".join(file.read_bytes() for file in pins)).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in pins:
        shutil.copy(file, folder)
    steps.run(f"Install {title}", command, f"{folder.name}-client.log")
    stamp.write_text(wanted)
