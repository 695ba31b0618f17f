"""Measures the SDK's time for one signature. Reads the request from the given file and prints one line of JSON."""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import top

_WARM_UP_NANOSECONDS = 300_000_000
_BATCHES = 31
_BATCH_NANOSECONDS = 40_000_000


def main() -> None:
    """Warms up, derives the batch size from that, and then measures."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    secret, parameters = request["secret"], request["parameters"]
    warm_ups = 0
    start = time.perf_counter_ns()
    while (spent := time.perf_counter_ns() - start) < _WARM_UP_NANOSECONDS:
        signature = top.sign(secret, parameters)
        warm_ups += 1
    repeats = max(1, warm_ups * _BATCH_NANOSECONDS // spent)
    batches = [_batch(secret, parameters, repeats) for _ in range(_BATCHES)]
    print(json.dumps({"sign": signature, "nanoseconds": statistics.median(batches)}))


def _batch(secret: str, parameters: dict[str, str], repeats: int) -> float:
    sign = top.sign
    start = time.perf_counter_ns()
    for _ in range(repeats):
        sign(secret, parameters)
    return (time.perf_counter_ns() - start) / repeats


if __name__ == "__main__":
    main()
