"""A process that has imported TensorFlow and Keras, and forks a fresh worker for each run.

Importing TensorFlow takes seconds on a small machine, and is the same for every run; forking shares it. Nothing
else is shared: importing starts no TensorFlow runtime, sets no policy and makes no device, so that a worker begins
as a newly started one does. Used only where no NVIDIA driver is found, since forking a process that has loaded
CUDA's libraries is not proved safe.

Reads the folder of a run per line on stdin; answers with two JSON lines: the worker's pid, then its wait status.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from gpuprobe.telemetry.lifeline import end_with_parent


def serve() -> None:
    """Fork one worker at a time until stdin closes."""
    end_with_parent()
    # The answers have a descriptor of their own: whatever an import prints must not get between them.
    answers = os.dup(1)
    os.dup2(2, 1)
    try:
        import keras  # noqa: F401
        import tensorflow  # noqa: F401, ICN001
    except ImportError as error:
        _answer(answers, {"error": str(error)})
        return
    for line in sys.stdin:
        folder = Path(line.rstrip("\n"))
        pid = os.fork()
        if pid == 0:
            from gpuprobe.measure.worker import run

            code = 1
            try:
                code = run(folder)
            finally:
                # The interpreter's exit would run the handlers that the zygote registered, and flush its buffers.
                os._exit(code)
        _answer(answers, {"pid": pid})
        _, status = os.waitpid(pid, 0)
        _answer(answers, {"exit_code": os.waitstatus_to_exitcode(status)})


def _answer(descriptor: int, message: dict[str, Any]) -> None:
    os.write(descriptor, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    serve()
