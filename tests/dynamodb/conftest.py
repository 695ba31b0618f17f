"""Reads the recording and replays it on every emulator, once for all tests."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import emulators
import known
import opinion
import recording
from known import Known
from layout import TARGET
from opinion import Opinion
from recording import Recording

_LIST = Path(__file__).with_name("differences.toml")
_RECORDING = TARGET / "dynamodb" / "recording"
_EMULATORS = TARGET / "dynamodb" / "emulators"


@pytest.fixture(scope="session")
def recorded() -> Recording:
    """What the in-process tests recorded."""
    found = recording.read(_RECORDING)
    assert found.examples, f"{_RECORDING} holds no recording; run `make second-opinion`"
    return found


@pytest.fixture(scope="session")
def listed() -> list[Known]:
    """The list of known differences."""
    return known.read(_LIST)


@pytest.fixture(scope="session")
def opinions(recorded: Recording, listed: list[Known], pytestconfig: pytest.Config) -> list[Opinion]:
    """The opinion of every emulator. A summary is printed."""
    shutil.rmtree(_EMULATORS, ignore_errors=True)
    with emulators.running(_EMULATORS) as running:
        found = opinion.ask(running, recorded, listed)
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(os.linesep + os.linesep.join(opinion.summary(recorded, listed, found)))
    return found
