"""Starts and stops the sampler around a piece of work."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The sampler writes its last rows and goes; one whose driver hangs is not waited for.
GOODBYE_S = 5.0


@contextmanager
def sampling(path: Path, pid: int) -> Iterator[subprocess.Popen[bytes]]:
    """Sample into `path` around a block, with the process tree of `pid`. The work never fails because of it."""
    sampler = subprocess.Popen(
        [sys.executable, "-m", "gpuprobe.telemetry", str(path), str(pid), str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield sampler
    finally:
        assert sampler.stdin is not None
        sampler.stdin.close()
        try:
            sampler.wait(GOODBYE_S)
        except subprocess.TimeoutExpired:
            sampler.kill()
            sampler.wait()
