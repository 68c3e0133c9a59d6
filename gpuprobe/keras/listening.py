"""Tells which processes of this machine wait for the signal that asks a Probe for a trace.

That a process catches the signal does not tell: a shell catches it too, and ends by it. One that listens holds an empty
file in memory, whose name others can read in /proc; it goes with the process, however that ends. Linux only.
"""

from __future__ import annotations

import os
from pathlib import Path

NAME = "gpuprobe-probe"
# How Linux shows such a file (memfd_create(2)).
SHOWN = f"/memfd:{NAME} (deleted)"


def announce() -> int | None:
    """Begin to be seen as listening; return the file to close at the end, None where the system has no such files."""
    return os.memfd_create(NAME) if hasattr(os, "memfd_create") else None


def listens(pid: int) -> bool:
    """Tell whether a process listens. Raises FileNotFoundError if there is none, PermissionError if it is another's."""
    return any(_target(entry) == SHOWN for entry in Path(f"/proc/{pid}/fd").iterdir())


def listeners() -> list[int]:
    """Return the processes that listen, of those that this user may look into, in the order of their ids."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if listens(int(entry.name)):
                found.append(int(entry.name))
        except OSError:
            continue
    return sorted(found)


def _target(entry: Path) -> str:
    """Return what an open file is; it may have been closed meanwhile."""
    try:
        return str(entry.readlink())
    except OSError:
        return ""
