"""Starts the worker of a run in a fresh process, by itself or from a zygote, behind one interface."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol

import psutil

from gpuprobe import child
from gpuprobe.backends.known import TENSORFLOW, environment
from gpuprobe.errors import MissingError
from gpuprobe.recording import SPEC_FILE
from gpuprobe.records import save

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.records import Outcome, RunSpec

# TensorFlow's own C++ messages below errors say nothing about a run, and would fill its log.
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1"}
GRACE_S = 0.2


def training(backend: str) -> dict[str, str]:
    """Return the environment of a process that trains with a backend: Keras reads it once, as it is imported."""
    return {**QUIET, **environment(backend)}


class Worker(Protocol):
    """A worker process that was started."""

    @property
    def pid(self) -> int:
        """The process, and of several the one that leads."""

    @property
    def pids(self) -> tuple[int, ...]:
        """All processes of the run, but for what these start."""

    def outcome(self) -> Outcome | None:
        """Say how it ended, where it knows better than its first process; asked once it has."""

    def hint(self) -> str:
        """Say why it may show no sign of life, empty where nothing shows."""

    def exit_code(self) -> int | None:
        """Return None while it runs, its exit code after, or minus the signal that ended it."""

    def kill(self) -> None:
        """End it at once; `exit_code` will tell."""

    def freeze(self) -> None:
        """Take all processors from it, and from what it started, until `thaw`."""

    def thaw(self) -> None:
        """Let it go on."""


class Launcher(Protocol):
    """Starts workers."""

    def start(self, folder: Path, spec: RunSpec) -> Worker:
        """Write the spec into the run's folder, and start the worker there."""

    def close(self) -> None:
        """Let go of what was kept between workers."""


class FreshLauncher:
    """Every worker is a new interpreter that imports its backend itself."""

    def start(self, folder: Path, spec: RunSpec) -> Worker:
        """Start a new interpreter."""
        save(spec, folder / SPEC_FILE)
        return _Fresh(child.start("gpuprobe.measure.worker", folder, environ=training(spec.backend)))

    def close(self) -> None:
        """Nothing is kept."""


class ForkingLauncher:
    """Every worker that trains with TensorFlow is forked from one process that has imported it; the others are fresh.

    A process has one backend of Keras for its whole life, and JAX's threads do not outlive a fork.
    """

    def __init__(self) -> None:
        # At once, so that its import goes on while the parent prepares the data.
        self._zygote = _Zygote()
        self._fresh = FreshLauncher()

    def start(self, folder: Path, spec: RunSpec) -> Worker:
        """Fork a worker; a zygote that has died is started again."""
        if spec.backend != TENSORFLOW:
            return self._fresh.start(folder, spec)
        save(spec, folder / SPEC_FILE)
        if self._zygote.process.poll() is not None:
            self._zygote = _Zygote()
        return _Forked(self._zygote.fork(folder), self._zygote.exit_codes)

    def close(self) -> None:
        """End the zygote, and with it whatever it forked."""
        child.end(self._zygote.process)


class _Zygote:
    """The process that forks, and what it has answered so far."""

    def __init__(self) -> None:
        self.process = child.start(
            "gpuprobe.measure.zygote", environ=training(TENSORFLOW), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.exit_codes: dict[int, int] = {}
        self._started: Queue[dict[str, Any]] = Queue()
        Thread(target=self._read_answers, daemon=True).start()

    def fork(self, folder: Path) -> int:
        """Return the pid of a worker for that folder. Raises MissingError where TensorFlow does not import."""
        assert self.process.stdin is not None
        # A zygote that has just died breaks the pipe; its last answer says so.
        with suppress(BrokenPipeError):
            self.process.stdin.write(os.fsencode(folder.resolve()) + b"\n")
            self.process.stdin.flush()
        answer = self._started.get()
        if "started" not in answer:
            reason = answer.get("error", "the process ended; see what `python -c 'import keras'` prints")
            raise MissingError(f"TensorFlow and Keras could not be imported: {reason}")
        return int(answer["started"])

    def _read_answers(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            answer = json.loads(line)
            if "ended" in answer:
                self.exit_codes[answer["ended"]] = answer["exit_code"]
            else:
                self._started.put(answer)
        self._started.put({})


class _Session:
    """A worker that leads a session of its own."""

    pid: int

    @property
    def pids(self) -> tuple[int, ...]:
        return (self.pid,)

    def outcome(self) -> Outcome | None:
        return None

    def hint(self) -> str:
        return ""

    def freeze(self) -> None:
        child.freeze_session(self.pid)

    def thaw(self) -> None:
        child.thaw_session(self.pid)


class _Fresh(_Session):
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def exit_code(self) -> int | None:
        code = self._process.poll()
        if code is not None:
            child.end_session(self.pid)
        return code

    def kill(self) -> None:
        child.end(self._process)


class _Forked(_Session):
    def __init__(self, pid: int, exit_codes: dict[int, int]) -> None:
        self.pid = pid
        self._exit_codes = exit_codes

    def exit_code(self) -> int | None:
        if self.pid not in self._exit_codes and not psutil.pid_exists(self.pid):
            # It ended together with the zygote that would have told; or the answer is on its way.
            time.sleep(GRACE_S)
            return self._exit_codes.get(self.pid, -signal.SIGKILL)
        return self._exit_codes.get(self.pid)

    def kill(self) -> None:
        if self.exit_code() is None:
            child.end_session(self.pid)
            # One that was forked just now may not lead its session yet.
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
