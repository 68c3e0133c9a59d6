"""Divides the wall time of a training process into parts (imports, steps, validation, ...), as Keras's calls show them.

There is one record for the whole process. Nothing runs for each step: `steps` is the time from an epoch's first call to
the end of its last one, which the object that counts the calls (`Counted`) knows.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from gpuprobe.measure.wall import WallClock, process_started_ns
from gpuprobe.records import save

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gpuprobe.measure.wall import Tally
    from gpuprobe.records import PartKind, Wall

# The parts in which no call of Keras is running.
OUTSIDE: frozenset[PartKind] = frozenset({"imports", "build", "tail"})
# How often the record is saved, since the process may be killed.
SAVE_EVERY_NS = 2_000_000_000
# The owner of a record that was abandoned after an error.
NOBODY = (0, 0)
Answer = TypeVar("Answer")


class Counted(Protocol):
    """An object that counts the calls of a train function."""

    @property
    def calls(self) -> int:
        """How many calls have ended."""

    @property
    def last_ns(self) -> int:
        """When the last call ended (Unix ns)."""


class Phases:
    """The parts of this process so far. Of several threads, only the one that began the training is recorded."""

    def __init__(self) -> None:
        # At an interactive prompt the time before a training is no part of it.
        self._interactive = hasattr(sys, "ps1") or "ipykernel" in sys.modules
        self.clock = WallClock("imports", None if self._interactive else process_started_ns())
        self.steps_per_call = 1
        # Whether a model was saved since the current batch callback began.
        self.saved = False
        # When the current training began (Unix ns), and the parts before it.
        self.began: tuple[int, Tally] = (self.clock.since_ns, {})
        self._started_ns = self.clock.since_ns
        self._owner = os.getpid(), threading.get_ident()
        self._trainings = 0
        # The train functions called before, and whether any was.
        self._called: weakref.WeakSet[Any] = weakref.WeakSet()
        self._compiled = False
        self._counted: Counted | None = None
        self._counted_before = 0
        self._settle: Callable[[], None] | None = None
        self._looping = self._enclosed = False
        self._file: Path | None = None
        self._saved_ns = 0

    @property
    def ours(self) -> bool:
        """Whether this thread of this process is the recorded one."""
        return self._owner == (os.getpid(), threading.get_ident())

    @property
    def loops(self) -> bool:
        """Whether the steps of a loop that is no `fit` go on in this thread."""
        return self._looping and self.clock.kind == "steps" and self.ours

    def save_to(self, file: Path) -> None:
        """Keep the record of the process in a file, from now on."""
        self._file = file

    def keras_loaded(self) -> None:
        """Note that the imports are over: what follows is building."""
        if self.clock.kind == "imports":
            self.clock.to("build")

    @contextmanager
    def call_of_keras(self, kind: PartKind, name: str = "") -> Iterator[None]:
        """Record a call of `fit`, `predict` and the like around a block; of nested calls, only the outermost."""
        if not self.told(lambda: self._begin(kind, name)):
            yield
            return
        self._enclosed = True
        try:
            yield
        finally:
            self._enclosed = False
            self.told(self._end)

    def _begin(self, kind: PartKind, name: str) -> bool:
        apart = self.ours and self._looping and self.clock.kind == "steps"
        if self._owner[0] != os.getpid() or not (apart or self.clock.kind in OUTSIDE):
            return False
        if apart:
            self.clock.to(kind, name)
        else:
            self._open(kind, name, trains=kind == "fit")
        return True

    def _open(self, kind: PartKind, name: str = "", *, trains: bool, at_ns: int | None = None) -> None:
        """Begin a part after the script's own code, which is then no longer the tail of the process."""
        self._owner = os.getpid(), threading.get_ident()
        former = self.clock.to(kind, name, at_ns=at_ns, times=0)
        self.clock.move("tail", "between_trainings", times=int(former[0] == "tail"))
        if trains:
            if self._trainings or self._interactive:
                self.began = (self.clock.since_ns, self.clock.told())
            self._trainings += 1
        self.clock.count(kind, 1, name)

    def _end(self) -> None:
        self.clock.to("steps" if self._looping else "tail", times=0)
        self.save(complete=False)

    def training_began(self, counted: Counted, settle: Callable[[], None]) -> bool:
        """Note that a training began, with what counts its calls; return whether it did so outside any recorded `fit`.

        `settle` subtracts the callbacks' time, which was measured within the steps, from them.
        """
        if self.ours and not self._enclosed and not self._looping and self.clock.kind not in OUTSIDE:
            # The training before this one was aborted without `on_train_end`.
            self.training_ended()
        begins = self.clock.kind in OUTSIDE and self._begin("fit", "")
        if self.ours:
            self._counted, self._counted_before, self._settle = counted, counted.calls, settle
        return begins

    def training_ended(self) -> None:
        """End a training that began in `training_began`."""
        self.after_steps()
        self._counted = self._settle = None
        self._end()

    def loop_began(self, first_call_ns: int = 0) -> None:
        """Note that a custom loop began with its first call, at `first_call_ns` (Unix ns) or now (0)."""
        if self._looping or self.clock.kind not in OUTSIDE:
            return
        self._open("first_call", trains=True, at_ns=first_call_ns or None)
        self._looping = self._compiled = True

    def loop_warm(self, counted: Counted, settle: Callable[[], None] | None = None) -> None:
        """Note that the first call of a custom loop ended; `counted` counts from now on, `settle` as in a training."""
        if self._looping and self.clock.kind == "first_call":
            self.clock.to("steps", times=0)
            self._counted, self._counted_before = counted, counted.calls
            self._settle = settle

    def loop_ended(self) -> None:
        """End a custom loop at its last update."""
        if not self._looping or not self.ours:
            return
        self._leave_steps("tail")
        if self._settle is not None:
            self._settle()
        self._counted, self._settle, self._looping = None, None, False

    def epoch_began(self) -> None:
        """Note that an epoch began: until its first call the iterator restarts and the shuffle buffer fills."""
        self.after_steps()
        self.clock.to("epoch_start")

    def first_call(self, function: Any) -> None:
        """Note that the first call of an epoch began."""
        if function in self._called:
            self.clock.to("epoch_first_call")
            return
        self.clock.to("first_call_again" if self._compiled else "first_call")
        self._compiled = True
        with suppress(TypeError):
            self._called.add(function)

    def first_call_ended(self) -> None:
        """Note that the first call of an epoch ended: steps follow."""
        self.clock.to("steps", times=0)
        self._counted_before = self._counted.calls if self._counted else 0

    def graph_built(self, *, again: bool, began_ns: int) -> None:
        """Note that the call ending now traced a graph; `again` where its function had been called before."""
        if not self.ours or self.clock.kind != "steps" or self._counted is None:
            return
        if again:
            self.clock.count("steps", -1)
            self.clock.to("retracing", at_ns=self._counted.last_ns)
        else:
            self.clock.to("first_call_again", at_ns=began_ns)
        self.clock.to("steps", times=0)

    def after_steps(self) -> None:
        """Note that an epoch's steps are over: the time since the last one lies between epochs."""
        if self.clock.kind == "steps":
            self._leave_steps("between_epochs")

    def _leave_steps(self, kind: PartKind) -> None:
        last_ns = self._counted.last_ns if self._counted else 0
        calls = self._counted.calls - self._counted_before if self._counted else 0
        self.clock.count("steps", calls)
        self.clock.to(kind, at_ns=last_ns)

    def _count(self) -> None:
        """Add the calls since the last count to `steps`."""
        if self._counted is not None and self.clock.kind == "steps":
            calls = self._counted.calls
            self.clock.count("steps", calls - self._counted_before)
            self._counted_before = calls
        if self._settle is not None:
            self._settle()

    @contextmanager
    def doing(self, kind: PartKind, name: str = "") -> Iterator[None]:
        """Record the block as a part of its own; afterwards the part before it continues."""
        former = self.told(lambda: self.clock.to(kind, name)) if self.ours else None
        try:
            yield
        finally:
            if former is not None:
                self.told(functools.partial(self.clock.back, former))

    @contextmanager
    def saving(self, name: str) -> Iterator[None]:
        """Record the block, which saves a model, as a checkpoint, in a callback or in the script's own code."""
        self.saved = True
        if self.clock.kind == "callback" and self.ours:
            self.told(lambda: self.clock.to("checkpoint", self.clock.name))
            yield
        elif self.clock.kind in OUTSIDE or self._looping:
            with self.doing("checkpoint", name):
                yield
        else:
            yield

    def told(self, note: Callable[[], Answer]) -> Answer | None:
        """Run `note` and return its answer; where it fails, abandon the record: the training must go on."""
        try:
            return note()
        except Exception:  # noqa: BLE001 - nothing of ours may break a training
            self.give_up()
            return None

    def give_up(self) -> None:
        """Record nothing more: with a part missing, the parts no longer add up to the wall time."""
        self._owner = NOBODY

    def training(self, began: tuple[int, Tally], *, complete: bool) -> Wall:
        """Return the wall time by part since a training began."""
        self._count()
        return self.clock.wall(*began, complete=complete, steps_per_call=self.steps_per_call)

    def finish(self) -> None:
        """Save the record at the end of the process."""
        self.told(self.loop_ended)
        self.told(functools.partial(self.save, complete=True))

    def save(self, *, complete: bool) -> None:
        """Save the record to its file: always where it is `complete`, else at most every 2 s."""
        now_ns = time.time_ns()
        if self._file is None or not self.ours or not (complete or now_ns - self._saved_ns >= SAVE_EVERY_NS):
            return
        self._saved_ns = now_ns
        self._count()
        wall = self.clock.wall(self._started_ns, complete=complete, steps_per_call=self.steps_per_call)
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            save(wall, self._file)


@functools.cache
def phases() -> Phases:
    """Return the record of this process, which begins with the first call of this function."""
    return Phases()
