"""Where things are in a working copy, and what the driver calls them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "target"

REQUIREMENTS = ROOT / "local" / "requirements.txt"
VENV = ROOT / ".venv"

#: Cargo's own output of profile `local`; stack.json is there because people and tools look for it there.
BINARIES = TARGET / "local"
STACK_JSON = BINARIES / "stack.json"
FUNCTIONS_ENV = BINARIES / "functions.env"

#: What the driver keeps: one folder for each stack that runs, and the logs of all of them.
STACKS = TARGET / "stack"
LOGS = STACKS / "logs"

TEMPLATE = ROOT / "template.yaml"

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
    "itinerary-postback",
    "ticket-verify",
    "ship-notify",
)
SIMULATOR = "top-simulator"


def logical_id(function: str) -> str:
    """What the template calls a function."""
    return "".join(word.capitalize() for word in function.split("-")) + "Function"
