"""Starts the worker of a run in a fresh process, by itself or from a zygote, behind one interface."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from queue import Empty, Queue
from threading import Thread
from typing import IO, TYPE_CHECKING, Any, Protocol

from gpuprobe.errors import MissingError
from gpuprobe.recording import SPEC_FILE
from gpuprobe.records import save

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.records import RunSpec

# TensorFlow's own C++ messages below errors say nothing about a run, and would fill its log.
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1"}


class Worker(Protocol):
    """A worker process that was started."""

    pid: int

    def exit_code(self) -> int | None:
        """Return None while it runs, its exit code after, or minus the signal that ended it."""

    def kill(self) -> None:
        """End it at once; `exit_code` will tell."""


class Launcher(Protocol):
    """Starts workers, one at a time."""

    def start(self, folder: Path, spec: RunSpec) -> Worker:
        """Write the spec into the run's folder, and start the worker there."""

    def close(self) -> None:
        """Let go of what was kept between workers."""


class FreshLauncher:
    """Every worker is a new interpreter that imports TensorFlow itself."""

    def start(self, folder: Path, spec: RunSpec) -> Worker:
        """Start a new interpreter."""
        save(spec, folder / SPEC_FILE)
        command = [sys.executable, "-m", "gpuprobe.measure.worker", str(folder)]
        return _Fresh(_popen(command, stdout=subprocess.DEVNULL))

    def close(self) -> None:
        """Nothing is kept."""


class ForkingLauncher:
    """Every worker is forked from one process that has imported TensorFlow."""

    def __init__(self) -> None:
        # At once, so that its import goes on while the parent prepares the data.
        self._start_zygote()

    def _start_zygote(self) -> None:
        self._answers: Queue[dict[str, Any]] = Queue()
        self._zygote = _popen([sys.executable, "-m", "gpuprobe.measure.zygote"], stdout=subprocess.PIPE)
        Thread(target=_read_answers, args=(self._zygote, self._answers), daemon=True).start()

    def start(self, folder: Path, spec: RunSpec) -> Worker:
        """Fork a worker; a zygote that has died is started again."""
        save(spec, folder / SPEC_FILE)
        if self._zygote.poll() is not None:
            self._start_zygote()
        assert self._zygote.stdin is not None
        try:
            self._zygote.stdin.write(f"{folder.resolve()}\n".encode())
            self._zygote.stdin.flush()
        except BrokenPipeError:
            pass  # It has just died; the answer says so.
        first = self._answers.get()
        if "pid" not in first:
            reason = first.get("error", "the process ended; see what `python -c 'import keras'` prints")
            raise MissingError(f"TensorFlow and Keras could not be imported: {reason}")
        return _Forked(first["pid"], self._answers)

    def close(self) -> None:
        """End the zygote."""
        self._zygote.kill()
        self._zygote.wait()


class _Fresh:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def exit_code(self) -> int | None:
        return self._process.poll()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class _Forked:
    def __init__(self, pid: int, answers: Queue[dict[str, Any]]) -> None:
        self.pid = pid
        self._answers = answers
        self._exit_code: int | None = None

    def exit_code(self) -> int | None:
        if self._exit_code is None:
            try:
                self._exit_code = self._answers.get_nowait()["exit_code"]
            except Empty:
                return None
        return self._exit_code

    def kill(self) -> None:
        if self.exit_code() is None:
            os.kill(self.pid, signal.SIGKILL)
            self._exit_code = self._answers.get()["exit_code"]


def _popen(command: list[str], stdout: int) -> subprocess.Popen[bytes]:
    # In a session of their own, so that Ctrl-C in the terminal reaches the parent alone, which decides.
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **QUIET},
        start_new_session=True,
    )


def _read_answers(zygote: subprocess.Popen[bytes], answers: Queue[dict[str, Any]]) -> None:
    output: IO[bytes] | None = zygote.stdout
    assert output is not None
    for line in output:
        answers.put(json.loads(line))
    # The pipe closes when the zygote ends; its worker ends with it.
    answers.put({"exit_code": -signal.SIGKILL})
