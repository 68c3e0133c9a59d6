"""The record of a process's wall time by part: what it belongs to, how errors are kept out, and when it is saved."""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from gpuprobe.measure.wall import WallClock, process_started_ns
from gpuprobe.records import save

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gpuprobe.records import PartKind

# How often the record is saved, since the process may be killed.
SAVE_EVERY_NS = 2_000_000_000
# The owner of a record that was abandoned after an error.
NOBODY = (0, 0)
Answer = TypeVar("Answer")


class WallRecord:
    """The wall time of this process by part. It belongs to one thread: what other threads do is not recorded."""

    def __init__(self) -> None:
        # At an interactive prompt the time before a training is no part of it.
        self._interactive = hasattr(sys, "ps1") or "ipykernel" in sys.modules
        self.clock = WallClock("imports", None if self._interactive else process_started_ns())
        self.steps_per_call = 1
        self._started_ns = self.clock.since_ns
        self._owner = os.getpid(), threading.get_ident()
        self._file: Path | None = None
        self._saved_ns = 0

    @property
    def is_recorded_thread(self) -> bool:
        """Whether this thread of this process is the recorded one."""
        return self._owner == (os.getpid(), threading.get_ident())

    def save_to(self, file: Path) -> None:
        """Keep the record of the process in a file, from now on."""
        self._file = file

    @contextmanager
    def part(self, kind: PartKind, name: str = "") -> Iterator[None]:
        """Record the block as a part of its own; afterwards the part before it continues."""
        former = self.record(lambda: self.clock.begin(kind, name)) if self.is_recorded_thread else None
        try:
            yield
        finally:
            if former is not None:
                self.record(functools.partial(self.clock.resume, former))

    def record(self, note: Callable[[], Answer]) -> Answer | None:
        """Run `note`, which changes the record, and return its answer.

        Where it fails, abandon the record and return None: the training must go on.
        """
        try:
            return note()
        except Exception:  # noqa: BLE001 - nothing of ours may break a training
            self.give_up()
            return None

    def give_up(self) -> None:
        """Record nothing more: with a part missing, the parts no longer add up to the wall time."""
        self._owner = NOBODY

    def count_calls(self) -> None:
        """Bring the count of calls up to date, before the record is read."""

    def save(self, *, complete: bool) -> None:
        """Save the record to its file: always where it is `complete`, else at most every 2 s."""
        now_ns = time.time_ns()
        if (
            self._file is None
            or not self.is_recorded_thread
            or not (complete or now_ns - self._saved_ns >= SAVE_EVERY_NS)
        ):
            return
        self._saved_ns = now_ns
        self.count_calls()
        wall = self.clock.wall(self._started_ns, complete=complete, steps_per_call=self.steps_per_call)
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            save(wall, self._file)
