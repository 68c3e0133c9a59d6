"""A process that has imported TensorFlow and Keras, and forks a fresh worker for each run.

Importing TensorFlow takes seconds on a small machine, and is the same for every run; forking shares it. Nothing
else is shared: importing starts no TensorFlow runtime, sets no policy and makes no device, so that a worker begins
as a newly started one does. Used only where no NVIDIA driver is found, since forking a process that has loaded
CUDA's libraries is not proved safe.

Multiprocessing's forkserver with a preload would do the same, but for one thing: each of its children imports the main
module of the program again. Where that is a user's script that calls `gpuprobe.run` without asking for its `__name__`,
every worker would start the study anew.

Reads the folder of a run per line on stdin. Answers with JSON lines: `{"started": pid}` for each in turn, and
`{"ended": pid, "exit_code": code}` when one has ended, with minus the signal's number as `waitpid` tells it.
"""

from __future__ import annotations

import json
import os
import select
import signal
from pathlib import Path
from typing import Any

from gpuprobe.child import end_session
from gpuprobe.lifeline import end_with


def serve() -> None:
    """Fork workers until stdin closes."""
    # The answers have a descriptor of their own: whatever an import prints must not get between them.
    answers = os.dup(1)
    os.dup2(2, 1)
    try:
        import keras  # noqa: F401
        import tensorflow  # noqa: F401, ICN001
    except ImportError as error:
        _answer(answers, {"error": str(error)})
        return
    child_ended, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    waiting = b""
    while True:
        readable, _, _ = select.select([0, child_ended], [], [])
        if child_ended in readable:
            os.read(child_ended, 64)
            _reap(answers)
        if 0 in readable:
            read = os.read(0, 4096)
            if not read:
                return
            *folders, waiting = (waiting + read).split(b"\n")
            for folder in folders:
                _answer(answers, {"started": _fork(Path(os.fsdecode(folder)))})


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
        # The interpreter's exit would run the handlers that the zygote registered, and flush its buffers.
        os._exit(code)


def _reap(answers: int) -> None:
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None:
            return
        # What the user's code started and left behind; the number is nobody else's until it is waited for.
        end_session(ended.si_pid)
        pid, status = os.waitpid(ended.si_pid, 0)
        _answer(answers, {"ended": pid, "exit_code": os.waitstatus_to_exitcode(status)})


def _answer(descriptor: int, message: dict[str, Any]) -> None:
    os.write(descriptor, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    serve()
