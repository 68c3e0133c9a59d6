"""Shields a training from its session: an error in the session is printed once, and the training goes on."""

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
    """Drives a session without ever raising; `session` is None before it begins and after it failed or ended.

    With `diagnoses` false the recording is only saved: `gpuprobe watch` diagnoses it later.
    """

    # The watchers of this process that are watching now.
    live: ClassVar[set[Watcher]] = set()

    def __init__(self, options: ProbeOptions, *, verbose: bool = True, diagnoses: bool = True) -> None:
        self._options, self._verbose, self._diagnoses = options, verbose, diagnoses
        self._session: ProbeSession | None = None
        self._pid = os.getpid()
        self._handler: Any = None
        self._announced: int | None = None
        self._said = False
        self._last_words: tuple[State, str] = ("interrupted", "the process ended before the training did")

    def ends_at_exit(self) -> None:
        """Count an exit of the process as the normal end of the training."""
        self._last_words = ("done", "")

    def pause(self) -> None:
        """Pause; the session stays open for a training that may follow, and ends normally at exit."""
        self.ends_at_exit()
        self.live.discard(self)

    def resume(self) -> None:
        """Resume after `pause`."""
        self.live.add(self)

    @property
    def session(self) -> ProbeSession | None:
        """The running session, None where there is none."""
        return self._session

    def begin(self) -> None:
        """Start a session, which makes a new recording."""
        self.end("interrupted", "the training was aborted")

        def start() -> None:
            self._pid = os.getpid()
            with phases().doing("gpuprobe"):
                self._session = ProbeSession(self._options)
            self.live.add(self)
            atexit.register(self._at_exit)
            self._listen()

        self.guarded(start)

    def ask(self, question: Callable[[ProbeSession], Answer], otherwise: Answer) -> Answer:
        """Return what the session answers, or `otherwise` where there is no session or it fails."""
        session = self._session
        return otherwise if session is None else self.guarded(lambda: question(session), otherwise)

    def guarded(self, work: Callable[[], Answer], otherwise: Any = None) -> Answer:
        """Run gpuprobe's own work; where it fails, print that once, stop watching and return `otherwise`."""
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - nothing of ours may break a training
            self._give_up(error)
            return otherwise  # type: ignore[no-any-return]

    def called(self, call: Callable[..., Answer], *args: Any, **kwargs: Any) -> Answer:
        """Run one call of the training inside a step marker, and time it. Its own exceptions are passed on.

        This runs in each step, so it does as little as it can.
        """
        session = self._session
        if session is None:
            return call(*args, **kwargs)
        marker = self.marker()
        began_ns = time.time_ns()
        with marker:
            answer = call(*args, **kwargs)
            if self._session is session:
                self.noted(session.call_returned, answer)
        if self._session is session:
            self.noted(session.call_ended, began_ns)
        return answer

    def marker(self) -> AbstractContextManager[Any]:
        """Return the marker of the next step; without a session, one that does nothing."""
        try:
            return self._session.marker() if self._session is not None else nullcontext()
        except Exception as error:  # noqa: BLE001 - nothing of ours may break a training
            self._give_up(error)
            return nullcontext()

    def noted(self, note: Callable[[Any], None], what: Any) -> None:
        """Call `note(what)` as `guarded` would, without making a closure in each step."""
        try:
            note(what)
        except Exception as error:  # noqa: BLE001 - nothing of ours may break a training
            self._give_up(error)

    def end(self, state: State = "done", message: str = "") -> None:
        """Save the recording, and print the verdict."""
        session = self._session
        if session is None:
            return

        def finish() -> None:
            run = session.end(state, message)
            diagnosis = self._diagnosis(session.folder, trace=state == "done") if self._diagnoses else None
            words = verdict(run, session.no_gpu, diagnosis)
            save(words, session.folder / FILE)
            if self._verbose:
                page = session.folder / STEP_FILE
                looking = [f"Look into the step: {page}"] if page.is_file() else []
                self._say("\n".join([*words.lines(), f"Recording: {session.study_folder}", *looking]), sys.stdout)

        phases().told(phases().loop_ended)
        with phases().doing("gpuprobe"):
            self.guarded(finish)
        self._forget()

    def _diagnosis(self, folder: Path, *, trace: bool) -> Diagnosis | None:
        """Diagnose the recording; where that fails, print why: the verdict then has figures only."""
        try:
            diagnosis, case = diagnosis_of(folder, trace=trace)
        except Exception as error:  # noqa: BLE001 - nothing of ours may break a training
            words = f"the training was not diagnosed ({in_short(error)}); the verdict has figures only"
            self._say(f"gpuprobe: {words}", sys.stderr)
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
            # First stop being seen as listening: once the handler is restored, the signal kills the process.
            if self._announced is not None:
                os.close(self._announced)
                self._announced = None
            if self._handler is not None:
                signal.signal(SIGNAL, self._handler)
                self._handler = None

    def _at_exit(self) -> None:
        if os.getpid() == self._pid:
            self.end(*self._last_words)
        # In a forked child there is nothing to do: the recording is its parent's.

    def _listen(self) -> None:
        """Handle the signal, unless the script has a handler for it or this is not the main thread."""
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
