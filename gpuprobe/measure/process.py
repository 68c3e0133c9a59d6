"""Starts the worker of a run in a fresh process, as a new interpreter or forked from a zygote."""

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

# Hides messages of TensorFlow's C++ code other than errors: they say nothing about a run and would fill its log.
QUIET_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1"}
EXIT_REPORT_WAIT_S = 0.2


def training_environment(backend: str) -> dict[str, str]:
    """Return the environment of a process that trains with a backend; Keras reads it on import."""
    return {**QUIET_ENVIRONMENT, **environment(backend)}


class Worker(Protocol):
    """A worker process that was started."""

    @property
    def pid(self) -> int:
        """The id of the process, of several that of the first."""

    @property
    def pids(self) -> tuple[int, ...]:
        """The ids of all processes of the run, without their children."""

    def outcome(self) -> Outcome | None:
        """Return how the run ended, None where its first process's events say it; call it once the run has ended."""

    def hint(self) -> str:
        """Return why it may have written no events, empty where that is unknown."""

    def exit_code(self) -> int | None:
        """Return None while it runs, then its exit code (negative: killed by that signal)."""

    def kill(self) -> None:
        """Kill it."""

    def freeze(self) -> None:
        """Suspend it and its descendants until `thaw`."""

    def thaw(self) -> None:
        """Continue it after `freeze`."""


class Launcher(Protocol):
    """Starts workers."""

    def start(self, folder: Path, spec: RunSpec) -> Worker:
        """Write the spec into the run's folder, and start the worker there."""

    def close(self) -> None:
        """Release what is kept between workers."""


class FreshLauncher:
    """Starts each worker as a new interpreter, which imports its backend itself."""

    def start(self, folder: Path, spec: RunSpec) -> Worker:
        """Start a new interpreter."""
        save(spec, folder / SPEC_FILE)
        return _FreshWorker(child.start("gpuprobe.measure.worker", folder, environ=training_environment(spec.backend)))

    def close(self) -> None:
        """Do nothing: nothing is kept."""


class ForkingLauncher:
    """Forks workers that train with TensorFlow from one process that has imported it; other workers are fresh.

    A process has one backend of Keras for its whole life, and JAX's threads do not outlive a fork.
    """

    def __init__(self) -> None:
        # Started now, so that it imports TensorFlow while the parent prepares the data.
        self._zygote = _Zygote()
        self._fresh = FreshLauncher()

    def start(self, folder: Path, spec: RunSpec) -> Worker:
        """Fork a worker; a dead zygote is restarted."""
        if spec.backend != TENSORFLOW:
            return self._fresh.start(folder, spec)
        save(spec, folder / SPEC_FILE)
        if self._zygote.process.poll() is not None:
            self._zygote = _Zygote()
        return _ForkedWorker(self._zygote.fork(folder), self._zygote.exit_codes)

    def close(self) -> None:
        """End the zygote and all workers that it forked."""
        child.end(self._zygote.process)


class _Zygote:
    """The zygote process, and its answers so far."""

    def __init__(self) -> None:
        self.process = child.start(
            "gpuprobe.measure.zygote",
            environ=training_environment(TENSORFLOW),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.exit_codes: dict[int, int] = {}
        self._started: Queue[dict[str, Any]] = Queue()
        Thread(target=self._read_answers, daemon=True).start()

    def fork(self, folder: Path) -> int:
        """Return the pid of a worker for that folder. Raises MissingError where TensorFlow does not import."""
        assert self.process.stdin is not None
        # If the zygote has just died the pipe is broken; its last answer says why.
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


class _SessionWorker:
    """A worker that is the leader of a process session."""

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


class _FreshWorker(_SessionWorker):
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


class _ForkedWorker(_SessionWorker):
    def __init__(self, pid: int, exit_codes: dict[int, int]) -> None:
        self.pid = pid
        self._exit_codes = exit_codes

    def exit_code(self) -> int | None:
        if self.pid not in self._exit_codes and not psutil.pid_exists(self.pid):
            # It ended together with the zygote that reports exit codes, or the report is on its way.
            time.sleep(EXIT_REPORT_WAIT_S)
            return self._exit_codes.get(self.pid, -signal.SIGKILL)
        return self._exit_codes.get(self.pid)

    def kill(self) -> None:
        if self.exit_code() is None:
            child.end_session(self.pid)
            # A worker just forked may not be a session leader yet.
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
