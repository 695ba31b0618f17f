"""Installs the Python tools (SAM CLI, cargo-lambda, MiniStack, pytest, ...) into the project's virtual environment.

It imports only the standard library, because it runs before any package is installed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

import steps
from layout import REQUIREMENTS, VENV

BIN = VENV / "bin"
_STAMP = VENV / "installed-requirements"
_OLDEST_PYTHON = (3, 11)


def enter() -> None:
    """Restarts this program in the virtual environment's Python. It first creates a missing or outdated environment.

    It returns only if this is already that Python.
    """
    if Path(sys.prefix).resolve() == VENV.resolve():
        return
    _ensure()
    python = BIN / "python"
    os.execv(python, [str(python), *sys.argv])


def _ensure() -> None:
    """Creates the virtual environment from requirements.txt; returns immediately if it is up to date."""
    if sys.version_info < _OLDEST_PYTHON:
        raise steps.StepFailed(
            f"Python {'.'.join(map(str, _OLDEST_PYTHON))} or newer is required, this is {sys.version.split()[0]}; "
            "choose another one with `make PYTHON=python3.12 ...`"
        )
    wanted = _fingerprint()
    if _STAMP.is_file() and _STAMP.read_text() == wanted:
        return
    shutil.rmtree(VENV, ignore_errors=True)
    steps.run("Create a virtual environment in .venv", [sys.executable, "-m", "venv", VENV], "venv.log")
    steps.run(
        "Install the pinned Python tools into .venv (about 900 MB, once)",
        [BIN / "python", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-r", REQUIREMENTS],
        "pip.log",
    )
    _STAMP.write_text(wanted)


def _fingerprint() -> str:
    """Identifies the Python version and the pins. If either changes, the environment is created again."""
    return f"{sys.version.split()[0]} {hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()}"
