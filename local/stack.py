"""The driver of the local stack: `make up`, `make down`, `make demo`, `make status` and `make console` run it.

Any Python 3.11 or newer can start it. It first installs the packages that it needs into .venv. The module with the
commands can only be imported there.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys

import steps
import tools


def main() -> int:
    """Runs one command; returns its exit status."""
    parser = argparse.ArgumentParser(description="The local stack of ticket-relay.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start the stack and leave it running; redeploy it if it is already running")
    commands.add_parser("down", help="stop the stack")
    commands.add_parser("status", help="show whether the stack is running, and the messages in its queues")
    commands.add_parser("console", help="serve the operator's web console of the stack until Ctrl-C")
    commands.add_parser("demo", help="run every scenario on a separate stack; exit with 0 if all of them pass")
    commands.add_parser("tools", help="install the Python tools into .venv and exit")
    watch = commands.add_parser("watch", help="rebuild and redeploy one function whenever its sources change")
    watch.add_argument("function")
    arguments = vars(parser.parse_args())
    command = arguments.pop("command")
    # If another program or a closed terminal ends the driver, it stops its programs, as after Ctrl-C.
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
        # The reader closed the pipe. Python's own last output goes to /dev/null.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
