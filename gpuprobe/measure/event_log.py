"""The events of a run in `events.jsonl`: the worker appends them, and others read them while it runs.

An event is one JSON line with its name (`event`), its time (`t_ns`, Unix ns) and values. Each is written when it
happens, so the file holds all that was measured, however the worker ends.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENTS_FILE = "events.jsonl"


class EventLog:
    """Appends events to a file, each by one write, so that a killed process leaves at most one incomplete line."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / EVENTS_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, event: str, t_ns: int | None = None, **values: Any) -> None:
        """Append one event; `t_ns` is now where it is not given."""
        line = {"event": event, "t_ns": time.time_ns() if t_ns is None else t_ns, **values}
        os.write(self._file, msgspec.json.encode(line) + b"\n")

    def close(self) -> None:
        """Close the file; nothing is buffered."""
        os.close(self._file)


class EventReader:
    """Reads the events appended since the last call; a line still being written is left for the next one."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / EVENTS_FILE
        self._offset = 0

    @property
    def has_more(self) -> bool:
        """Whether the file has unread bytes."""
        try:
            return self._path.stat().st_size > self._offset
        except OSError:
            return False

    def new(self) -> Iterator[dict[str, Any]]:
        """Yield each new complete event; damaged lines are skipped."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        complete = data[: data.rfind(b"\n") + 1]
        self._offset += len(complete)
        for line in complete.splitlines():
            try:
                event = msgspec.json.decode(line)
            except msgspec.DecodeError:
                continue
            if isinstance(event, dict) and "event" in event and "t_ns" in event:
                yield event
