"""Starts our own child processes, all in one way: none runs what lies in the user's folder, none outlives its parent.

A child finds the standard library, what is installed, and what PYTHONPATH names (see `bootstrap`). An empty entry in
PYTHONPATH means the current folder, and is nearly always left over from `$PYTHONPATH:...`: it does not count.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
# Before Python 3.11 the bootstrap alone keeps the path clean; with -P what the child starts in turn keeps it too.
SAFE_PATH = ("-P",) if sys.version_info >= (3, 11) else ()
NOTHING: Mapping[str, str] = MappingProxyType({})
# In place of the parent's number: the child sees to its end itself.
UNBOUND = 0


@dataclass(frozen=True)
class Answer:
    """What a child wrote, and its exit code, or minus the signal's number; no code where it took too long."""

    code: int | None
    out: bytes
    err: bytes


def start(
    module: str,
    *words: object,
    environ: Mapping[str, str] = NOTHING,
    bound: bool = True,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = subprocess.DEVNULL,
    stderr: int | IO[bytes] | None = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a module of ours, or of an installed package, in a session of its own: Ctrl-C reaches the parent alone.

    `environ` is added to the environment. The kernel ends a child that is `bound` when the thread that started it ends,
    however that ends; one that is not has to look after its parent itself.
    """
    parent = os.getpid() if bound else UNBOUND
    return subprocess.Popen(
        [sys.executable, *SAFE_PATH, str(BOOTSTRAP), str(parent), module, *map(str, words)],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env={**_environment(), **environ},
        start_new_session=True,
    )


def ask(
    module: str,
    *words: object,
    question: bytes = b"",
    limit_s: float | None = None,
    environ: Mapping[str, str] = NOTHING,
) -> Answer:
    """Run a module to its end, or for so long; then end whatever it started and left behind.

    Raises OSError where it cannot be started.
    """
    # Files, not pipes: what it left behind would hold a pipe open.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(question)
        given.seek(0)
        process = start(module, *words, environ=environ, stdin=given, stdout=out, stderr=err)
        code: int | None = None
        try:
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(limit_s)
        finally:
            end(process)
        out.seek(0)
        err.seek(0)
        return Answer(code, out.read(), err.read())


def end(process: subprocess.Popen[bytes]) -> None:
    """End a child at once, and what it started."""
    end_session(process.pid)
    process.wait()


def end_session(leader: int) -> None:
    """End all that is left of the session that a child leads."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def freeze_session(leader: int) -> None:
    """Let nothing of the session that a child leads have any processor, until `thaw_session`."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGSTOP)


def thaw_session(leader: int) -> None:
    """Let it go on."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGCONT)


def _environment() -> dict[str, str]:
    """Return our environment, without the empty entries of PYTHONPATH."""
    environ = {**os.environ}
    places = [place for place in environ.pop("PYTHONPATH", "").split(os.pathsep) if place]
    return {**environ, "PYTHONPATH": os.pathsep.join(places)} if places else environ
