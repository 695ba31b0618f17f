"""Paths in a working copy, and the names of the functions."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "target"

REQUIREMENTS = ROOT / "local" / "requirements.txt"
VENV = ROOT / ".venv"

#: Cargo's output folder of profile `local`. stack.json is here because people and tools look for it here.
BINARIES = TARGET / "local"
STACK_JSON = BINARIES / "stack.json"
FUNCTIONS_ENV = BINARIES / "functions.env"

#: The driver's files: one folder for each running stack, and the logs of all stacks.
STACKS = TARGET / "stack"
LOGS = STACKS / "logs"

TEMPLATE = ROOT / "template.yaml"

#: The functions that call TOP. Each has the name of its call and a queue of that name.
CALLS = ("itinerary-postback", "ticket-verify", "ship-notify", "ship-return-notify", "ticket-refund-notify")
FUNCTIONS = (
    "tsy-issue-notify",
    "tsy-change-price-push",
    "tsy-change-result-push",
    "sctt-voucher-push",
    "sctt-cancel-push",
    "order-events",
    "order-link",
    "submit-call",
    "sweep",
    "attention",
    "dispatch",
    *CALLS,
)
SIMULATOR = "top-simulator"


def logical_prefix(name: str) -> str:
    """The prefix of a function's or queue's resources in the template."""
    return "".join(word.capitalize() for word in name.split("-"))


def logical_id(function: str) -> str:
    """The function's logical id in the template."""
    return f"{logical_prefix(function)}Function"
