"""Times each callback of a training, by name.

The methods of each callback object are wrapped during the training. Epoch methods are parts of their own in the
whole-run breakdown. Batch methods run in each step, so they cost only two clock reads; when an epoch ends, their time
is subtracted from its steps. Methods that a callback inherits from Keras's base class do nothing, and are not wrapped.
"""

from __future__ import annotations

import functools
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import keras

from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gpuprobe.keras.phases import Phases
    from gpuprobe.records import PartKind

OF_EPOCH = ("on_train_begin", "on_epoch_begin", "on_epoch_end", "on_test_begin", "on_test_end", "on_train_end")
# Keras calls the first method of each pair, whose default calls the second.
OF_BATCH = (("on_train_batch_begin", "on_batch_begin"), ("on_train_batch_end", "on_batch_end"))
# Callbacks that save. Others that save are recognised when they call a save method.
SAVING = tuple(
    kind for name in ("ModelCheckpoint", "BackupAndRestore") if (kind := getattr(keras.callbacks, name, None))
)
MISSING = object()


class CallbackTimes:
    """The times of the callbacks of one training. `last_ns` is when the last batch method ended (Unix ns)."""

    def __init__(self, phases: Phases) -> None:
        self._phases = phases
        self._on: list[tuple[Any, str, Any, Any]] = []
        self._batch: dict[tuple[PartKind, str], list[float]] = {}
        self.last_ns = 0

    def wrap(self, callbacks: Iterable[Any], *, batches: bool) -> None:
        """Wrap these callbacks; batch methods only where `batches` says that the training waits for them."""
        for callback in callbacks:
            kind: PartKind = "checkpoint" if isinstance(callback, SAVING) else "callback"
            name = type(callback).__name__
            for hook in OF_EPOCH:
                self._replace(callback, hook, functools.partial(self._of_epoch, kind=kind, name=name))
            for pair in OF_BATCH if batches else ():
                own = next((hook for hook in pair if not _is_default(callback, hook)), pair[0])
                self._replace(callback, own, functools.partial(self._of_batch, kind=kind, name=name))

    def unwrap(self) -> None:
        """Restore all callbacks."""
        for callback, hook, timed, former in self._on:
            # Somebody else may have replaced the method meanwhile: theirs stays.
            if vars(callback).get(hook) is timed:
                delattr(callback, hook) if former is MISSING else setattr(callback, hook, former)
        self._on = []

    def settle(self) -> None:
        """Subtract the time of the batch methods from that of the steps; call it after the steps were counted."""
        for (kind, name), took in self._batch.items():
            ns, times, squares = took
            self._phases.clock.move("steps", kind, name, took_ns=round(ns), times=round(times), squares_s2=squares)
            took[:] = 0, 0, 0.0

    def _replace(self, callback: Any, hook: str, timed: Callable[[Any], Any]) -> None:
        if _is_default(callback, hook):
            return
        # An object may refuse new attributes: then it is not timed.
        with suppress(AttributeError, TypeError):
            there = vars(callback).get(hook, MISSING)
            # An aborted training leaves its wrapper in place.
            former, own = getattr(there, "stands_for", (there, getattr(callback, hook)))
            ours = timed(own)
            ours.stands_for = former, own
            setattr(callback, hook, ours)
            self._on.append((callback, hook, ours, former))

    def _of_epoch(self, own: Any, kind: PartKind, name: str) -> Any:
        @functools.wraps(own)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._phases.told(self._phases.after_steps)
            with self._phases.doing(kind, name):
                return own(*args, **kwargs)

        return timed

    def _of_batch(self, own: Any, kind: PartKind, name: str) -> Any:
        plain, saving = (self._batch.setdefault((what, name), [0, 0, 0.0]) for what in (kind, "checkpoint"))
        phases, clock = self._phases, time.time_ns

        @functools.wraps(own)
        def timed(*args: Any, **kwargs: Any) -> Any:
            phases.saved = False
            began_ns = clock()
            answer = own(*args, **kwargs)
            self.last_ns = now_ns = clock()
            took = saving if phases.saved else plain
            took_ns = now_ns - began_ns
            took[0] += took_ns
            took[1] += 1
            took[2] += (took_ns / NS_PER_S) ** 2
            return answer

        return timed


def _is_default(callback: Any, hook: str) -> bool:
    """Whether a method is inherited from Keras's base class, where it does nothing."""
    own = getattr(callback, hook, None)
    return own is None or getattr(own, "__func__", own) is getattr(keras.callbacks.Callback, hook)
