"""A callback that records where the wall time of a training goes, and does nothing else."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

import keras

from gpuprobe.keras.callback_times import CallbackTimes
from gpuprobe.keras.phases import phases

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping


class Timed(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports the course of a `fit` to the `Phases` of the process."""

    # Nothing here needs the loss on the host, so Keras need not wait for the device after each step.
    async_safe = True

    def __init__(self) -> None:
        super().__init__()
        self._calls = self._last_ns = 0
        self._times = CallbackTimes(phases())
        self._begins = False
        self._hook: Any = None
        self._first: Any = None
        _pass_callbacks_to_timed()

    @property
    def calls(self) -> int:
        """How many calls of the train function have ended."""
        return self._calls

    @property
    def last_ns(self) -> int:
        """When the last call ended, its batch callbacks included (Unix ns)."""
        return max(self._last_ns, self._times.last_ns)

    def time_callbacks(self, callbacks: list[Any], *, batches: bool) -> None:
        """Begin to time the training's callbacks; their batch methods only if it waits for them (`batches`)."""
        others = [callback for callback in callbacks if not isinstance(callback, Timed)]
        phases().told(lambda: self._times.wrap(others, batches=batches))

    def on_train_begin(self, logs: MutableMapping[str, Any] | None = None) -> None:
        """Wrap the train function."""
        self._guarded(self._hook_in)
        self._tell(self._begin, begins=True)

    def on_epoch_begin(self, epoch: int, logs: MutableMapping[str, Any] | None = None) -> None:
        """Note that an epoch began."""
        self._tell(phases().epoch_began)
        self._tell(self._time_first_call)

    def on_epoch_end(self, epoch: int, logs: MutableMapping[str, Any] | None = None) -> None:
        """Note that the steps of the epoch are over."""
        self._tell(phases().after_steps)
        self._tell(self._times.settle)

    def on_test_begin(self, logs: MutableMapping[str, Any] | None = None) -> None:
        """Note that validation began."""
        self._tell(phases().after_steps)
        self._tell(lambda: phases().clock.to("validation"))

    def on_test_end(self, logs: MutableMapping[str, Any] | None = None) -> None:
        """Note that validation ended."""
        self._tell(lambda: phases().clock.to("between_epochs", times=0))

    def on_train_end(self, logs: MutableMapping[str, Any] | None = None) -> None:
        """Restore the train function and the callbacks."""
        self._tell(self._end)
        self._guarded(self._unhook)

    def _begin(self) -> None:
        process = phases()
        self._begins = process.training_began(self, self._times.settle)
        process.steps_per_call = int(self.model.steps_per_execution)

    def _end(self) -> None:
        process = phases()
        process.after_steps()
        self._times.settle()
        process.training_ended() if self._begins else process.clock.to("fit", times=0)

    def _hook_in(self) -> None:
        """Wrap the train function in one that counts its calls."""

        def counted(*args: Any, **kwargs: Any) -> Any:
            answer = function(*args, **kwargs)
            self._calls += 1
            self._last_ns = time.time_ns()
            return answer

        function = self._function()
        if function is not None:
            self._install(function, counted)

    def _install(self, function: Any, hook: Any) -> None:
        """Replace the train function by `hook`, which remembers the original."""
        hook.of_training = function
        self._hook, self.model.train_function = hook, hook

    def _time_first_call(self) -> None:
        """Wrap the next call only, to time an epoch's first call.

        The wrapper removes itself, so later calls are not slowed.
        """
        hook, model, process = self._hook, self.model, phases()
        if hook is None or model.train_function is not hook:
            return

        @functools.wraps(hook)
        def first(*args: Any, **kwargs: Any) -> Any:
            model.train_function = hook
            process.told(lambda: process.first_call(hook.of_training))
            answer = hook(*args, **kwargs)
            process.told(process.first_call_ended)
            return answer

        self._first, model.train_function = first, first

    def _unhook(self) -> None:
        self._times.unwrap()
        # The training may have made a new train function since.
        if self._hook is not None and self.model.train_function in (self._hook, self._first):
            self.model.train_function = self._hook.of_training
        self._hook = self._first = None

    def _function(self) -> Any:
        """Return the original train function: an aborted training leaves its wrapper in place."""
        return getattr(self.model.train_function, "of_training", self.model.train_function)

    def _guarded(self, work: Callable[[], Any]) -> None:
        phases().told(work)

    def _tell(self, note: Callable[[], Any], *, begins: bool = False) -> None:
        if phases().ours or begins:
            phases().told(note)


def _pass_callbacks_to_timed() -> None:
    """Patch Keras's callback list to pass all its callbacks to each `Timed` in it."""
    begin = keras.callbacks.CallbackList.on_train_begin
    if hasattr(begin, "passes_to_timed"):
        return

    @functools.wraps(begin)
    def passing(callbacks: Any, *args: Any, **kwargs: Any) -> Any:
        for callback in callbacks.callbacks:
            if isinstance(callback, Timed):
                # Batch methods that Keras runs on another thread do not delay a step.
                callback.time_callbacks(callbacks.callbacks, batches=not getattr(callbacks, "_async_train", True))
        return begin(callbacks, *args, **kwargs)

    passing.passes_to_timed = True  # type: ignore[attr-defined]
    keras.callbacks.CallbackList.on_train_begin = passing
