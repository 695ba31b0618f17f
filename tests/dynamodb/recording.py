"""Reads what the in-process tests recorded: one file of JSON lines for each process (tests/src/recording.rs)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What a request did: the response, and the items that the request could see afterwards."""

    status: int
    body: Any
    after: list[dict[str, Any]]


@dataclass(frozen=True)
class Example:
    """One recorded request of a shape."""

    shape: dict[str, Any]
    operation: str
    #: The body as the SDK sent it.
    request: str
    before: list[dict[str, Any]]
    answer: Answer

    @property
    def stored_bytes(self) -> int:
        """The size of all items before the request, in bytes of JSON."""
        return sum(len(json.dumps(item)) for item in self.before)

    @property
    def expressions(self) -> str:
        """The request's expressions and index, to tell a reader which request this is."""
        request = json.loads(self.request)
        names = sorted(name for name in request if name.endswith("Expression") or name == "IndexName")
        return "; ".join(f"{name}: {request[name]}" for name in names)


@dataclass(frozen=True)
class Recording:
    """The recorded requests: examples of each shape, and how many requests had the shape."""

    examples: dict[str, list[Example]]
    requests: Counter[str]

    def all_examples(self) -> list[Example]:
        """All examples, ordered by their shape."""
        return [example for examples in self.examples.values() for example in examples]

    def conditions(self) -> dict[tuple[str, str], set[int]]:
        """For each update expression (empty: a put) with its condition: the statuses that it was answered with."""
        found: dict[tuple[str, str], set[int]] = {}
        for example in self.all_examples():
            request = json.loads(example.request)
            if condition := request.get("ConditionExpression"):
                text = (request.get("UpdateExpression", ""), condition)
                found.setdefault(text, set()).add(example.answer.status)
        return found

    def per_operation(self) -> dict[str, tuple[int, int]]:
        """For each operation: the number of requests and of shapes."""
        operations = {shape: examples[0].operation for shape, examples in self.examples.items()}
        shapes = Counter(operations.values())
        requests: Counter[str] = Counter()
        for shape, count in self.requests.items():
            requests[operations[shape]] += count
        return {operation: (requests[operation], shapes[operation]) for operation in sorted(shapes)}


def read(folder: Path) -> Recording:
    """Reads a recording. Of each shape it keeps the shortest and the longest example."""
    found: dict[str, list[tuple[int, str]]] = {}
    requests: Counter[str] = Counter()
    for file in sorted(folder.glob("*.jsonl")):
        shapes: list[str] = []
        for line in file.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if isinstance(entry, int):
                requests[shapes[entry]] += 1
                continue
            shapes.append(json.dumps(entry["shape"], sort_keys=True))
            requests[shapes[-1]] += 1
            candidates = found.setdefault(shapes[-1], [])
            candidates.append((len(line), line))
            candidates[:] = sorted({min(candidates), max(candidates)})
    examples = {shape: [_example(json.loads(line)) for _, line in found[shape]] for shape in sorted(found)}
    return Recording(examples, requests)


def _example(entry: dict[str, Any]) -> Example:
    answer = Answer(entry["status"], entry["answer"], entry["after"])
    return Example(entry["shape"], entry["operation"], entry["body"], entry["before"], answer)
