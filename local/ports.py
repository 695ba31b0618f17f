"""Which local ports are free, and who has those that are not."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from steps import StepFailed

#: The state of a listening socket in the kernel's tables.
_LISTEN = "0A"


def require_free(port: int, variable: str) -> None:
    """Raises StepFailed, saying who listens there and which variable sets another port, unless `port` is free."""
    if busy(port):
        raise StepFailed(
            f"port {port} is in use by {_owner(port)}; set {variable}=<another port>, or stop that program"
        )


def busy(port: int) -> bool:
    """Whether something listens on `port` of localhost, in IPv4 or IPv6."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            if probe.connect_ex((address, port)) == 0:
                return True
    return False


def free_pair() -> tuple[int, int]:
    """Two ports that nobody uses now. Another program may take one before we do; nothing prevents that."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


def _owner(port: int) -> str:
    """The listening program, as far as this user may see it."""
    listening = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*"):
        # It may end while it is looked at, or be another user's.
        with contextlib.suppress(OSError):
            if any(_target(entry) in listening for entry in (process / "fd").iterdir()):
                return f"{_command(process)} (pid {process.name})"
    return "another program"


def _target(descriptor: Path) -> str:
    """What an open file of a process is, or nothing if it was closed meanwhile."""
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:
        return ""


def _listening_inodes(port: int) -> set[str]:
    """The sockets that listen on `port`, from the kernel's tables; none where there is no /proc."""
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
    # An interpreter alone says little: name what it runs.
    names = [Path(word).name for word in words if not word.startswith("-")]
    if names and names[0].startswith("python") and len(names) > 1:
        return names[1]
    return names[0] if names else (process / "comm").read_text().strip()
