"""Stands between a training and its session: whatever fails in the session is said once, and the training goes on."""

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
from gpuprobe.keras.capture import SIGNAL
from gpuprobe.keras.phases import phases
from gpuprobe.keras.session import ProbeOptions, ProbeSession
from gpuprobe.keras.verdict import FILE, diagnosis_of, verdict
from gpuprobe.recording import STEP_FILE
from gpuprobe.records import save

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gpuprobe.diagnosis.case import Case
    from gpuprobe.diagnosis.records import Diagnosis
    from gpuprobe.records import State

Answer = TypeVar("Answer")


class Watcher:
    """Drives a session without ever raising; `session` is the one that has not failed, None where there is none.

    Without `diagnoses` that is left to whoever reads the recording.
    """

    # Those of this process that watch just now.
    live: ClassVar[set[Watcher]] = set()

    def __init__(self, options: ProbeOptions, *, verbose: bool = True, diagnoses: bool = True) -> None:
        self._options, self._verbose, self._diagnoses = options, verbose, diagnoses
        self._session: ProbeSession | None = None
        self._pid = os.getpid()
        self._handler: Any = None
        self._announced: int | None = None
        self._said = False
        self._last_words: tuple[State, str] = ("interrupted", "the process ended before the training did")

    def ends_well(self) -> None:
        """Take the end of the process for the end of the training."""
        self._last_words = ("done", "")

    def rest(self) -> None:
        """Watch nothing for now; the session stays open for what may follow, and ends well with the process."""
        self.ends_well()
        self.live.discard(self)

    def resume(self) -> None:
        """Watch again."""
        self.live.add(self)

    @property
    def session(self) -> ProbeSession | None:
        """The session, as long as it watches."""
        return self._session

    def begin(self) -> None:
        """Start the session; a second one on the same watcher is a new recording."""
        self.end("interrupted", "the training ended without saying so")

        def start() -> None:
            self._pid = os.getpid()
            with phases().doing("gpuprobe"):
                self._session = ProbeSession(self._options)
            self.live.add(self)
            atexit.register(self._at_exit)
            self._listen()

        self.guarded(start)

    def ask(self, question: Callable[[ProbeSession], Answer], otherwise: Answer) -> Answer:
        """Return what the session answers, `otherwise` where there is none (any more)."""
        session = self._session
        return otherwise if session is None else self.guarded(lambda: question(session), otherwise)

    def guarded(self, work: Callable[[], Answer], otherwise: Any = None) -> Answer:
        """Do some work of ours; where it fails, say so once and watch no more."""
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - nothing of ours may break a training
            self._give_up(error)
            return otherwise  # type: ignore[no-any-return]

    def called(self, call: Callable[..., Answer], *given: Any, **named: Any) -> Answer:
        """Run one call of the training inside its step marker, and take its time. What the call raises is its own.

        Each step of a training passes here, so that it is written for little to do.
        """
        session = self._session
        if session is None:
            return call(*given, **named)
        marker = self.marker()
        began_ns = time.time_ns()
        with marker:
            answer = call(*given, **named)
            if self._session is session:
                self.noted(session.call_returned, answer)
        if self._session is session:
            self.noted(session.call_ended, began_ns)
        return answer

    def marker(self) -> AbstractContextManager[Any]:
        """Return the marker of the next step, one that does nothing where there is no session (any more)."""
        try:
            return self._session.marker() if self._session is not None else nullcontext()
        except Exception as error:  # noqa: BLE001 - nothing of ours may break a training
            self._give_up(error)
            return nullcontext()

    def noted(self, note: Callable[[Any], None], what: Any) -> None:
        """Tell the session something, as `guarded` does, without a closure for each step."""
        try:
            note(what)
        except Exception as error:  # noqa: BLE001 - nothing of ours may break a training
            self._give_up(error)

    def end(self, state: State = "done", message: str = "") -> None:
        """Save the recording, and say the verdict."""
        session = self._session
        if session is None:
            return

        def finish() -> None:
            run = session.end(state, message)
            diagnosis = self._diagnosis(session.folder, trace=state == "done") if self._diagnoses else None
            found = verdict(run, session.no_gpu, diagnosis)
            save(found, session.folder / FILE)
            if self._verbose:
                page = session.folder / STEP_FILE
                looking = [f"Look into the step: {page}"] if page.is_file() else []
                self._say("\n".join([*found.lines(), f"Recording: {session.study_folder}", *looking]), sys.stdout)

        phases().told(phases().loop_ended)
        with phases().doing("gpuprobe"):
            self.guarded(finish)
        self._forget()

    def _diagnosis(self, folder: Path, *, trace: bool) -> Diagnosis | None:
        """Diagnose the recording; where that fails, say so: there is a verdict without it."""
        try:
            diagnosis, case = diagnosis_of(folder, trace=trace)
        except Exception as error:  # noqa: BLE001 - nothing of ours may break a training
            words = f"the training was not diagnosed ({in_short(error)}); the verdict holds its figures alone"
            self._say(f"gpuprobe: {words}", sys.stderr)
            return None
        if case.workings is not None:
            self._write_page(folder, case, diagnosis)
        return diagnosis

    def _write_page(self, folder: Path, case: Case, diagnosis: Diagnosis) -> None:
        """Write the page to look into the step; where that fails, say so: all else is there."""
        # Imported here: only a training that was traced has one.
        from gpuprobe.stepview.beside import write_page

        try:
            write_page(folder, case, diagnosis)
        except Exception as error:  # noqa: BLE001 - nothing of ours may break a training
            self._say(f"gpuprobe: the page of the step was not written ({in_short(error)})", sys.stderr)

    def _give_up(self, error: Exception) -> None:
        session = self._session
        self._forget()
        phases().give_up()
        if not self._said:
            self._said = True
            self._say(f"gpuprobe: stopped watching ({in_short(error)}); the training goes on", sys.stderr)
        if session is not None:
            with suppress(Exception):
                session.end("failed", f"{type(error).__name__} in gpuprobe")

    def _forget(self) -> None:
        self._session = None
        self.live.discard(self)
        with suppress(Exception):
            atexit.unregister(self._at_exit)
            # First: nobody may ask any more when the signal ends the process again.
            if self._announced is not None:
                os.close(self._announced)
                self._announced = None
            if self._handler is not None:
                signal.signal(SIGNAL, self._handler)
                self._handler = None

    def _at_exit(self) -> None:
        if os.getpid() == self._pid:
            self.end(*self._last_words)
        # A fork of the training ends: the recording is its parent's.

    def _listen(self) -> None:
        """Take the signal, where nobody else does and Python lets us."""
        free = signal.getsignal(SIGNAL) is signal.SIG_DFL
        if free and threading.current_thread() is threading.main_thread():
            self._handler = signal.SIG_DFL
            signal.signal(SIGNAL, lambda _number, _frame: self.ask(lambda session: session.ask_for_trace(), None))
            self._announced = listening.announce()

    @staticmethod
    def _say(text: str, stream: Any) -> None:
        with suppress(Exception):
            stream.write(text + "\n")
            stream.flush()
