"""Puts one deliberate bug after the other into a copy of the project, and sees explorer or simulation catch each.

Without arguments it builds and runs all of them and prints the table; with words, only the bugs whose names have them
all. `--check` only sees that each can still be put in, and is part of `make lint`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
#: The copies, and what they are built into: apart from the project's own, which must not be taken for theirs.
WORK = ROOT / "target" / "mutations"
SEEDS = 3_000
#: How long the explorer looks before the simulation does, in seconds.
SECONDS = 60


def main() -> int:
    """Returns the exit status: 0 if all bugs were caught, or can be put in."""
    arguments = sys.argv[1:]
    with (HERE / "mutations.toml").open("rb") as listed:
        mutations = tomllib.load(listed)["mutation"]
    stale = [mutation["bug"] for mutation in mutations if source(mutation).count(mutation["find"]) != 1]
    for bug in stale:
        print(f"{bug}: what it replaces is not in the code exactly once; update mutations.toml")
    if stale or arguments == ["--check"]:
        return 1 if stale else 0
    chosen = [mutation for mutation in mutations if all(word in mutation["bug"] for word in arguments)]
    prepare()
    rows = []
    for number, mutation in enumerate(chosen, start=1):
        print(f"[{number}/{len(chosen)}] {mutation['bug']} …", flush=True)
        rows.append((mutation["bug"], *caught(mutation)))
    print("\n| bug | caught by |\n|---|---|")
    for bug, verdict, _ in rows:
        print(f"| {bug} | {verdict} |")
    missed = [bug for bug, _, is_caught in rows if not is_caught]
    print(f"\n{len(rows) - len(missed)} of {len(rows)} caught within {SECONDS} s of exploring and {SEEDS} seeds each")
    return 1 if missed else 0


def source(mutation: dict[str, str]) -> str:
    """The file that a mutation changes, as it is."""
    return (ROOT / mutation["file"]).read_text(encoding="utf-8")


def prepare() -> None:
    """Makes the copy, and lends it the dependencies that the project has built already."""
    tree = WORK / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in listed.stdout.decode().splitlines():
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            # As of now, not as old as it is: cargo must not take it for the file with the last bug.
            shutil.copy(ROOT / name, tree / name)
    built = WORK / "build" / "local"
    if not built.exists() and (ROOT / "target" / "local").exists():
        for part in ("deps", "build", ".fingerprint"):
            shutil.copytree(ROOT / "target" / "local" / part, built / part, symlinks=True)


def caught(mutation: dict[str, str]) -> tuple[str, bool]:
    """Builds the copy with the bug and runs it. Returns what to say of it, and whether it was caught."""
    path = WORK / "tree" / mutation["file"]
    # The copy's own text: the project may be edited while this runs.
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace(mutation["find"], mutation["replace"]), encoding="utf-8")
    begun = time.monotonic()
    try:
        cargo = [
            "cargo",
            "build",
            "--quiet",
            "--locked",
            "--profile",
            "local",
            "--workspace",
            "--bin",
            "relay-simulation",
        ]
        env = {**os.environ, "CARGO_TARGET_DIR": str(WORK / "build")}
        built = subprocess.run(cargo, cwd=WORK / "tree", env=env, capture_output=True, text=True)
        if built.returncode != 0:
            print(built.stderr[-3000:])
            return "does not build", False
        program = WORK / "build" / "local" / "relay-simulation"
        explore = [
            program,
            "explore",
            "--quiet",
            "--faults",
            "1",
            "--seconds",
            str(SECONDS),
        ]
        for command in (explore, [program, "--quiet", "--seeds", str(SEEDS)]):
            ran = subprocess.run(command, capture_output=True, text=True)
            found = re.search(r"caught (.*)", ran.stdout)
            if found and ran.returncode == 1:
                break
    finally:
        # The time stamp must be new, or cargo takes the file for the one it built last.
        path.write_text(whole, encoding="utf-8")
    verdict = found.group(1) if found else "not caught"
    print(f"    {verdict} ({time.monotonic() - begun:.0f} s)", flush=True)
    return verdict, bool(found)


if __name__ == "__main__":
    sys.exit(main())
