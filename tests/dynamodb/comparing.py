"""Compares what a replayed request did with what the recording says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from recording import Answer

_SETS = ("SS", "NS", "BS")
#: Members of lists that DynamoDB returns in no order.
_UNORDERED = ("AttributeDefinitions", "GlobalSecondaryIndexes", "NonKeyAttributes")
_MISSING = "(missing)"


@dataclass(frozen=True)
class Difference:
    """One place where two answers differ."""

    #: The path, such as `error` or `body.Attributes.revision`.
    place: str
    recorded: Any
    found: Any

    @property
    def any_index(self) -> str:
        """The place with `[]` for each index of a list."""
        return re.sub(r"\[\d+]", "[]", self.place)

    def __str__(self) -> str:
        return f"{self.place}: the tests recorded {_short(self.recorded)}, the emulator returned {_short(self.found)}"


def differences(operation: str, recorded: Answer, found: Answer) -> list[Difference]:
    """Every place where the status, the error, the response or the items afterwards differ."""
    return list(_compare("", _comparable(operation, recorded), _comparable(operation, found)))


def _comparable(operation: str, answer: Answer) -> dict[str, Any]:
    body = dict(answer.body)
    if operation == "Scan" and "Items" in body:
        # AWS documents an order for Query only.
        body["Items"] = sorted((_normal(item) for item in body["Items"]), key=str)
    if operation == "BatchGetItem" and "Responses" in body:
        tables = body["Responses"].items()
        body["Responses"] = {name: sorted((_normal(item) for item in items), key=str) for name, items in tables}
    error = body.pop("__type", None)
    message = body.pop("message", body.pop("Message", None))
    compared = {"status": answer.status, "body": _normal(body), "after": _by_key(answer.after)}
    return compared | ({"error": error.rpartition("#")[2], "message": message} if error else {})


def _by_key(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {f"{item['pk']['S']} {item['sk']['S']}": _normal(item) for item in items}


def _normal(value: Any, name: str = "") -> Any:
    """The value with its unordered lists sorted."""
    if isinstance(value, dict):
        return {key: _normal(inner, key) for key, inner in sorted(value.items())}
    if isinstance(value, list):
        values = [_normal(inner) for inner in value]
        return sorted(values, key=str) if name in _SETS + _UNORDERED else values
    return value


def _compare(place: str, recorded: Any, found: Any) -> Iterator[Difference]:
    if isinstance(recorded, dict) and isinstance(found, dict):
        for name in sorted(recorded.keys() | found.keys()):
            inner = f"{place}.{name}" if place else name
            yield from _compare(inner, recorded.get(name, _MISSING), found.get(name, _MISSING))
    elif isinstance(recorded, list) and isinstance(found, list) and len(recorded) == len(found):
        for index, (one, other) in enumerate(zip(recorded, found, strict=True)):
            yield from _compare(f"{place}[{index}]", one, other)
    elif recorded != found:
        yield Difference(place, recorded, found)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}..."
