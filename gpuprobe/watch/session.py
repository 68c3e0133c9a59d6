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

# A tick every half second keeps the display live, and costs a thousandth of a core.
TICK_S = 0.5
# How long the end of a watch waits for a driver that does not answer (the query itself gives up after 15 s).
ENVIRONMENT_WAIT_S = 2.0


def cpu_limit() -> float:
    """Return how many processors' worth of time a command may use: by affinity, or the container's quota if less."""
    allowed = float(len(os.sched_getaffinity(0)))
    group = cgroup.cgroup_of("self", Path("/"))
    quota = group.limits()[0] if group else None
    return allowed if quota is None else min(allowed, quota)


class TakenError(OutputError):
    """The folder holds a recording already, finished or in progress."""


def new_recording(
    argv: Sequence[str], folder: Path, subfolder: str, undo: contextlib.ExitStack, *, exist_ok: bool = True
) -> Watch:
    """Make a recording's folder, a folder inside it, and its record; `undo` collects the callbacks that remove them.

    Raises TakenError where it holds a recording already, or exists without `exist_ok`; OutputError where it cannot be
    written.
    """
    record = Watch(name=folder.name, command=tuple(argv), started_ns=time.time_ns(), cpu_limit=cpu_limit())
    with contextlib.ExitStack() as created:
        try:
            _make_folder(folder, created, exist_ok=exist_ok)
            # If two processes try at once, only one succeeds.
            (folder / WATCH_FILE).open("xb").close()
            created.callback(_remove_quietly, (folder / WATCH_FILE).unlink)
            has_telemetry = (folder / TELEMETRY_FILE).exists()
            _make_folder(folder / subfolder, created)
        except FileExistsError as error:
            if folder.is_dir():
                raise TakenError(f"{folder}: holds a recording already") from error
            raise OutputError(f"{folder}: is a file") from error
        except OSError as error:
            raise OutputError(f"{folder}: cannot be written ({error.strerror})") from error
        if has_telemetry:
            raise TakenError(f"{folder}: holds a recording already")
        save(record, folder / WATCH_FILE)
        undo.push(created.pop_all())
    return record


def _make_folder(folder: Path, undo: contextlib.ExitStack, *, exist_ok: bool = True) -> None:
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


def unwatched(
    argv: Sequence[str], signal_mask: set[signal.Signals], environment_variables: Mapping[str, str]
) -> Outcome:
    """Run the command without a recording, with the same handling of signals as in `watch`."""
    return Command(argv, signal_mask, environment_variables).wait(TICK_S, lambda: None)


def watch(
    record: Watch,
    folder: Path,
    signal_mask: set[signal.Signals],
    environment: Callable[[], Environment],
    on_tick: Callable[[], None],
    environment_variables: Mapping[str, str],
    on_start: Callable[[], object],
) -> tuple[Watch, str]:
    """Run the record's command under the sampler; return the record and, if gpuprobe itself failed, the reason.

    Signals must be held (`signals_held`, whose mask the command gets). `environment` describes the machine,
    `environment_variables` are the command's, and `on_start` is called once it runs. Raises NotStartedError where it
    cannot be started. Once it runs, no error in the recording affects it.
    """
    command = Command(record.command, signal_mask, environment_variables)
    on_start()
    guard = _FailureGuard()
    with contextlib.ExitStack() as background:
        sampler = guard.done(lambda: background.enter_context(telemetry.sampling(folder / TELEMETRY_FILE, command.pid)))
        progress = guard.done(
            lambda: _Progress(record, folder, Threads(command.pid), _MachineLookup(environment), on_tick)
        )
        outcome = command.wait(TICK_S, lambda: guard.done(progress.tick) if progress else None)
        sampler_ended = sampler is None or sampler.poll() is not None
        guard.done(background.close)
    finished_watch = msgspec.structs.replace(
        record,
        started_ns=command.started_ns,
        ended_ns=command.ended_ns,
        outcome=outcome,
        environment=progress.asked.answer(ENVIRONMENT_WAIT_S) if progress else None,
        threads=progress.threads.busiest() if progress else (),
        notes=tuple(_notes(command, sampler_ended=sampler_ended)),
    )
    guard.done(lambda: save(finished_watch, folder / WATCH_FILE))
    return finished_watch, guard.trouble


class _FailureGuard:
    """Runs gpuprobe's own work; the first failure is kept as one line, and none affects the command."""

    def __init__(self) -> None:
        self.trouble = ""

    def done(self, task: Callable[[], Answer]) -> Answer | None:
        """Return the result of the work, None where it fails."""
        try:
            return task()
        except Exception as error:  # noqa: BLE001 - the command goes on, whatever fails in the recording
            self.trouble = self.trouble or (str(error) if isinstance(error, GpuprobeError) else in_short(error))
            return None


class _Progress:
    """The work beside the command: samples its threads, and adds the machine to the record once it is known."""

    def __init__(
        self, record: Watch, folder: Path, threads: Threads, machine: _MachineLookup, show_progress: Callable[[], None]
    ) -> None:
        self.threads, self.asked = threads, machine
        self._record, self._folder, self._show = record, folder, show_progress

    def tick(self) -> None:
        self.threads.look()
        machine = self.asked.answer(0)
        if machine is not None and self._record.environment is None:
            self._record = msgspec.structs.replace(self._record, environment=machine)
            with contextlib.suppress(OutputError):
                save(self._record, self._folder / WATCH_FILE)
        self._show()


class _MachineLookup:
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
        signal_names = dict.fromkeys(passed_signal.name for passed_signal in command.passed_on)
        yield f"Passed on to the command: {', '.join(signal_names)}"
