"""A separate stack for the suite: the real template, newly deployed on free ports and stopped at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import ports
from instance import Settings, temporary
from relay import Relay
from scenarios import Stage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Moves the tests marked `last` to the end."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.fixture(scope="session")
def relay(pytestconfig: pytest.Config) -> Iterator[Relay]:
    """A client for the relay on the suite's stack."""
    # Show the driver's output during the start, not with the first failure.
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with ExitStack() as running:
        with capture.global_and_fixture_disabled():
            print()
            connection = running.enter_context(temporary("test", free_settings))
        yield Relay(connection)
        with capture.global_and_fixture_disabled():
            running.close()


def free_settings() -> Settings:
    """Free ports, because a developer's stack may use the default ones, and all checks enabled."""
    return Settings.new(*ports.free_pair(), sctt_signature=True)


@pytest.fixture
def stage(relay: Relay) -> Stage:
    """The running stack for one scenario."""
    return Stage(relay)
