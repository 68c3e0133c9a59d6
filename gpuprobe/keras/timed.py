"""A callback that records the parts of a training's wall time, and does nothing else."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

import keras

from gpuprobe.keras.callback_times import CallbackTimes
from gpuprobe.keras.process_wall import process_wall

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping


class TimedCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports what a `fit` does, phase by phase, to the `ProcessWall` of the process."""

    # Nothing here needs the loss on the host, so Keras need not wait for the device after each step.
    async_safe = True

    def __init__(self) -> None:
        super().__init__()
        self._calls = self._last_ns = 0
        self._times = CallbackTimes(process_wall())
        self._began_training = False
        self._wrapper: Any = None
        self._first_call_wrapper: Any = None
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
        callbacks_to_time = [callback for callback in callbacks if not isinstance(callback, TimedCallback)]
        process_wall().record(lambda: self._times.wrap(callbacks_to_time, batches=batches))

    def on_train_begin(self, logs: MutableMapping[str, Any] | None = None) -> None:
        """Wrap the train function."""
        self._guarded(self._hook_in)
        self._tell(self._begin, begins=True)

    def on_epoch_begin(self, epoch: int, logs: MutableMapping[str, Any] | None = None) -> None:
        """Note that an epoch began."""
        self._tell(process_wall().epoch_began)
        self._tell(self._time_first_call)

    def on_epoch_end(self, epoch: int, logs: MutableMapping[str, Any] | None = None) -> None:
        """Note that the steps of the epoch are over."""
        self._tell(process_wall().after_steps)
        self._tell(self._times.settle)

    def on_test_begin(self, logs: MutableMapping[str, Any] | None = None) -> None:
        """Note that validation began."""
        self._tell(process_wall().after_steps)
        self._tell(lambda: process_wall().clock.begin("validation"))

    def on_test_end(self, logs: MutableMapping[str, Any] | None = None) -> None:
        """Note that validation ended."""
        self._tell(lambda: process_wall().clock.begin("between_epochs", times=0))

    def on_train_end(self, logs: MutableMapping[str, Any] | None = None) -> None:
        """Restore the train function and the callbacks."""
        self._tell(self._end)
        self._guarded(self._unhook)

    def _begin(self) -> None:
        wall = process_wall()
        self._began_training = wall.training_began(self, self._times.settle)
        wall.steps_per_call = int(self.model.steps_per_execution)

    def _end(self) -> None:
        wall = process_wall()
        wall.after_steps()
        self._times.settle()
        wall.training_ended() if self._began_training else wall.clock.begin("fit", times=0)

    def _hook_in(self) -> None:
        """Wrap the train function in one that counts its calls."""

        def counting_train_function(*args: Any, **kwargs: Any) -> Any:
            answer = train_function(*args, **kwargs)
            self._calls += 1
            self._last_ns = time.time_ns()
            return answer

        train_function = self._original_train_function()
        if train_function is not None:
            self._install(train_function, counting_train_function)

    def _install(self, train_function: Any, wrapper: Any) -> None:
        """Replace the train function by `wrapper`, which remembers the original."""
        wrapper.wrapped_train_function = train_function
        self._wrapper, self.model.train_function = wrapper, wrapper

    def _time_first_call(self) -> None:
        """Wrap the next call only, to time an epoch's first call.

        The wrapper removes itself, so later calls are not slowed.
        """
        wrapper, model, wall = self._wrapper, self.model, process_wall()
        if wrapper is None or model.train_function is not wrapper:
            return

        @functools.wraps(wrapper)
        def timed_first_call(*args: Any, **kwargs: Any) -> Any:
            model.train_function = wrapper
            wall.record(lambda: wall.first_call(wrapper.wrapped_train_function))
            answer = wrapper(*args, **kwargs)
            wall.record(wall.first_call_ended)
            return answer

        self._first_call_wrapper, model.train_function = timed_first_call, timed_first_call

    def _unhook(self) -> None:
        self._times.unwrap()
        # The training may have made a new train function since.
        if self._wrapper is not None and self.model.train_function in (self._wrapper, self._first_call_wrapper):
            self.model.train_function = self._wrapper.wrapped_train_function
        self._wrapper = self._first_call_wrapper = None

    def _original_train_function(self) -> Any:
        """Return the original train function: an aborted training leaves its wrapper in place."""
        return getattr(self.model.train_function, "wrapped_train_function", self.model.train_function)

    def _guarded(self, work: Callable[[], Any]) -> None:
        process_wall().record(work)

    def _tell(self, note: Callable[[], Any], *, begins: bool = False) -> None:
        if process_wall().is_recorded_thread or begins:
            process_wall().record(note)


def _pass_callbacks_to_timed() -> None:
    """Patch Keras's callback list to pass all its callbacks to each `TimedCallback` in it."""
    on_train_begin = keras.callbacks.CallbackList.on_train_begin
    if hasattr(on_train_begin, "passes_to_timed"):
        return

    @functools.wraps(on_train_begin)
    def pass_and_begin(callback_list: Any, *args: Any, **kwargs: Any) -> Any:
        for callback in callback_list.callbacks:
            if isinstance(callback, TimedCallback):
                # Batch methods that Keras runs on another thread do not delay a step.
                callback.time_callbacks(
                    callback_list.callbacks, batches=not getattr(callback_list, "_async_train", True)
                )
        return on_train_begin(callback_list, *args, **kwargs)

    pass_and_begin.passes_to_timed = True  # type: ignore[attr-defined]
    keras.callbacks.CallbackList.on_train_begin = pass_and_begin
