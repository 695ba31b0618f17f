"""Finds free local ports, and the programs that use busy ones."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from steps import StepFailed

#: State code of a listening socket in the kernel's tables.
_LISTEN = "0A"


def require_free(port: int, variable: str) -> None:
    """Raises StepFailed unless `port` is free. The error names the listening program and the variable to set."""
    if busy(port):
        raise StepFailed(f"port {port} is in use by {_owner(port)}; set {variable}=<another port> or stop that program")


def busy(port: int) -> bool:
    """Whether a program listens on `port` of localhost, on IPv4 or IPv6."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            if probe.connect_ex((address, port)) == 0:
                return True
    return False


def free_pair() -> tuple[int, int]:
    """Two ports that are free now. Another program can still take one before the caller does."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


def _owner(port: int) -> str:
    """The listening program, if this user may see it."""
    listening = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*"):
        # The process may end meanwhile, or belong to another user.
        with contextlib.suppress(OSError):
            if any(_target(entry) in listening for entry in (process / "fd").iterdir()):
                return f"{_command(process)} (pid {process.name})"
    return "another program"


def _target(descriptor: Path) -> str:
    """The target of a file descriptor, or an empty string if it was closed meanwhile."""
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:
        return ""


def _listening_inodes(port: int) -> set[str]:
    """Inodes of the sockets that listen on `port`, from the kernel's tables; empty without /proc."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            columns = row.split()
            if columns[3] == _LISTEN and int(columns[1].rsplit(":", 1)[1], 16) == port:
                found.add(columns[9])
    return found


def _command(process: Path) -> str:
    words = [word for word in (process / "cmdline").read_bytes().decode(errors="replace").split("\0") if word]
    # For an interpreter, the script's name is more useful.
    names = [Path(word).name for word in words if not word.startswith("-")]
    if names and names[0].startswith("python") and len(names) > 1:
        return names[1]
    return names[0] if names else (process / "comm").read_text().strip()
