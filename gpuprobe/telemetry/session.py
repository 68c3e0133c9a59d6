"""Starts the sampler process before a block of code, such as a training, and stops it afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from gpuprobe import child

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# How long to wait for the sampler's last rows. After that the sampler is killed, since its driver call may hang.
LAST_ROWS_WITHIN_S = 5.0
# What the sampler is sent to stop it.
STOP = b"."
# Signals by which a crash in the driver's library ends a process.
CRASH_SIGNALS = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}


class Sampler:
    """The sampler's process; after a crash in the driver's library, a second one samples the host only."""

    def __init__(self, path: Path, pid: int) -> None:
        self._words = (path, pid, os.getpid())
        self._process = self._start()
        self._lock = threading.Lock()
        self._stopped = False
        threading.Thread(target=self._look_after, daemon=True).start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, None while it samples."""
        with self._lock:
            return self._process.poll()

    def kill(self) -> None:
        """Kill the sampler."""
        with self._lock:
            self._stopped = True
            self._process.kill()

    def stop(self) -> None:
        """Let the sampler take a last reading and end."""
        with self._lock:
            self._stopped = True
        assert self._process.stdin is not None
        # A byte, since closing the pipe does not end it: forked children of the training hold it open too.
        with suppress(BrokenPipeError):
            if not self._process.stdin.closed:
                self._process.stdin.write(STOP)
            self._process.stdin.close()
        try:
            self._process.wait(LAST_ROWS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self, *extra_options: str) -> subprocess.Popen[bytes]:
        # Not bound to the thread that starts it, since that may end before the training: the sampler itself watches
        # its parent.
        return child.start("gpuprobe.telemetry", *self._words, *extra_options, bound=False, stdin=subprocess.PIPE)

    def _look_after(self) -> None:
        exit_code = self._process.wait()
        with self._lock:
            if not self._stopped and -exit_code in CRASH_SIGNALS:
                self._process = self._start("--crashed", signal.Signals(-exit_code).name)


@contextmanager
def sampling(path: Path, pid: int) -> Iterator[Sampler]:
    """Sample into `path` during a block, with the process tree of `pid`. A failing sampler never fails the block."""
    sampler = Sampler(path, pid)
    try:
        yield sampler
    finally:
        sampler.stop()
