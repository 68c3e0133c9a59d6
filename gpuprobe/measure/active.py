"""A run whose process may still be going on: what it wrote so far, whether it lives, and how it ended."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from gpuprobe.errors import OutputError
from gpuprobe.measure.events import EventReader, RunInProgress
from gpuprobe.measure.folder import Place
from gpuprobe.recording import GO_FILE
from gpuprobe.records import Outcome, Run, RunSpec

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.measure.process import Worker


class ActiveRun:
    """One run in a process of its own, from its start until it has ended."""

    def __init__(self, spec: RunSpec, folder: Path, worker: Worker, limit_s: float) -> None:
        self.spec, self.folder, self.worker = spec, folder, worker
        self.progress = RunInProgress(spec)
        self.outcome: Outcome | None = None
        self._reader, self._place = EventReader(folder), Place(folder)
        self._limit_s, self._alive_s = limit_s, time.monotonic()

    @property
    def is_held(self) -> bool:
        """Whether it has warmed up and waits to be let go."""
        return bool(self.progress.phases) and self.progress.phases[-1].name == "held"

    def let_go(self) -> None:
        """Let it time its steps: the machine is quiet."""
        self._alive_s = time.monotonic()
        try:
            (self.folder / GO_FILE).touch()
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be written ({error.strerror})") from error

    def look(self) -> None:
        """Take in what it wrote, and end it where it has shown no sign of life for too long.

        Raises OutputError where its folder is gone: nothing that it writes would be seen.
        """
        if self.outcome is not None:
            return
        self._place.check()
        code = self.worker.exit_code()
        for event in self._reader.new():
            self._alive_s = time.monotonic()
            self.progress.take(event)
        if code is not None:
            self.outcome = outcome_of(self.progress, code)
        elif time.monotonic() - self._alive_s > self._limit_s and not self._waits():
            self.worker.kill()
            message = f"showed no sign of life for {self._limit_s:.0f} s and was ended (--limit sets this time)"
            self.outcome = Outcome(state="timeout", message=message)

    def _waits(self) -> bool:
        return self.is_held and not (self.folder / GO_FILE).exists()

    def record(self) -> Run:
        """Return the record of the run as it ended."""
        assert self.outcome is not None
        return self.progress.finished(self.outcome)


def outcome_of(progress: RunInProgress, exit_code: int) -> Outcome:
    """Say how a run ended, from its last events and the exit code of its process (minus the signal's number)."""
    if progress.error is not None:
        return Outcome(state=progress.error.state, message=progress.error.message, exit_code=exit_code)
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        # Linux ends a process by SIGKILL when memory runs out, and tells nobody but its own log.
        hint = "; if nobody did that, the machine ran out of memory (see dmesg)" if name == "SIGKILL" else ""
        return Outcome(state="killed", message=f"ended by {name}{hint}", exit_code=exit_code)
    if progress.done and exit_code == 0:
        return Outcome(state="done", exit_code=0)
    return Outcome(state="failed", message="the process ended early; see log.txt", exit_code=exit_code)
