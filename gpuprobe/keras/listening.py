"""Finds the processes of this machine that wait for the signal which asks a Probe for a trace.

A handler for the signal is no proof: a shell has one too, and exits by it. So a process with a Probe that listens keeps
an empty in-memory file open, whose name other processes can read in /proc, and which disappears with the process. Linux
only.
"""

from __future__ import annotations

import os
from pathlib import Path

MEMFD_NAME = "gpuprobe-probe"
# What the link to such a file in /proc holds (memfd_create(2)).
MEMFD_LINK = f"/memfd:{MEMFD_NAME} (deleted)"


def announce() -> int | None:
    """Mark this process as listening; return the descriptor to close at the end, None where the system has no memfd."""
    return os.memfd_create(MEMFD_NAME) if hasattr(os, "memfd_create") else None


def listens(pid: int) -> bool:
    """Whether a process listens. Raises FileNotFoundError if there is none, PermissionError if it is another user's."""
    return any(_target(entry) == MEMFD_LINK for entry in Path(f"/proc/{pid}/fd").iterdir())


def listeners() -> list[int]:
    """Return the ids of the listening processes that this user may look into, sorted."""
    pids = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if listens(int(entry.name)):
                pids.append(int(entry.name))
        except OSError:
            continue
    return sorted(pids)


def _target(entry: Path) -> str:
    """Return the target of a link in /proc; empty where the file has been closed meanwhile."""
    try:
        return str(entry.readlink())
    except OSError:
        return ""
