"""Children that answer questions side by side, one at a time each, as many as there are processors.

A child is a module of the package that calls `serve`. Questions and answers are pickled: both ends are gpuprobe. The
pool of `concurrent.futures` would import the user's `__main__` again in each child, and breaks as a whole where one
child dies.
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

Question = TypeVar("Question")
# A child that has closed its output ends at once, on however busy a machine.
ENDS_WITHIN_S = 60.0


@dataclass(frozen=True)
class Failed:
    """Why a question has no answer, in one line; `died` where that is what became of the child."""

    reason: str
    died: bool = False


@dataclass
class _Member:
    """A child with the place of its last question, and what that was about."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    at: int = 0
    about: Hashable = None


class Crew(Generic[Question]):
    """Children of one module, at most `size`: they start with the first questions, and all end with the block."""

    def __init__(self, module: str, size: int) -> None:
        self._module, self._size = module, max(1, size)
        self._members: list[_Member] = []

    def __enter__(self) -> Crew[Question]:
        return self

    def __exit__(self, *_: object) -> None:
        # However the block ends, with Ctrl-C too.
        for member in self._members:
            self._end(member)
        self._members.clear()

    def ask(self, questions: Sequence[Question], about: Sequence[Hashable]) -> list[Any]:
        """Return the answer to each question, `Failed` where there is none; a child that dies costs only its own.

        `about` names what each is about: a child is asked again about what it has in hand where it can be.
        """
        answers: list[Any] = [None] * len(questions)
        left = list(range(len(questions)))
        while len(self._members) < min(self._size, len(questions)):
            self._members.append(self._start())
        with selectors.DefaultSelector() as ready:
            for member in list(self._members):
                self._next(member, questions, about, left, ready)
            while ready.get_map():
                for key, _ in ready.select():
                    member, place = key.data, key.data.at
                    ready.unregister(key.fileobj)
                    answers[place] = self._answer(member)
                    died = isinstance(answers[place], Failed) and answers[place].died
                    self._next(self._replaced(member) if died else member, questions, about, left, ready)
        return answers

    def _next(
        self,
        member: _Member,
        questions: Sequence[Question],
        about: Sequence[Hashable],
        left: list[int],
        ready: selectors.BaseSelector,
    ) -> None:
        """Give a child its next question, where one is left."""
        if not left:
            return
        others = {other.about for other in self._members if other is not member}
        place = min(left, key=lambda one: (about[one] != member.about, about[one] in others, one))
        left.remove(place)
        member.at, member.about = place, about[place]
        assert member.process.stdin is not None
        assert member.process.stdout is not None
        # One that has died is noticed when its answer is read.
        with suppress(BrokenPipeError):
            pickle.dump(questions[place], member.process.stdin)
            member.process.stdin.flush()
        ready.register(member.process.stdout, selectors.EVENT_READ, member)

    def _answer(self, member: _Member) -> Any:
        assert member.process.stdout is not None
        try:
            return pickle.load(member.process.stdout)  # noqa: S301
        except (EOFError, pickle.UnpicklingError):
            return Failed(self._why_dead(member), died=True)

    def _why_dead(self, member: _Member) -> str:
        # What does not end by itself has lost its answer all the same.
        try:
            code = member.process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            return "the process that read it gave no answer"
        if code < 0:
            return f"the process that read it was ended by {signal.Signals(-code).name}"
        member.errors.seek(0)
        said = member.errors.read().decode(errors="replace").strip().rpartition("\n")[2]
        return f"the process that read it ended with code {code}" + (f" ({said})" if said else "")

    def _start(self) -> _Member:
        # A file and not a pipe, which nobody would empty.
        errors = tempfile.TemporaryFile()  # noqa: SIM115
        pipe = subprocess.PIPE
        return _Member(child.start(self._module, stdin=pipe, stdout=pipe, stderr=errors), errors)

    def _replaced(self, member: _Member) -> _Member:
        self._end(member)
        fresh = self._start()
        self._members[self._members.index(member)] = fresh
        return fresh

    def _end(self, member: _Member) -> None:
        child.end(member.process)
        for pipe in (member.process.stdin, member.process.stdout, member.errors):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()


def serve(answer: Callable[[Any], Any]) -> None:
    """Answer the questions on stdin, until it is closed; errors that a user sees go back as `Failed`."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # Whatever else is printed must not be taken for an answer.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    while True:
        try:
            question = pickle.load(sys.stdin.buffer)  # noqa: S301
        except EOFError:
            return
        try:
            told = answer(question)
        except GpuprobeError as error:
            told = Failed(str(error))
        pickle.dump(told, out, protocol=pickle.HIGHEST_PROTOCOL)
        out.flush()
