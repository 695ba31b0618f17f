"""The driver of the local stack: what `make up`, `make down`, `make demo` and `make status` run.

Started by any Python 3.11 or newer. What it needs beyond the standard library goes into .venv first, and only there
can the module with the commands be imported.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys

import steps
import tools


def main() -> int:
    """Does one command; returns its exit status."""
    parser = argparse.ArgumentParser(description="The local stack of ticket-relay.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start the stack and leave it running; deploy anew if it runs")
    commands.add_parser("down", help="stop it")
    commands.add_parser("status", help="say whether it runs, and what waits in its queues")
    commands.add_parser("demo", help="play every scenario on a stack of its own; the exit status is the verdict")
    commands.add_parser("tools", help="only install the Python tools into .venv")
    watch = commands.add_parser("watch", help="bring one function of the running stack up to date when it changes")
    watch.add_argument("function")
    arguments = vars(parser.parse_args())
    command = arguments.pop("command")
    # Ended by another program or with its terminal, it stops what it started just as after Ctrl-C.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    try:
        tools.enter()
        if command == "tools":
            return 0
        import commands as implementation

        return getattr(implementation, command)(**arguments)
    except steps.StepFailed as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read what this prints has seen enough. What Python itself would still print goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
