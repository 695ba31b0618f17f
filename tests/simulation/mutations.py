"""Checks that the exploration or the simulation catches each deliberate bug in a copy of the project.

Without arguments, it builds and runs all bugs and prints a table. With words as arguments, it runs only the bugs whose
names contain all of them. `--check` only checks that each bug still applies; it is part of `make lint`.
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
#: The copy and its build output. They are separate, so cargo cannot confuse them with the project's own artifacts.
WORK = ROOT / "target" / "mutations"
SEEDS = 3_000
#: The time limit of the exploration, in seconds. The simulation runs after it.
SECONDS = 60


def main() -> int:
    """Returns the exit status: 0 if all bugs were caught or, with `--check`, still apply."""
    arguments = sys.argv[1:]
    with (HERE / "mutations.toml").open("rb") as listed:
        mutations = tomllib.load(listed)["mutation"]
    stale = [mutation["bug"] for mutation in mutations if source(mutation).count(mutation["find"]) != 1]
    for bug in stale:
        print(f"{bug}: `find` does not occur exactly once in `file`; update mutations.toml")
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
    print(f"\n{len(rows) - len(missed)} of {len(rows)} caught within {SECONDS} s of exploration and {SEEDS} seeds each")
    return 1 if missed else 0


def source(mutation: dict[str, str]) -> str:
    """Returns the current content of the file that a mutation changes."""
    return (ROOT / mutation["file"]).read_text(encoding="utf-8")


def prepare() -> None:
    """Copies the project, and the dependencies that it has already built."""
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
            # `copy` sets a new time stamp, so cargo cannot mistake the file for the one with the previous bug.
            shutil.copy(ROOT / name, tree / name)
    built = WORK / "build" / "local"
    if not built.exists() and (ROOT / "target" / "local").exists():
        for part in ("deps", "build", ".fingerprint"):
            shutil.copytree(ROOT / "target" / "local" / part, built / part, symlinks=True)


def caught(mutation: dict[str, str]) -> tuple[str, bool]:
    """Builds and runs the copy with the bug. Returns a verdict for the table, and whether the bug was caught."""
    path = WORK / "tree" / mutation["file"]
    # Read the copy, because the project may be edited while this runs.
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
        # Writing sets a new time stamp. Otherwise cargo would mistake the file for the one that it built last.
        path.write_text(whole, encoding="utf-8")
    verdict = found.group(1) if found else "not caught"
    print(f"    {verdict} ({time.monotonic() - begun:.0f} s)", flush=True)
    return verdict, bool(found)


if __name__ == "__main__":
    sys.exit(main())
