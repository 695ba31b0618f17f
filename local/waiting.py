"""Waits for an effect by looking for it until a deadline, never by sleeping a guessed while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")

_LOOK_EVERY_SECONDS = 0.2


class NotReached(AssertionError):
    """The effect did not show before the deadline; says what was seen last."""


def eventually(
    what: str,
    look: Callable[[], Seen],
    good: Callable[[Seen], bool] = bool,
    seconds: float = 30.0,
) -> Seen:
    """Looks again and again until what is seen is good, and returns it."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if good(seen):
            return seen
        if time.monotonic() > deadline:
            raise NotReached(f"{what}: not within {seconds:.0f} s; seen last: {seen!r}")
        time.sleep(_LOOK_EVERY_SECONDS)
