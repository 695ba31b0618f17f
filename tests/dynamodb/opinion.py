"""The second opinion: what the emulators do differently from the recording, and which of it is known."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from comparing import Difference, differences
from known import Known
from recording import Example, Recording
from replaying import Emulator


@dataclass(frozen=True)
class Found:
    """A difference, and where the list has it."""

    emulator: str
    example: Example
    difference: Difference
    #: The name of the list's entry and the expression in its `places`, or None.
    listed: tuple[str, str] | None

    def __str__(self) -> str:
        expressions = f" ({self.example.expressions})" if self.example.expressions else ""
        return f"{self.emulator}, {self.example.operation}{expressions}: {self.difference}"


@dataclass(frozen=True)
class Opinion:
    """The differences of one emulator, and how long its replays took."""

    emulator: str
    found: list[Found]
    seconds: float


def ask(emulators: list[Emulator], recording: Recording, known: list[Known]) -> list[Opinion]:
    """Replays all examples on all emulators, which work at the same time."""

    def opinion(emulator: Emulator) -> Opinion:
        started = time.monotonic()
        found = [one for example in recording.all_examples() for one in compare(emulator, example, known)]
        return Opinion(emulator.name, found, time.monotonic() - started)

    with ThreadPoolExecutor(len(emulators)) as pool:
        return list(pool.map(opinion, emulators))


def compare(emulator: Emulator, example: Example, known: list[Known]) -> Iterator[Found]:
    """The differences between a recorded request and its replay."""
    for difference in differences(example.operation, example.answer, emulator.replay(example)):
        places = ((entry.name, entry.place(emulator.name, example, difference)) for entry in known)
        listed = next(((name, place) for name, place in places if place is not None), None)
        yield Found(emulator.name, example, difference, listed)


def stale(known: list[Known], opinions: list[Opinion]) -> list[str]:
    """What the list says and no replay showed: places of entries, and emulators of entries."""
    found = [one for opinion in opinions for one in opinion.found if one.listed]
    places = {one.listed for one in found}
    emulators = {(one.listed[0], one.emulator) for one in found}
    unused = [f"{one.name}: {place}" for one in known for place in one.places if (one.name, place) not in places]
    return unused + [
        f"{one.name}: {name}" for one in known for name in one.emulators if (one.name, name) not in emulators
    ]


def summary(recording: Recording, known: list[Known], opinions: list[Opinion]) -> Iterator[str]:
    """What was compared and found, in lines."""
    examples = len(recording.all_examples())
    total = sum(recording.requests.values())
    yield f"{total} recorded requests of {len(recording.examples)} shapes; {examples} of them replayed"
    for operation, (requests, shapes) in recording.per_operation().items():
        yield f"  {operation:12} requests: {requests:6}   shapes: {shapes:3}"
    right = {entry.name: entry.right for entry in known}
    for opinion in opinions:
        differing = {one.example.request for one in opinion.found}
        yield f"{opinion.emulator}: differs in {len(differing)} requests; took {opinion.seconds:.0f} s"
        for name, count in sorted(Counter(one.listed[0] if one.listed else "" for one in opinion.found).items()):
            yield f"  {count:5} × {name} (right: {right[name]})" if name else f"  {count:5} × not in differences.toml"
