"""The differences that are known: differences.toml, with a reason and AWS's documentation for each."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comparing import Difference
from recording import Example


@dataclass(frozen=True)
class Known:
    """An entry of the list. A difference belongs to it if everything that the entry states is true of it."""

    #: A name for messages.
    name: str
    emulators: list[str]
    operations: list[str]
    #: Regular expressions for whole places. `[]` in a place means any index of a list.
    places: list[str]
    reason: str
    #: The page of AWS's documentation that says who is right.
    documentation: str
    #: Who does as AWS documents: `tests` (the in-process emulator), `emulator` or `both`.
    right: str
    #: Part of the request's text.
    request: str = ""
    #: Least size of all items before the request, in bytes.
    stored_bytes: int = 0
    #: What the tests recorded and the emulator returned: exact values. Not stated: any.
    values: dict[str, Any] = field(default_factory=dict)

    def place(self, emulator: str, example: Example, difference: Difference) -> str | None:
        """The expression in `places` that the difference matches, or None if it does not belong to this entry."""
        if (
            emulator not in self.emulators
            or example.operation not in self.operations
            or self.request not in example.request
            or self.stored_bytes > example.stored_bytes
            or any(getattr(difference, name) != value for name, value in self.values.items())
        ):
            return None
        matches = (expression for expression in self.places if re.fullmatch(expression, difference.any_index))
        return next(matches, None)


def read(file: Path) -> list[Known]:
    """Reads the list."""
    entries = tomllib.loads(file.read_text(encoding="utf-8"))
    return [Known(name, **entry) for name, entry in entries.items()]
