"""The Python tools (SAM CLI, cargo-lambda, MiniStack, pytest, ...) in a virtual environment of the project's own.

Imports nothing but the standard library: it runs before there is anything else.
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
    """Goes on in the virtual environment's Python, making the environment first where it is missing or outdated.

    Does not return unless this is that Python already.
    """
    if Path(sys.prefix).resolve() == VENV.resolve():
        return
    _ensure()
    python = BIN / "python"
    os.execv(python, [str(python), *sys.argv])


def _ensure() -> None:
    """Makes the virtual environment hold just what requirements.txt says; returns at once where it does already."""
    if sys.version_info < _OLDEST_PYTHON:
        raise steps.StepFailed(
            f"Python {'.'.join(map(str, _OLDEST_PYTHON))} or newer is needed, this is {sys.version.split()[0]}: "
            "say which with `make PYTHON=python3.12 ...`"
        )
    wanted = _fingerprint()
    if _STAMP.is_file() and _STAMP.read_text() == wanted:
        return
    shutil.rmtree(VENV, ignore_errors=True)
    steps.run("Create a virtual environment in .venv", [sys.executable, "-m", "venv", VENV], "venv.log")
    steps.run(
        "Install the pinned Python tools into it (some 900 MB, once)",
        [BIN / "python", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-r", REQUIREMENTS],
        "pip.log",
    )
    _STAMP.write_text(wanted)


def _fingerprint() -> str:
    """Names what the environment was made from: another Python or another pin makes it anew."""
    return f"{sys.version.split()[0]} {hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()}"
