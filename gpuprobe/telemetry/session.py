"""Starts and stops the sampler around a piece of work."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpuprobe import child

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# How long to wait for the sampler's last rows; a driver that hangs longer is not waited for.
GOODBYE_S = 5.0
# Signals by which a crash in the driver's library ends a process.
CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}


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
        """Kill it."""
        with self._lock:
            self._stopped = True
            self._process.kill()

    def stop(self) -> None:
        """Let it take a last reading and end."""
        with self._lock:
            self._stopped = True
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(GOODBYE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self, *more: str) -> subprocess.Popen[bytes]:
        # Not tied to the thread that starts it, which may end before the work does: the sampler watches its parent
        # itself.
        return child.start("gpuprobe.telemetry", *self._words, *more, bound=False, stdin=subprocess.PIPE)

    def _look_after(self) -> None:
        code = self._process.wait()
        with self._lock:
            if not self._stopped and -code in CRASHES:
                self._process = self._start("--crashed", signal.Signals(-code).name)


@contextmanager
def sampling(path: Path, pid: int) -> Iterator[Sampler]:
    """Sample into `path` during a block, with the process tree of `pid`. A failing sampler never fails the block."""
    sampler = Sampler(path, pid)
    try:
        yield sampler
    finally:
        sampler.stop()
