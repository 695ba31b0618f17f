"""Waits for an effect by polling until a deadline, never by sleeping for a guessed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")

_LOOK_EVERY_SECONDS = 0.2


class NotReached(AssertionError):
    """The effect did not occur before the deadline; the message contains the last observation."""


def eventually(
    what: str,
    look: Callable[[], Seen],
    good: Callable[[Seen], bool] = bool,
    seconds: float = 30.0,
) -> Seen:
    """Calls `look` until `good` accepts its result, and returns that result; raises NotReached after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if good(seen):
            return seen
        if time.monotonic() > deadline:
            raise NotReached(f"{what}: not reached within {seconds:.0f} s; last seen: {seen!r}")
        time.sleep(_LOOK_EVERY_SECONDS)
