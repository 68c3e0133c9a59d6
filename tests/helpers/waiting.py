"""Waits of the tests: until something has come to pass, and on however busy a machine.

A bound only ends a test that would fail anyway, and so it is minutes: no calm machine comes near it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

LIMIT_S = 1000.0


def until(holds: Callable[[], object], what: str = "it", limit_s: float = LIMIT_S) -> None:
    """Wait until something holds; `what` names it where it never does."""
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, f"{what} did not come to pass within {limit_s:g} s"
        time.sleep(0.02)


def until_said(process: subprocess.Popen[str], words: str) -> None:
    """Wait until a process has written the words to its stdout."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if words in line:
            return
    raise AssertionError(f"it ended without saying {words!r}: {''.join(said)}")


def until_rows(path: Path, count: int = 1) -> None:
    """Wait until a sampler has written that many rows."""
    until(lambda: rows(path) >= count, f"{path}: row {count} of the sampler")


def rows(path: Path) -> int:
    """Count the rows that a sampler has written so far."""
    return sum(line[:1].isdigit() for line in path.read_text().splitlines()) if path.exists() else 0


def until_recorded(path: Path, seconds: float) -> None:
    """Wait until the rows of a sampler span so many seconds by their own times."""
    until(lambda: recorded_s(path) >= seconds, f"{path}: {seconds:g} s of the sampler")


def recorded_s(path: Path) -> float:
    """Return how many seconds the rows of a sampler span so far."""
    text = path.read_text(errors="replace") if path.exists() else ""
    # The last line may not be whole yet.
    times = [int(line.partition(",")[0]) for line in text.splitlines()[:-1] if line[:1].isdigit()]
    return (max(times) - min(times)) / 1e9 if times else 0.0


def until_gone(pid: int) -> None:
    """Wait until a process, which may be nobody's child here, has ended."""
    until(lambda: ended(pid), f"the end of process {pid}")


def ended(pid: int) -> bool:
    """Say whether a process has ended: it is not there, or waits for its parent to ask for its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
