"""Tells which processes of this machine wait for the signal that asks a Probe for a trace.

That a process has a handler for the signal proves nothing: a shell has one too, and exits by it. So a Probe that
listens keeps an empty in-memory file open, whose name other processes can read in /proc; it disappears with the
process. Linux only.
"""

from __future__ import annotations

import os
from pathlib import Path

NAME = "gpuprobe-probe"
# The name of such a file in /proc (memfd_create(2)).
SHOWN = f"/memfd:{NAME} (deleted)"


def announce() -> int | None:
    """Show this process as listening; return the descriptor to close at the end, None where the system has no memfd."""
    return os.memfd_create(NAME) if hasattr(os, "memfd_create") else None


def listens(pid: int) -> bool:
    """Tell whether a process listens. Raises FileNotFoundError if there is none, PermissionError if it is another's."""
    return any(_target(entry) == SHOWN for entry in Path(f"/proc/{pid}/fd").iterdir())


def listeners() -> list[int]:
    """Return the ids of the listening processes that this user may look into, sorted."""
    ports = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if listens(int(entry.name)):
                ports.append(int(entry.name))
        except OSError:
            continue
    return sorted(ports)


def _target(entry: Path) -> str:
    """Return the target of a link in /proc; empty where the file has been closed meanwhile."""
    try:
        return str(entry.readlink())
    except OSError:
        return ""
