"""A callback that tells where the wall time of a training goes, and does nothing else."""

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
    """Tells the process's `Phases` what its training does."""

    # Nothing here needs the loss on the host, so Keras need not wait for the device after each step.
    async_safe = True

    def __init__(self) -> None:
        super().__init__()
        self._calls = self._last_ns = 0
        self._times = CallbackTimes(phases())
        self._begins = False
        self._hook: Any = None
        self._first: Any = None
        _tell_who_is_beside()

    @property
    def calls(self) -> int:
        """How many calls of the train function have ended."""
        return self._calls

    @property
    def last_ns(self) -> int:
        """When the last of them ended, the hooks of its batch included."""
        return max(self._last_ns, self._times.last_ns)

    def beside(self, callbacks: list[Any], *, batches: bool) -> None:
        """Begin to time the callbacks of the training; those of a batch where it waits for them."""
        others = [callback for callback in callbacks if not isinstance(callback, Timed)]
        phases().told(lambda: self._times.put_on(others, batches=batches))

    def on_train_begin(self, logs: MutableMapping[str, Any] | None = None) -> None:
        """Put a hook around the train function."""
        self._guarded(self._hook_in)
        self._tell(self._begin, begins=True)

    def on_epoch_begin(self, epoch: int, logs: MutableMapping[str, Any] | None = None) -> None:
        """The iterator starts again."""
        self._tell(phases().epoch_began)
        self._tell(self._first_call_told)

    def on_epoch_end(self, epoch: int, logs: MutableMapping[str, Any] | None = None) -> None:
        """The steps of the epoch are over."""
        self._tell(phases().after_steps)
        self._tell(self._times.settle)

    def on_test_begin(self, logs: MutableMapping[str, Any] | None = None) -> None:
        """The training is validated."""
        self._tell(phases().after_steps)
        self._tell(lambda: phases().clock.to("validation"))

    def on_test_end(self, logs: MutableMapping[str, Any] | None = None) -> None:
        """What follows lies between two epochs again."""
        self._tell(lambda: phases().clock.to("between_epochs", times=0))

    def on_train_end(self, logs: MutableMapping[str, Any] | None = None) -> None:
        """Leave all as it was."""
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
        """Put what counts the calls around the train function."""

        def counted(*given: Any, **named: Any) -> Any:
            answer = function(*given, **named)
            self._calls += 1
            self._last_ns = time.time_ns()
            return answer

        function = self._function()
        if function is not None:
            self._hold(function, counted)

    def _hold(self, function: Any, hook: Any) -> None:
        """Have the training call `hook`, which calls its own `function`."""
        hook.of_training = function
        self._hook, self.model.train_function = hook, hook

    def _first_call_told(self) -> None:
        """Put a hook before the next call alone, which takes itself away: no other call pays for it."""
        hook, model, process = self._hook, self.model, phases()
        if hook is None or model.train_function is not hook:
            return

        @functools.wraps(hook)
        def first(*given: Any, **named: Any) -> Any:
            model.train_function = hook
            process.told(lambda: process.first_call(hook.of_training))
            answer = hook(*given, **named)
            process.told(process.first_call_ended)
            return answer

        self._first, model.train_function = first, first

    def _unhook(self) -> None:
        self._times.take_off()
        # A training may have made its train function anew since.
        if self._hook is not None and self.model.train_function in (self._hook, self._first):
            self.model.train_function = self._hook.of_training
        self._hook = self._first = None

    def _function(self) -> Any:
        """Return the train function as Keras made it: where a training was broken off, a hook is still there."""
        return getattr(self.model.train_function, "of_training", self.model.train_function)

    def _guarded(self, work: Callable[[], Any]) -> None:
        phases().told(work)

    def _tell(self, note: Callable[[], Any], *, begins: bool = False) -> None:
        if phases().ours or begins:
            phases().told(note)


def _tell_who_is_beside() -> None:
    """Have each list of callbacks tell those of ours in it who is beside them, from now on."""
    begin = keras.callbacks.CallbackList.on_train_begin
    if hasattr(begin, "tells_who_is_beside"):
        return

    @functools.wraps(begin)
    def telling(callbacks: Any, *given: Any, **named: Any) -> Any:
        for one in callbacks.callbacks:
            if isinstance(one, Timed):
                # Hooks that Keras hands to another thread keep no step waiting.
                one.beside(callbacks.callbacks, batches=not getattr(callbacks, "_async_train", True))
        return begin(callbacks, *given, **named)

    telling.tells_who_is_beside = True  # type: ignore[attr-defined]
    keras.callbacks.CallbackList.on_train_begin = telling
