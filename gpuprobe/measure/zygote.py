"""The zygote: a process that has imported TensorFlow and Keras, and forks a fresh worker for each run.

Importing TensorFlow takes seconds on a small machine, and is the same for every run: forked workers share it. They
share nothing else: the import starts no TensorFlow runtime, sets no policy and makes no device, so a forked worker
starts like a new process. It is used only without an NVIDIA driver, since forking a process that has loaded CUDA's
libraries is not known to be safe.

The `forkserver` of `multiprocessing` with a preload does nearly the same, but each of its children imports the
program's main module again. A user's script that calls `gpuprobe.run` without `if __name__ == "__main__"` would then
start the study again in every worker.

It reads one folder of a run per line on stdin, and answers with JSON lines: `{"started": pid}` for each in turn, and
`{"ended": pid, "exit_code": code}` when one has ended (a negative code: killed by that signal).
"""

from __future__ import annotations

import json
import os
import select
import signal
from pathlib import Path
from typing import Any

from gpuprobe.backends.importing import uncollected
from gpuprobe.child import end_session
from gpuprobe.lifeline import end_with


def serve() -> None:
    """Fork workers until stdin closes."""
    # Answers use a file descriptor of their own, so that output of an import is not among them.
    answers_descriptor = os.dup(1)
    os.dup2(2, 1)
    try:
        with uncollected():
            import keras  # noqa: F401
            import tensorflow  # noqa: F401, ICN001
    except ImportError as error:
        _answer(answers_descriptor, {"error": str(error)})
        return
    child_ended, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    unread_bytes = b""
    while True:
        readable, _, _ = select.select([0, child_ended], [], [])
        if child_ended in readable:
            os.read(child_ended, 64)
            _reap(answers_descriptor)
        if 0 in readable:
            read_bytes = os.read(0, 4096)
            if not read_bytes:
                return
            *folders, unread_bytes = (unread_bytes + read_bytes).split(b"\n")
            for folder in folders:
                _answer(answers_descriptor, {"started": _fork(Path(os.fsdecode(folder)))})


def _fork(folder: Path) -> int:
    zygote = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    end_with(zygote)
    os.setsid()
    from gpuprobe.measure.worker import run

    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    code = 1
    try:
        code = run(folder)
    finally:
        # A normal exit would run the zygote's exit handlers, and flush its buffers.
        os._exit(code)


def _reap(answers_descriptor: int) -> None:
    while True:
        try:
            ended_child = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended_child is None:
            return
        # Kill processes that the user's code left running; the id cannot be reused before `waitpid`.
        end_session(ended_child.si_pid)
        pid, status = os.waitpid(ended_child.si_pid, 0)
        _answer(answers_descriptor, {"ended": pid, "exit_code": os.waitstatus_to_exitcode(status)})


def _answer(descriptor: int, answer: dict[str, Any]) -> None:
    os.write(descriptor, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    serve()
