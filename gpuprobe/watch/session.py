"""One watch from start to end: the folder, the sampler, the command, the record."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import msgspec

from gpuprobe import telemetry
from gpuprobe.errors import OutputError
from gpuprobe.recording import TELEMETRY_FILE, WATCH_FILE
from gpuprobe.records import Watch, save
from gpuprobe.telemetry import cgroup
from gpuprobe.watch.command import Command
from gpuprobe.watch.threads import Threads

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gpuprobe.records import Environment

# Half a second is what a person sees as live, and costs a thousandth of a core.
TICK_S = 0.5
# A driver that does not answer is given up after 15 s; a command that ends earlier is not kept waiting for it.
ENVIRONMENT_WAIT_S = 2.0


def cpu_limit() -> float:
    """Return how many processors' worth of time a command may use: by affinity, or the container's quota if less."""
    allowed = float(len(os.sched_getaffinity(0)))
    group = cgroup.of_process("self", Path("/"))
    quota = group.limits()[0] if group else None
    return allowed if quota is None else min(allowed, quota)


@contextlib.contextmanager
def new_recording(folder: Path, inside: str = "") -> Iterator[None]:
    """Make the folder of a recording, and one inside it, for a block; take them away again where the block fails.

    Raises OutputError where it cannot be written or holds a recording already.
    """
    made = _missing_folders(folder / inside)
    try:
        (folder / inside).mkdir(parents=True, exist_ok=True)
        if (folder / WATCH_FILE).exists() or (folder / TELEMETRY_FILE).exists():
            raise OutputError(f"{folder}: holds a recording already; name a new folder with --out")
        (folder / TELEMETRY_FILE).touch()
        (folder / TELEMETRY_FILE).unlink()
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}); name another with --out") from error
    try:
        yield
    except BaseException:
        for path in made:
            # One that somebody has put something into stays.
            with contextlib.suppress(OSError):
                path.rmdir()
        raise


def _missing_folders(folder: Path) -> list[Path]:
    """Return the folder and those above it that do not exist yet, the innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def watch(
    words: Sequence[str],
    folder: Path,
    mask: set[signal.Signals],
    environment: Callable[[], Environment],
    tick: Callable[[], None],
    environ: Mapping[str, str],
) -> tuple[Watch, str]:
    """Run the command under the sampler; return its record and, where it could not be saved, why.

    Signals must be held (`signals_held`, whose mask the command gets); `environ` are the command's variables. Raises
    NotStartedError where the command cannot be started, OutputError where the folder cannot be written; from its start
    on, nothing that happens to the recording disturbs the command.
    """
    record = Watch(name=folder.name, command=tuple(words), started_ns=time.time_ns(), cpu_limit=cpu_limit())
    save(record, folder / WATCH_FILE)
    try:
        command = Command(words, mask, environ)
    except BaseException:
        (folder / WATCH_FILE).unlink(missing_ok=True)
        raise
    progress = _Progress(record, folder, Threads(command.pid), _Asked(environment), tick)
    with telemetry.sampling(folder / TELEMETRY_FILE, command.pid) as sampler:
        outcome = command.wait(TICK_S, progress.tick)
        sampler_ended = sampler.poll() is not None
    done = msgspec.structs.replace(
        record,
        started_ns=command.started_ns,
        ended_ns=command.ended_ns,
        outcome=outcome,
        environment=progress.asked.answer(ENVIRONMENT_WAIT_S),
        threads=progress.threads.busiest(),
        notes=tuple(_notes(command, sampler_ended=sampler_ended)),
    )
    try:
        save(done, folder / WATCH_FILE)
    except OutputError as error:
        return done, str(error)
    return done, ""


class _Progress:
    """What is done beside the command: threads are looked at, and the record gets the machine once it is known."""

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
    """The machine, looked at in a thread: a driver that does not answer keeps nobody waiting."""

    def __init__(self, environment: Callable[[], Environment]) -> None:
        self._answer: Environment | None = None
        self._environment = environment
        self._thread = Thread(target=self._ask, daemon=True)
        self._thread.start()

    def answer(self, wait_s: float) -> Environment | None:
        """Return what is known after waiting for so long."""
        self._thread.join(wait_s)
        return self._answer

    def _ask(self) -> None:
        self._answer = self._environment()


def _notes(command: Command, *, sampler_ended: bool) -> Iterator[str]:
    if sampler_ended:
        yield "The sampler ended before the command: the recording is not complete"
    if command.passed_on:
        names = dict.fromkeys(number.name for number in command.passed_on)
        yield f"Passed on to the command: {', '.join(names)}"
