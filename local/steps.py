"""Prints the current step, and runs long commands with visible progress.

On a terminal it shows a clock and the last line of the running command's output. Elsewhere (a CI log) it prints a
progress line every ten seconds. The full output goes to a log file; on failure the end of that file is shown.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from layout import LOGS, ROOT

_REPORT_EVERY_SECONDS = 10.0
_REDRAW_EVERY_SECONDS = 0.2
_WIDTH_WITHOUT_TERMINAL = 100
_TAIL_BYTES = 4096
_LINES_SHOWN_ON_FAILURE = 40


class StepFailed(Exception):
    """A step failed; the message is for the user at the terminal."""


def say(text: str) -> None:
    """Announces a step."""
    print(f"==> {text}", flush=True)


def note(text: str) -> None:
    """Prints a line that belongs to the last announced step."""
    print(f"    {text}", flush=True)


def run(title: str, command: Sequence[str | Path], log_name: str, env: Mapping[str, str] | None = None) -> None:
    """Runs `command` in the project folder, waits for its end, and writes its output to `log_name` in the log folder.

    If the command cannot be started, it raises StepFailed. It also does so if the exit status is not 0, after printing
    the end of the output.
    """
    say(title)
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / log_name
    started = time.monotonic()
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                [str(part) for part in command],
                cwd=ROOT,
                env=dict(env) if env is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        except FileNotFoundError as missing:
            raise StepFailed(f"{command[0]} is not installed or not in PATH ({missing})") from missing
        try:
            _watch(process, log, started)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    seconds = time.monotonic() - started
    if process.returncode != 0:
        _show_end(log)
        raise StepFailed(f"{title}: failed with status {process.returncode} after {seconds:.0f} s; see the log: {log}")
    note(f"done in {seconds:.1f} s")


def _watch(process: subprocess.Popen[bytes], log: Path, started: float) -> None:
    """Waits for the process and shows its progress."""
    live = sys.stdout.isatty()
    reported = started
    while True:
        try:
            process.wait(_REDRAW_EVERY_SECONDS)
            break
        except subprocess.TimeoutExpired:
            now = time.monotonic()
        if live:
            _redraw(f"    {now - started:4.0f} s  {_last_line(log)}")
        elif now - reported >= _REPORT_EVERY_SECONDS:
            reported = now
            note(f"{now - started:.0f} s: {_last_line(log)[:_WIDTH_WITHOUT_TERMINAL]}")
    if live:
        _redraw("")


def _redraw(line: str) -> None:
    width = shutil.get_terminal_size().columns
    sys.stdout.write("\r\x1b[K" + line[: width - 1])
    sys.stdout.flush()


def _last_line(log: Path) -> str:
    """The last line of the log with a letter or digit, which skips the rules of tables."""
    with log.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _TAIL_BYTES))
        lines = stream.read().decode("utf-8", errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if any(map(str.isalnum, line))), "working")


def _show_end(log: Path) -> None:
    lines = log.read_text("utf-8", errors="replace").splitlines()
    for line in lines[-_LINES_SHOWN_ON_FAILURE:]:
        note(line)
