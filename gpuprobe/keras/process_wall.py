"""Divides the wall time of a training process into parts (imports, steps, validation, ...), as Keras's calls show them.

There is one record for the whole process. Nothing runs for each step: `steps` is the time from an epoch's first call to
the end of its last one, which the object that counts the calls (`CallCounter`) knows.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from gpuprobe.keras.wall_record import WallRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gpuprobe.measure.wall import Tally
    from gpuprobe.records import PartKind, Wall

# The parts in which no call of Keras is running.
OUTSIDE: frozenset[PartKind] = frozenset({"imports", "build", "tail"})


class CallCounter(Protocol):
    """An object that counts the calls of a train function."""

    @property
    def calls(self) -> int:
        """How many calls have ended."""

    @property
    def last_ns(self) -> int:
        """When the last call ended (Unix ns)."""


class ProcessWall(WallRecord):
    """The parts of this process so far. Of several threads, only the one that began the training is recorded."""

    def __init__(self) -> None:
        super().__init__()
        # Whether a model was saved since the current batch callback began.
        self.saved = False
        # When the current training began (Unix ns), and the parts before it.
        self.began: tuple[int, Tally] = (self.clock.since_ns, {})
        self._trainings = 0
        # The train functions called before, and whether any was.
        self._called_functions: weakref.WeakSet[Any] = weakref.WeakSet()
        self._compiled = False
        self._call_counter: CallCounter | None = None
        self._calls_before = 0
        self._settle: Callable[[], None] | None = None
        self._in_loop = self._in_keras_call = False

    @property
    def in_loop_steps(self) -> bool:
        """Whether the steps of a loop that is no `fit` go on in this thread."""
        return self._in_loop and self.clock.kind == "steps" and self.is_recorded_thread

    def keras_loaded(self) -> None:
        """Note that the imports are over: what follows is building."""
        if self.clock.kind == "imports":
            self.clock.begin("build")

    @contextmanager
    def call_of_keras(self, kind: PartKind, name: str = "") -> Iterator[None]:
        """Record a call of `fit`, `predict` and the like around a block; of nested calls, only the outermost."""
        if not self.record(lambda: self._begin(kind, name)):
            yield
            return
        self._in_keras_call = True
        try:
            yield
        finally:
            self._in_keras_call = False
            self.record(self._end)

    def _begin(self, kind: PartKind, name: str) -> bool:
        interrupts_loop = self.is_recorded_thread and self._in_loop and self.clock.kind == "steps"
        if self._owner[0] != os.getpid() or not (interrupts_loop or self.clock.kind in OUTSIDE):
            return False
        if interrupts_loop:
            self.clock.begin(kind, name)
        else:
            self._open(kind, name, trains=kind == "fit")
        return True

    def _open(self, kind: PartKind, name: str = "", *, trains: bool, at_ns: int | None = None) -> None:
        """Begin a part when the script's own code has just run; `trains` says that a training begins with it.

        What was recorded as `tail` so far becomes `between_trainings`, since a call of Keras or a loop follows it.
        """
        self._owner = os.getpid(), threading.get_ident()
        former_part = self.clock.begin(kind, name, at_ns=at_ns, times=0)
        self.clock.move("tail", "between_trainings", times=int(former_part[0] == "tail"))
        if trains:
            if self._trainings or self._interactive:
                self.began = (self.clock.since_ns, self.clock.tally_so_far())
            self._trainings += 1
        self.clock.count(kind, 1, name)

    def _end(self) -> None:
        self.clock.begin("steps" if self._in_loop else "tail", times=0)
        self.save(complete=False)

    def training_began(self, counter: CallCounter, settle: Callable[[], None]) -> bool:
        """Note that a training began, whose calls `counter` counts; return whether no recorded `fit` encloses it.

        `settle` subtracts the callbacks' time, which was measured within the steps, from them.
        """
        if self.is_recorded_thread and not self._in_keras_call and not self._in_loop and self.clock.kind not in OUTSIDE:
            # The training before this one was aborted without `on_train_end`.
            self.training_ended()
        begins_here = self.clock.kind in OUTSIDE and self._begin("fit", "")
        if self.is_recorded_thread:
            self._call_counter, self._calls_before, self._settle = counter, counter.calls, settle
        return begins_here

    def training_ended(self) -> None:
        """End a training that began in `training_began`."""
        self.after_steps()
        self._call_counter = self._settle = None
        self._end()

    def loop_began(self, first_call_ns: int = 0) -> None:
        """Note that a custom loop began with its first call, at `first_call_ns` (Unix ns) or now (0)."""
        if self._in_loop or self.clock.kind not in OUTSIDE:
            return
        self._open("first_call", trains=True, at_ns=first_call_ns or None)
        self._in_loop = self._compiled = True

    def loop_warm(self, counter: CallCounter, settle: Callable[[], None] | None = None) -> None:
        """Note that the first call of a custom loop ended: from now on `counter` counts; `settle` as in a training."""
        if self._in_loop and self.clock.kind == "first_call":
            self.clock.begin("steps", times=0)
            self._call_counter, self._calls_before = counter, counter.calls
            self._settle = settle

    def loop_ended(self) -> None:
        """End a custom loop at its last update."""
        if not self._in_loop or not self.is_recorded_thread:
            return
        self._leave_steps("tail")
        if self._settle is not None:
            self._settle()
        self._call_counter, self._settle, self._in_loop = None, None, False

    def epoch_began(self) -> None:
        """Note that an epoch began: until its first call the iterator restarts and the shuffle buffer fills."""
        self.after_steps()
        self.clock.begin("epoch_start")

    def first_call(self, function: Any) -> None:
        """Note that the first call of an epoch began."""
        if function in self._called_functions:
            self.clock.begin("epoch_first_call")
            return
        self.clock.begin("first_call_again" if self._compiled else "first_call")
        self._compiled = True
        with suppress(TypeError):
            self._called_functions.add(function)

    def first_call_ended(self) -> None:
        """Note that the first call of an epoch ended: steps follow."""
        self.clock.begin("steps", times=0)
        self._calls_before = self._call_counter.calls if self._call_counter else 0

    def graph_built(self, *, again: bool, began_ns: int) -> None:
        """Note that the call ending now traced a graph; `again` where its function had been called before."""
        if not self.is_recorded_thread or self.clock.kind != "steps" or self._call_counter is None:
            return
        if again:
            self.clock.count("steps", -1)
            self.clock.begin("retracing", at_ns=self._call_counter.last_ns)
        else:
            self.clock.begin("first_call_again", at_ns=began_ns)
        self.clock.begin("steps", times=0)

    def after_steps(self) -> None:
        """Note that an epoch's steps are over: the time since the last one lies between epochs."""
        if self.clock.kind == "steps":
            self._leave_steps("between_epochs")

    def _leave_steps(self, kind: PartKind) -> None:
        last_ns = self._call_counter.last_ns if self._call_counter else 0
        calls = self._call_counter.calls - self._calls_before if self._call_counter else 0
        self.clock.count("steps", calls)
        self.clock.begin(kind, at_ns=last_ns)

    def count_calls(self) -> None:
        """Add the calls since the last count to `steps`."""
        if self._call_counter is not None and self.clock.kind == "steps":
            calls = self._call_counter.calls
            self.clock.count("steps", calls - self._calls_before)
            self._calls_before = calls
        if self._settle is not None:
            self._settle()

    @contextmanager
    def saving(self, name: str) -> Iterator[None]:
        """Record the block, which saves a model, as a checkpoint, in a callback or in the script's own code."""
        self.saved = True
        if self.clock.kind == "callback" and self.is_recorded_thread:
            self.record(lambda: self.clock.begin("checkpoint", self.clock.name))
            yield
        elif self.clock.kind in OUTSIDE or self._in_loop:
            with self.part("checkpoint", name):
                yield
        else:
            yield

    def training(self, began: tuple[int, Tally], *, complete: bool) -> Wall:
        """Return the wall time by part since a training began."""
        self.count_calls()
        return self.clock.wall(*began, complete=complete, steps_per_call=self.steps_per_call)

    def finish(self) -> None:
        """Save the record at the end of the process."""
        self.record(self.loop_ended)
        self.record(functools.partial(self.save, complete=True))


@functools.cache
def process_wall() -> ProcessWall:
    """Return the record of this process, which begins with the first call of this function."""
    return ProcessWall()
