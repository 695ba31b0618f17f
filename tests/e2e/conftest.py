"""A stack of its own for the suite: the real template, deployed afresh on free ports, stopped at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import ports
from instance import Settings, temporary
from relay import Relay
from scenarios import Stage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests marked `last` last."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.fixture(scope="session")
def relay(pytestconfig: pytest.Config) -> Iterator[Relay]:
    """The relay as its callers see it."""
    # What the driver prints while it starts is wanted at once, not with the first failure.
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with ExitStack() as running:
        with capture.global_and_fixture_disabled():
            print()
            connection = running.enter_context(temporary("test", free_settings))
        yield Relay(connection)
        with capture.global_and_fixture_disabled():
            running.close()


def free_settings() -> Settings:
    """Ports that nobody uses, since a developer's stack may have the usual ones; and everything checked."""
    return Settings.new(*ports.free_pair(), sctt_signature=True)


@pytest.fixture
def stage(relay: Relay) -> Stage:
    """The running stack, as one story uses it."""
    return Stage(relay)
