"""One watch from start to end: the folder, the sampler, the command, the record."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

import msgspec

from gpuprobe import telemetry
from gpuprobe.errors import GpuprobeError, OutputError, in_short
from gpuprobe.recording import TELEMETRY_FILE, WATCH_FILE
from gpuprobe.records import Watch, save
from gpuprobe.telemetry import cgroup
from gpuprobe.watch.command import Command
from gpuprobe.watch.threads import Threads

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gpuprobe.records import Environment, Outcome

Answer = TypeVar("Answer")

# Half a second looks live, and costs a thousandth of a core.
TICK_S = 0.5
# How long the end of a watch waits for a driver that does not answer (the query itself gives up after 15 s).
ENVIRONMENT_WAIT_S = 2.0


def cpu_limit() -> float:
    """Return how many processors' worth of time a command may use: by affinity, or the container's quota if less."""
    allowed = float(len(os.sched_getaffinity(0)))
    group = cgroup.of_process("self", Path("/"))
    quota = group.limits()[0] if group else None
    return allowed if quota is None else min(allowed, quota)


class TakenError(OutputError):
    """The folder holds another recording, or one is being made there."""


def new_recording(
    words: Sequence[str], folder: Path, inside: str, undo: contextlib.ExitStack, *, exist_ok: bool = True
) -> Watch:
    """Make a recording's folder, a folder inside it, and its record; `undo` collects the callbacks that remove them.

    Raises TakenError where it holds a recording already, or exists without `exist_ok`; OutputError where it cannot be
    written.
    """
    record = Watch(name=folder.name, command=tuple(words), started_ns=time.time_ns(), cpu_limit=cpu_limit())
    with contextlib.ExitStack() as made:
        try:
            _make(folder, made, exist_ok=exist_ok)
            # If two processes try at once, only one succeeds.
            (folder / WATCH_FILE).open("xb").close()
            made.callback(_remove_quietly, (folder / WATCH_FILE).unlink)
            taken = (folder / TELEMETRY_FILE).exists()
            _make(folder / inside, made)
        except FileExistsError as error:
            if folder.is_dir():
                raise TakenError(f"{folder}: holds a recording already") from error
            raise OutputError(f"{folder}: is a file") from error
        except OSError as error:
            raise OutputError(f"{folder}: cannot be written ({error.strerror})") from error
        if taken:
            raise TakenError(f"{folder}: holds a recording already")
        save(record, folder / WATCH_FILE)
        undo.push(made.pop_all())
    return record


def _make(folder: Path, undo: contextlib.ExitStack, *, exist_ok: bool = True) -> None:
    """Make a folder and its parents; `undo` removes only those made here."""
    for path in (*reversed(folder.parents), folder):
        if path is not folder and path.exists():
            continue
        try:
            path.mkdir()
        except FileExistsError:
            if not path.is_dir() or (path is folder and not exist_ok):
                raise
        else:
            undo.callback(_remove_quietly, path.rmdir)


def _remove_quietly(remove: Callable[[], None]) -> None:
    """Remove a file or an empty folder; failures are ignored."""
    with contextlib.suppress(OSError):
        remove()


def unwatched(words: Sequence[str], mask: set[signal.Signals], environ: Mapping[str, str]) -> Outcome:
    """Run the command without a recording, with the same handling of signals as in `watch`."""
    return Command(words, mask, environ).wait(TICK_S, lambda: None)


def watch(
    record: Watch,
    folder: Path,
    mask: set[signal.Signals],
    environment: Callable[[], Environment],
    tick: Callable[[], None],
    environ: Mapping[str, str],
    begun: Callable[[], object],
) -> tuple[Watch, str]:
    """Run the record's command under the sampler; return the record and, if gpuprobe itself failed, the reason.

    Signals must be held (`signals_held`, whose mask the command gets); `environ` are the command's variables, and
    `begun` is called once it runs. Raises NotStartedError where it cannot be started; from its start on, nothing that
    happens to the recording disturbs it.
    """
    command = Command(record.command, mask, environ)
    begun()
    guard = _Guard()
    with contextlib.ExitStack() as beside:
        sampler = guard.done(lambda: beside.enter_context(telemetry.sampling(folder / TELEMETRY_FILE, command.pid)))
        progress = guard.done(lambda: _Progress(record, folder, Threads(command.pid), _Asked(environment), tick))
        outcome = command.wait(TICK_S, lambda: guard.done(progress.tick) if progress else None)
        sampler_ended = sampler is None or sampler.poll() is not None
        guard.done(beside.close)
    done = msgspec.structs.replace(
        record,
        started_ns=command.started_ns,
        ended_ns=command.ended_ns,
        outcome=outcome,
        environment=progress.asked.answer(ENVIRONMENT_WAIT_S) if progress else None,
        threads=progress.threads.busiest() if progress else (),
        notes=tuple(_notes(command, sampler_ended=sampler_ended)),
    )
    guard.done(lambda: save(done, folder / WATCH_FILE))
    return done, guard.trouble


class _Guard:
    """Runs gpuprobe's own work; the first failure is kept as one line, and none affects the command."""

    def __init__(self) -> None:
        self.trouble = ""

    def done(self, work: Callable[[], Answer]) -> Answer | None:
        """Return the result of the work, None where it fails."""
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - the command runs, whatever we lack
            self.trouble = self.trouble or (str(error) if isinstance(error, GpuprobeError) else in_short(error))
            return None


class _Progress:
    """The work beside the command: samples its threads, and adds the machine to the record once it is known."""

    def __init__(self, record: Watch, folder: Path, threads: Threads, asked: _Asked, show: Callable[[], None]) -> None:
        self.threads, self.asked = threads, asked
        self._record, self._folder, self._show = record, folder, show

    def tick(self) -> None:
        self.threads.look()
        machine = self.asked.answer(0)
        if machine is not None and self._record.environment is None:
            self._record = msgspec.structs.replace(self._record, environment=machine)
            with contextlib.suppress(OutputError):
                save(self._record, self._folder / WATCH_FILE)
        self._show()


class _Asked:
    """The description of the machine, gathered in a thread, so that a driver that hangs delays nothing."""

    def __init__(self, environment: Callable[[], Environment]) -> None:
        self._answer: Environment | None = None
        self._environment = environment
        self._thread = Thread(target=self._ask, daemon=True)
        self._thread.start()

    def answer(self, wait_s: float) -> Environment | None:
        """Return the description, or None if it is not known after waiting so long."""
        self._thread.join(wait_s)
        return self._answer

    def _ask(self) -> None:
        # On an error the record lacks it; a traceback would appear within the command's output.
        with contextlib.suppress(Exception):
            self._answer = self._environment()


def _notes(command: Command, *, sampler_ended: bool) -> Iterator[str]:
    if sampler_ended:
        yield "The sampler ended before the command: the recording is not complete"
    if command.passed_on:
        names = dict.fromkeys(number.name for number in command.passed_on)
        yield f"Passed on to the command: {', '.join(names)}"
