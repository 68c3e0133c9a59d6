"""Times each callback of a training, by name.

The methods of each callback object are wrapped during the training. The time of epoch methods is a part of its own in
the whole-run breakdown. Batch methods run in each step, so only two clock reads are added to each; when an epoch ends,
their time is subtracted from its steps. Methods that a callback inherits from Keras's base class do nothing, and are
not wrapped.
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

    from gpuprobe.keras.process_wall import ProcessWall
    from gpuprobe.records import PartKind

EPOCH_METHODS = ("on_train_begin", "on_epoch_begin", "on_epoch_end", "on_test_begin", "on_test_end", "on_train_end")
# Keras calls the first method of each pair, whose default calls the second.
BATCH_METHODS = (("on_train_batch_begin", "on_batch_begin"), ("on_train_batch_end", "on_batch_end"))
# Callbacks that save. Others that save are recognised when they call a save method.
SAVING = tuple(
    kind for name in ("ModelCheckpoint", "BackupAndRestore") if (kind := getattr(keras.callbacks, name, None))
)
NOT_SET = object()


class CallbackTimes:
    """The times of the callbacks of one training. `last_ns` is when the last batch method ended (Unix ns)."""

    def __init__(self, wall: ProcessWall) -> None:
        self._wall = wall
        self._wrapped_methods: list[tuple[Any, str, Any, Any]] = []
        self._batch_times: dict[tuple[PartKind, str], list[float]] = {}
        self.last_ns = 0

    def wrap(self, callbacks: Iterable[Any], *, batches: bool) -> None:
        """Wrap these callbacks; batch methods only where `batches` says that the training waits for them."""
        for callback in callbacks:
            kind: PartKind = "checkpoint" if isinstance(callback, SAVING) else "callback"
            name = type(callback).__name__
            for method_name in EPOCH_METHODS:
                self._replace(callback, method_name, functools.partial(self._timed_epoch_method, kind=kind, name=name))
            for pair in BATCH_METHODS if batches else ():
                method_name = next(
                    (method_name for method_name in pair if not _is_default(callback, method_name)), pair[0]
                )
                self._replace(callback, method_name, functools.partial(self._timed_batch_method, kind=kind, name=name))

    def unwrap(self) -> None:
        """Restore all callbacks."""
        for callback, method_name, timed_method, former_method in self._wrapped_methods:
            # If other code has replaced the method meanwhile, that one stays.
            if vars(callback).get(method_name) is timed_method:
                delattr(callback, method_name) if former_method is NOT_SET else setattr(
                    callback, method_name, former_method
                )
        self._wrapped_methods = []

    def settle(self) -> None:
        """Subtract the time of the batch methods from that of the steps; call it after the steps were counted."""
        for (kind, name), batch_time in self._batch_times.items():
            total_ns, times, squares_s2 = batch_time
            self._wall.clock.move(
                "steps", kind, name, took_ns=round(total_ns), times=round(times), squares_s2=squares_s2
            )
            batch_time[:] = 0, 0, 0.0

    def _replace(self, callback: Any, method_name: str, make_timed: Callable[[Any], Any]) -> None:
        if _is_default(callback, method_name):
            return
        # A callback object that refuses new attributes is not timed.
        with suppress(AttributeError, TypeError):
            installed = vars(callback).get(method_name, NOT_SET)
            # An aborted training leaves its wrapper in place.
            former_method, method = getattr(installed, "replaced_methods", (installed, getattr(callback, method_name)))
            timed_method = make_timed(method)
            timed_method.replaced_methods = former_method, method
            setattr(callback, method_name, timed_method)
            self._wrapped_methods.append((callback, method_name, timed_method, former_method))

    def _timed_epoch_method(self, method: Any, kind: PartKind, name: str) -> Any:
        @functools.wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._wall.record(self._wall.after_steps)
            with self._wall.part(kind, name):
                return method(*args, **kwargs)

        return timed

    def _timed_batch_method(self, method: Any, kind: PartKind, name: str) -> Any:
        callback_time, saving_time = (
            self._batch_times.setdefault((what, name), [0, 0, 0.0]) for what in (kind, "checkpoint")
        )
        wall, clock = self._wall, time.time_ns

        @functools.wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            wall.saved = False
            began_ns = clock()
            answer = method(*args, **kwargs)
            self.last_ns = now_ns = clock()
            spent = saving_time if wall.saved else callback_time
            took_ns = now_ns - began_ns
            spent[0] += took_ns
            spent[1] += 1
            spent[2] += (took_ns / NS_PER_S) ** 2
            return answer

        return timed


def _is_default(callback: Any, method_name: str) -> bool:
    """Whether a method is inherited from Keras's base class, where it does nothing."""
    method = getattr(callback, method_name, None)
    return method is None or getattr(method, "__func__", method) is getattr(keras.callbacks.Callback, method_name)
