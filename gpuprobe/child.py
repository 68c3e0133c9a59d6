"""Starts all child processes of gpuprobe: none imports modules from the user's folder, and none outlives its parent.

A child can import the standard library, installed packages, and folders of PYTHONPATH (see `bootstrap`). An empty entry
in PYTHONPATH means the current folder, is nearly always left over from `$PYTHONPATH:...`, and is ignored.
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
# Before Python 3.11 only the bootstrap keeps the path clean; -P also does so for the child's own children.
SAFE_PATH = ("-P",) if sys.version_info >= (3, 11) else ()
NOTHING: Mapping[str, str] = MappingProxyType({})
# In place of the parent's id: the child is not tied to its parent.
UNBOUND = 0


@dataclass(frozen=True)
class Answer:
    """A child's output and its exit code (negative: killed by that signal; None: it took too long)."""

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
    """Start a module of gpuprobe or of an installed package in its own process session: Ctrl-C reaches only the parent.

    `environ` is added to the environment. The kernel kills a `bound` child when the thread that started it ends; any
    other child has to watch its parent itself.
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
    """Run a module until it ends or `limit_s` seconds have passed; then kill all processes that it left behind.

    Raises OSError where it cannot be started.
    """
    # Files, not pipes: processes left behind would hold a pipe open.
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
    """Kill a child and all that it started."""
    end_session(process.pid)
    process.wait()


def end_session(leader: int) -> None:
    """Kill all that is left of a child's session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def ask_session(leader: int) -> None:
    """Ask all that is left of the session that a child leads to end."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGTERM)


def freeze_session(leader: int) -> None:
    """Suspend all processes of a child's session until `thaw_session`."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGSTOP)


def thaw_session(leader: int) -> None:
    """Continue a suspended session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGCONT)


def _environment() -> dict[str, str]:
    """Return this process's environment, without empty entries in PYTHONPATH."""
    environ = {**os.environ}
    folders = [folder for folder in environ.pop("PYTHONPATH", "").split(os.pathsep) if folder]
    return {**environ, "PYTHONPATH": os.pathsep.join(folders)} if folders else environ
