"""A pool of child processes that work on tasks side by side, each on one at a time.

A child runs a module of the package that calls `serve`. Tasks and answers are pickled: both ends are gpuprobe.
`concurrent.futures` does not serve: its children import the user's `__main__` again, and one that dies breaks the pool.
"""

from __future__ import annotations

import os
import pickle
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar

from gpuprobe import child
from gpuprobe.errors import GpuprobeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Task = TypeVar("Task")
# A child that has closed its output ends at once; this is long even on a busy machine.
ENDS_WITHIN_S = 60.0


@dataclass(frozen=True)
class Failed:
    """Why a task has no answer, in one line; `died` where the reason is that its child died."""

    reason: str
    died: bool = False


@dataclass
class _Child:
    """A child, the index of its last task, and what that task was about."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    task: int = 0
    about: Hashable = None


class ProcessPool(Generic[Task]):
    """At most `size` children that run one module. They start with the first tasks and end with the `with` block."""

    def __init__(self, module: str, size: int) -> None:
        self._module, self._size = module, max(1, size)
        self._children: list[_Child] = []

    def __enter__(self) -> ProcessPool[Task]:
        return self

    def __exit__(self, *_: object) -> None:
        # Also when Ctrl-C ends the block.
        for worker in self._children:
            self._end(worker)
        self._children.clear()

    def run(self, tasks: Sequence[Task], about: Sequence[Hashable]) -> list[Any]:
        """Return the answer to each task. If a child dies, only the answer to its own task is `Failed`.

        `about` names what each task is about, such as a file. A child that is free prefers tasks about what its last
        one was about.
        """
        answers: list[Any] = [None] * len(tasks)
        left = list(range(len(tasks)))
        while len(self._children) < min(self._size, len(tasks)):
            self._children.append(self._start())
        with selectors.DefaultSelector() as ready:
            for worker in list(self._children):
                self._next(worker, tasks, about, left, ready)
            while ready.get_map():
                for key, _ in ready.select():
                    worker, task = key.data, key.data.task
                    ready.unregister(key.fileobj)
                    answers[task] = self._answer(worker)
                    died = isinstance(answers[task], Failed) and answers[task].died
                    self._next(self._replaced(worker) if died else worker, tasks, about, left, ready)
        return answers

    def _next(
        self,
        worker: _Child,
        tasks: Sequence[Task],
        about: Sequence[Hashable],
        left: list[int],
        ready: selectors.BaseSelector,
    ) -> None:
        """Give a child its next task, where one is left."""
        if not left:
            return
        others = {other.about for other in self._children if other is not worker}
        number = min(left, key=lambda task: (about[task] != worker.about, about[task] in others, task))
        left.remove(number)
        worker.task, worker.about = number, about[number]
        assert worker.process.stdin is not None
        assert worker.process.stdout is not None
        # If the child has died, reading its answer shows it.
        with suppress(BrokenPipeError):
            pickle.dump(tasks[number], worker.process.stdin)
            worker.process.stdin.flush()
        ready.register(worker.process.stdout, selectors.EVENT_READ, worker)

    def _answer(self, worker: _Child) -> Any:
        assert worker.process.stdout is not None
        try:
            return pickle.load(worker.process.stdout)  # noqa: S301
        except (EOFError, pickle.UnpicklingError):
            return Failed(self._why_dead(worker), died=True)

    def _why_dead(self, worker: _Child) -> str:
        # A child that closed its output but does not end gives no answer either.
        try:
            code = worker.process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            return "the process that read it gave no answer"
        if code < 0:
            return f"the process that read it was ended by {signal.Signals(-code).name}"
        worker.errors.seek(0)
        last_line = worker.errors.read().decode(errors="replace").strip().rpartition("\n")[2]
        return f"the process that read it ended with code {code}" + (f" ({last_line})" if last_line else "")

    def _start(self) -> _Child:
        # A file, not a pipe: nobody reads it while the child runs, and a full pipe would block the child.
        errors = tempfile.TemporaryFile()  # noqa: SIM115
        pipe = subprocess.PIPE
        return _Child(child.start(self._module, stdin=pipe, stdout=pipe, stderr=errors), errors)

    def _replaced(self, worker: _Child) -> _Child:
        self._end(worker)
        fresh = self._start()
        self._children[self._children.index(worker)] = fresh
        return fresh

    def _end(self, worker: _Child) -> None:
        child.end(worker.process)
        for pipe in (worker.process.stdin, worker.process.stdout, worker.errors):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()


def serve(answer: Callable[[Any], Any]) -> None:
    """Answer tasks from stdin until it is closed. An error that a user should see is sent back as `Failed`."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # Text that any code prints must not be taken for an answer.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    while True:
        try:
            task = pickle.load(sys.stdin.buffer)  # noqa: S301
        except EOFError:
            return
        try:
            result = answer(task)
        except GpuprobeError as error:
            result = Failed(str(error))
        pickle.dump(result, out, protocol=pickle.HIGHEST_PROTOCOL)
        out.flush()
