"""Keeps errors of a session out of the training: an error is printed once, and the training goes on."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from gpuprobe.errors import in_short
from gpuprobe.keras import listening
from gpuprobe.keras.capture import TRACE_SIGNAL
from gpuprobe.keras.process_wall import process_wall
from gpuprobe.keras.session import ProbeSession
from gpuprobe.keras.verdict import VERDICT_FILE, diagnosis_of, verdict
from gpuprobe.recording import STEP_FILE
from gpuprobe.records import save

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gpuprobe.diagnosis.case import Case
    from gpuprobe.diagnosis.records import Diagnosis
    from gpuprobe.keras.options import ProbeOptions
    from gpuprobe.records import State

Answer = TypeVar("Answer")


class Watcher:
    """Runs a session without ever raising; `session` is None before it begins and after it failed or ended.

    With `diagnoses` false the recording is only saved: `gpuprobe watch` diagnoses it later.
    """

    # The watchers of this process that are watching now.
    active: ClassVar[set[Watcher]] = set()

    def __init__(self, options: ProbeOptions, *, verbose: bool = True, diagnoses: bool = True) -> None:
        self._options, self._verbose, self._diagnoses = options, verbose, diagnoses
        self._session: ProbeSession | None = None
        self._pid = os.getpid()
        self._handler: Any = None
        self._announcement: int | None = None
        self._failure_printed = False
        self._outcome_at_exit: tuple[State, str] = ("interrupted", "the process ended before the training did")

    def ends_at_exit(self) -> None:
        """Count an exit of the process as the normal end of the training."""
        self._outcome_at_exit = ("done", "")

    def pause(self) -> None:
        """Pause; the session stays open for a training that may follow, and ends normally at exit."""
        self.ends_at_exit()
        self.active.discard(self)

    def resume(self) -> None:
        """Resume after `pause`."""
        self.active.add(self)

    @property
    def session(self) -> ProbeSession | None:
        """The running session, None where there is none."""
        return self._session

    def begin(self) -> None:
        """Start a session, which makes a new recording."""
        self.end("interrupted", "the training was aborted")

        def start() -> None:
            self._pid = os.getpid()
            with process_wall().part("gpuprobe"):
                self._session = ProbeSession(self._options)
            self.active.add(self)
            atexit.register(self._at_exit)
            self._listen()

        self.guarded(start)

    def with_session(self, use: Callable[[ProbeSession], Answer], otherwise: Answer) -> Answer:
        """Return what `use` returns for the session, or `otherwise` where there is no session or it fails."""
        session = self._session
        return otherwise if session is None else self.guarded(lambda: use(session), otherwise)

    def guarded(self, function: Callable[[], Answer], otherwise: Any = None) -> Answer:
        """Run gpuprobe's own work; where it fails, print that once, stop watching and return `otherwise`."""
        try:
            return function()
        except Exception as error:  # noqa: BLE001 - nothing of ours may break a training
            self._give_up(error)
            return otherwise  # type: ignore[no-any-return]

    def timed_call(self, function: Callable[..., Answer], *args: Any, **kwargs: Any) -> Answer:
        """Run one call of the training inside a step marker, and time it. Its own exceptions are passed on.

        This runs in each step, so it does as little as it can.
        """
        session = self._session
        if session is None:
            return function(*args, **kwargs)
        marker = self.marker()
        began_ns = time.time_ns()
        with marker:
            answer = function(*args, **kwargs)
            if self._session is session:
                self.guarded_call(session.call_returned, answer)
        if self._session is session:
            self.guarded_call(session.call_ended, began_ns)
        return answer

    def marker(self) -> AbstractContextManager[Any]:
        """Return the marker of the next step; without a session, one that does nothing."""
        try:
            return self._session.marker() if self._session is not None else nullcontext()
        except Exception as error:  # noqa: BLE001 - nothing of ours may break a training
            self._give_up(error)
            return nullcontext()

    def guarded_call(self, function: Callable[[Any], None], argument: Any) -> None:
        """Call `function(argument)` as `guarded` would, without making a closure in each step."""
        try:
            function(argument)
        except Exception as error:  # noqa: BLE001 - nothing of ours may break a training
            self._give_up(error)

    def end(self, state: State = "done", message: str = "") -> None:
        """Save the recording, and print the verdict."""
        session = self._session
        if session is None:
            return

        def save_and_print() -> None:
            run = session.end(state, message)
            diagnosis = self._diagnosis(session.folder, trace=state == "done") if self._diagnoses else None
            final_verdict = verdict(run, session.no_gpu, diagnosis)
            save(final_verdict, session.folder / VERDICT_FILE)
            if self._verbose:
                page = session.folder / STEP_FILE
                page_lines = [f"Look into the step: {page}"] if page.is_file() else []
                self._print(
                    "\n".join([*final_verdict.lines(), f"Recording: {session.study_folder}", *page_lines]), sys.stdout
                )

        process_wall().record(process_wall().loop_ended)
        with process_wall().part("gpuprobe"):
            self.guarded(save_and_print)
        self._detach()

    def _diagnosis(self, folder: Path, *, trace: bool) -> Diagnosis | None:
        """Diagnose the recording; where that fails, print why and return None: the verdict then has figures only."""
        try:
            diagnosis, case = diagnosis_of(folder, trace=trace)
        except Exception as error:  # noqa: BLE001 - nothing of ours may break a training
            words = f"the training was not diagnosed ({in_short(error)}); the verdict has figures only"
            self._print(f"gpuprobe: {words}", sys.stderr)
            return None
        if case.workings is not None:
            self._write_page(folder, case, diagnosis)
        return diagnosis

    def _write_page(self, folder: Path, case: Case, diagnosis: Diagnosis) -> None:
        """Write the page that shows the traced step; where that fails, print why and go on."""
        # Imported here: only a traced training has such a page.
        from gpuprobe.stepview.beside import write_page

        try:
            write_page(folder, case, diagnosis)
        except Exception as error:  # noqa: BLE001 - nothing of ours may break a training
            self._print(f"gpuprobe: the page of the step was not written ({in_short(error)})", sys.stderr)

    def _give_up(self, error: Exception) -> None:
        session = self._session
        self._detach()
        process_wall().give_up()
        if not self._failure_printed:
            self._failure_printed = True
            self._print(f"gpuprobe: stopped watching ({in_short(error)}); the training goes on", sys.stderr)
        if session is not None:
            with suppress(Exception):
                session.end("failed", f"{type(error).__name__} in gpuprobe")

    def _detach(self) -> None:
        self._session = None
        self.active.discard(self)
        with suppress(Exception):
            atexit.unregister(self._at_exit)
            # Remove the mark of a listening process first: once the handler is restored, the signal kills the process.
            if self._announcement is not None:
                os.close(self._announcement)
                self._announcement = None
            if self._handler is not None:
                signal.signal(TRACE_SIGNAL, self._handler)
                self._handler = None

    def _at_exit(self) -> None:
        if os.getpid() == self._pid:
            self.end(*self._outcome_at_exit)
        # In a forked child there is nothing to do: the recording is its parent's.

    def _listen(self) -> None:
        """Handle the signal, unless the script has a handler for it or this is not the main thread."""
        signal_is_free = signal.getsignal(TRACE_SIGNAL) is signal.SIG_DFL
        if signal_is_free and threading.current_thread() is threading.main_thread():
            self._handler = signal.SIG_DFL
            signal.signal(
                TRACE_SIGNAL, lambda _number, _frame: self.with_session(lambda session: session.ask_for_trace(), None)
            )
            self._announcement = listening.announce()

    @staticmethod
    def _print(text: str, stream: Any) -> None:
        with suppress(Exception):
            stream.write(text + "\n")
            stream.flush()
