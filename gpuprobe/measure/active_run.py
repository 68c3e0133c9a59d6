"""A run whose process is alive: its events so far, the commands that it gets, and how it ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gpuprobe.errors import OutputError
from gpuprobe.measure.event_log import EventLog, EventReader
from gpuprobe.measure.folder import STILL_TAKES_TURNS, FolderGuard
from gpuprobe.measure.gate import POLL_EVERY_S, Command, send_command
from gpuprobe.measure.run_in_progress import RunInProgress
from gpuprobe.measure.worker_failure import ended_by_signal
from gpuprobe.records import Outcome, Run, RunSpec

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.measure.process import Worker


class ActiveRun:
    """One run in a process of its own, from its start to its end.

    While it waits at its gate the process is frozen. Otherwise its threads would go on preparing batches, and take CPU
    time from the run whose turn it is. Where it reports nothing for `limit_s` seconds it is killed.
    """

    def __init__(self, spec: RunSpec, folder: Path, worker: Worker, limit_s: float) -> None:
        self.spec, self.folder, self.worker = spec, folder, worker
        self.progress = RunInProgress(spec)
        self.outcome: Outcome | None = None
        self._reader, self._folder_guard = EventReader(folder), FolderGuard(folder)
        self._limit_s, self._alive_s = limit_s, time.monotonic()
        self._commands = 0

    @property
    def waits_at_gate(self) -> bool:
        """Whether it waits at its gate, and has not been given a command yet."""
        return self.outcome is None and self.progress.pauses > self._commands

    @property
    def is_measured(self) -> bool:
        """Whether its timed window is over."""
        return any(phase.name == "paused" for phase in self.progress.phases)

    @property
    def failed_at_first(self) -> bool:
        """Whether it ended by an error or its limit within its first call: other runs of its strategy would too."""
        return self.outcome is not None and self.outcome.state in {"failed", "timeout"} and not self.progress.settings

    def go(self, *, lap: int = 0, turn_s: float = 0.0, last: bool = False) -> None:
        """Give it a command at its gate: time its window, take a turn, or end."""
        self._commands += 1
        self._alive_s = time.monotonic()
        send_command(self.folder, Command(number=self._commands, lap=lap, turn_s=turn_s, last=last))
        self.worker.thaw()

    def disturbed(self, lap: int, words: str) -> None:
        """Record that its turn in that lap was disturbed, and by what (`words`), in its events and its record so far.

        Raises OutputError where it cannot be written.
        """
        try:
            marks = EventLog(self.folder)
            marks.write("disturbed", lap=lap, words=words)
            marks.close()
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be written ({error.strerror})") from error
        self._take_events()

    def poll(self) -> None:
        """Read its new events, and kill it if it has written none for too long.

        Raises OutputError where its folder is gone.
        """
        if self.outcome is not None:
            return
        self._folder_guard.check()
        code = self.worker.exit_code()
        waited_before = self.waits_at_gate
        self._take_events()
        if code is not None:
            self.outcome = self.worker.outcome() or outcome_of(self.progress, code)
        elif self.waits_at_gate:
            if not waited_before:
                self.worker.freeze()
        elif time.monotonic() - self._alive_s > self._limit_s:
            hint = self.worker.hint()
            self._kill()
            self.outcome = Outcome(state="timeout", message=self._silence(hint))

    def _silence(self, hint: str) -> str:
        limit = f"{self._limit_s:.0f} s and was ended (--limit sets this time)"
        in_first_call = self.progress.settings is None and self.progress.phases[-1:] and not hint
        if in_first_call and self.progress.phases[-1].name == "warmup":
            return f"its first call, which traces and compiles the step, took more than {limit}"
        message = f"reported no progress for {limit}"
        return f"{hint}; it {message}" if hint else message

    def wait_for_event(self, most_s: float) -> None:
        """Wait until it writes an event, at most `most_s` seconds."""
        until_s = time.monotonic() + most_s
        while not self._reader.has_more and time.monotonic() < until_s:
            time.sleep(POLL_EVERY_S)

    def kill(self) -> None:
        """Kill it; its record then says that the user stopped it."""
        self._kill()
        self.outcome = Outcome(state="interrupted", message="stopped by the user")

    def _kill(self) -> None:
        self.worker.kill()
        # What it wrote since the last poll was measured too.
        self._take_events()

    def _take_events(self) -> None:
        for event in self._reader.new():
            self._alive_s = time.monotonic()
            self.progress.take(event)

    def record(self) -> Run:
        """Return the record of the run, final or so far."""
        return self.progress.as_record(self.outcome or Outcome(state="interrupted", message=STILL_TAKES_TURNS))


def outcome_of(progress: RunInProgress, exit_code: int) -> Outcome:
    """Return how a run ended, by its last events and its process's exit code (negative: killed by that signal)."""
    if progress.error is not None:
        return Outcome(state=progress.error.state, message=progress.error.message, exit_code=exit_code)
    if exit_code < 0:
        return Outcome(state="killed", message=ended_by_signal(exit_code), exit_code=exit_code)
    if progress.done and exit_code == 0:
        return Outcome(state="done", exit_code=0)
    return Outcome(state="failed", message="the process ended early; see log.txt", exit_code=exit_code)
