"""What a process that trains does at each moment, as Keras's own calls tell it; one record for the whole process.

Nothing here is done for a step: what passes from the first call of an epoch to the end of its last one is `steps`, and
when that call ended, whoever counts the calls knows.
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

# What goes on where no call of Keras does.
OUTSIDE: frozenset[PartKind] = frozenset({"imports", "build", "tail"})
# A process that is killed leaves what was saved last.
SAVE_EVERY_NS = 2_000_000_000
# Whose record was given up.
NOBODY = (0, 0)
Answer = TypeVar("Answer")


class Counted(Protocol):
    """Whoever counts the calls of a train function: how many have ended, and when the last one did."""

    @property
    def calls(self) -> int:
        """How many have ended."""

    @property
    def last_ns(self) -> int:
        """When the last one did."""


class Phases:
    """The parts of this process so far. Of several threads, the one that began the training is listened to."""

    def __init__(self) -> None:
        # Somebody at a prompt: what has passed there is no part of a training.
        self._interactive = hasattr(sys, "ps1") or "ipykernel" in sys.modules
        self.clock = WallClock("imports", None if self._interactive else process_started_ns())
        self.steps_per_call = 1
        # Whether something was saved since the hook of a batch began.
        self.saved = False
        # When the training that goes on began, and what had passed before it.
        self.began: tuple[int, Tally] = (self.clock.since_ns, {})
        self._started_ns = self.clock.since_ns
        self._owner = os.getpid(), threading.get_ident()
        self._trainings = 0
        # Train functions that were called, as far as they still live, and whether any was.
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
        """Whether what happens in this thread is part of the record."""
        return self._owner == (os.getpid(), threading.get_ident())

    def save_to(self, file: Path) -> None:
        """Keep the record of the process in a file, from now on."""
        self._file = file

    def keras_loaded(self) -> None:
        """The imports are over, as far as they are known."""
        if self.clock.kind == "imports":
            self.clock.to("build")

    @contextmanager
    def call_of_keras(self, kind: PartKind, name: str = "") -> Iterator[None]:
        """Enclose `fit`, `predict` and the like; of those within one another, the outermost one is told."""
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
        """Leave the script's own code, which was no tail of the process then."""
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
        """Take note of who counts the calls of a training; return whether it begins here, in no `fit` seen before.

        `settle` takes out of the steps that were told what was measured within them.
        """
        if self.ours and not self._enclosed and not self._looping and self.clock.kind not in OUTSIDE:
            # One before it was broken off, and told nobody.
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
        """A loop that is no `fit` begins with its first call, now or where that began earlier."""
        if self._looping or self.clock.kind not in OUTSIDE:
            return
        self._open("first_call", trains=True, at_ns=first_call_ns or None)
        self._looping = self._compiled = True

    def loop_warm(self, counted: Counted) -> None:
        """The first call of a loop has ended; from now on its calls are counted."""
        if self._looping and self.clock.kind == "first_call":
            self.clock.to("steps", times=0)
            self._counted, self._counted_before = counted, counted.calls

    def loop_ended(self) -> None:
        """What follows the loop's last update is no part of it."""
        if not self._looping or not self.ours:
            return
        self._leave_steps("tail")
        self._counted, self._looping = None, False

    def epoch_began(self) -> None:
        """The iterator starts again, and the shuffle buffer fills, up to the end of the first call."""
        self.after_steps()
        self.clock.to("epoch_start")

    def first_call(self, function: Any) -> None:
        """The first call of an epoch begins."""
        if function in self._called:
            self.clock.to("epoch_first_call")
            return
        self.clock.to("first_call_again" if self._compiled else "first_call")
        self._compiled = True
        with suppress(TypeError):
            self._called.add(function)

    def first_call_ended(self) -> None:
        """Steps follow."""
        self.clock.to("steps", times=0)
        self._counted_before = self._counted.calls if self._counted else 0

    def graph_built(self, *, again: bool, began_ns: int) -> None:
        """Take note that a call that ends now built a graph, `again` where its function had been called before."""
        if not self.ours or self.clock.kind != "steps" or self._counted is None:
            return
        if again:
            self.clock.count("steps", -1)
            self.clock.to("retracing", at_ns=self._counted.last_ns)
        else:
            self.clock.to("first_call_again", at_ns=began_ns)
        self.clock.to("steps", times=0)

    def after_steps(self) -> None:
        """Take note that an epoch's steps are over: what has passed since the last one lies between epochs."""
        if self.clock.kind == "steps":
            self._leave_steps("between_epochs")

    def _leave_steps(self, kind: PartKind) -> None:
        last_ns = self._counted.last_ns if self._counted else 0
        calls = self._counted.calls - self._counted_before if self._counted else 0
        self.clock.count("steps", calls)
        self.clock.to(kind, at_ns=last_ns)

    def _count(self) -> None:
        """Add the calls since the last look to those of `steps`."""
        if self._counted is not None and self.clock.kind == "steps":
            calls = self._counted.calls
            self.clock.count("steps", calls - self._counted_before)
            self._counted_before = calls
        if self._settle is not None:
            self._settle()

    @contextmanager
    def doing(self, kind: PartKind, name: str = "") -> Iterator[None]:
        """Enclose what is a part of its own, and go on after it with what went on before."""
        former = self.told(lambda: self.clock.to(kind, name)) if self.ours else None
        try:
            yield
        finally:
            if former is not None:
                self.told(functools.partial(self.clock.back, former))

    @contextmanager
    def saving(self, name: str) -> Iterator[None]:
        """Enclose what saves a model: a callback that does is a checkpoint, as is what the script itself saves."""
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
        """Take a note; where that fails the record is given up, and the training goes on."""
        try:
            return note()
        except Exception:  # noqa: BLE001 - nothing of ours may break a training
            self.give_up()
            return None

    def give_up(self) -> None:
        """Tell no more: what is not known cannot be part of a record that adds up."""
        self._owner = NOBODY

    def training(self, began: tuple[int, Tally], *, complete: bool) -> Wall:
        """Return the wall time by phase since a training began."""
        self._count()
        return self.clock.wall(*began, complete=complete, steps_per_call=self.steps_per_call)

    def finish(self) -> None:
        """Save the record of the process, which ends."""
        self.told(self.loop_ended)
        self.told(functools.partial(self.save, complete=True))

    def save(self, *, complete: bool) -> None:
        """Save the record of the process where it is kept: for good if it is `complete`, else once in a while."""
        now_ns = time.time_ns()
        if self._file is None or not self.ours or not (complete or now_ns - self._saved_ns >= SAVE_EVERY_NS):
            return
        self._saved_ns = now_ns
        self._count()
        found = self.clock.wall(self._started_ns, complete=complete, steps_per_call=self.steps_per_call)
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            save(found, self._file)


@functools.cache
def phases() -> Phases:
    """Return the record of this process, which begins when it is first asked for."""
    return Phases()
