"""The Probe that `gpuprobe watch --trace` adds to a script. Several short trainings become one recording."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from gpuprobe.keras.callback import Probe
from gpuprobe.keras.timed import TimedCallback
from gpuprobe.keras.watch_phases import FEWEST_CALLS
from gpuprobe.keras.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from gpuprobe.keras.options import ProbeOptions


class AttachedProbe(Probe):
    """A silent Probe. After a short training (up to 8 calls) the recording stays open for the next short one.

    A script that calls `fit` in a loop, for one step each, would otherwise have no training long enough to time or to
    trace. `options` returns the options of the next recording, or None once there are enough: further trainings are
    not recorded, but their wall time is still taken.
    """

    waiting: ClassVar[AttachedProbe | None] = None

    def __init__(self, options: Callable[[], ProbeOptions | None], batch_size: int | None = None) -> None:
        super().__init__(batch_size=batch_size, discreet=True)
        self._options = options
        self._waits = False
        self._calls_before = 0

    @classmethod
    def next(cls, options: Callable[[], ProbeOptions | None], batch_size: int | None = None) -> AttachedProbe:
        """Return the Probe whose recording is still open, else a new one."""
        open_probe, cls.waiting = cls.waiting, None
        if open_probe is None:
            return cls(options, batch_size)
        open_probe._batch_size = batch_size
        return open_probe

    def on_train_begin(self, logs: MutableMapping[str, Any] | None = None) -> None:
        """Continue the open recording, or begin one."""
        was_waiting, self._waits = self._waits, False
        if was_waiting and self._is_short():
            self._watcher.resume()
            self._watcher.with_session(lambda session: session.join_short_training(), None)
            self._calls_before = self.calls
            TimedCallback.on_train_begin(self, logs)
            return
        if was_waiting:
            self._watcher.end()
        self._calls_before = 0
        self._watcher.guarded(self._renew)
        super().on_train_begin(logs)

    def on_train_end(self, logs: MutableMapping[str, Any] | None = None) -> None:
        """Save the recording; after a short training keep it open for the next one."""
        if self._watcher.session is None or self.calls - self._calls_before > FEWEST_CALLS:
            super().on_train_end(logs)
            return
        TimedCallback.on_train_end(self, logs)
        self._watcher.pause()
        self._waits = True
        AttachedProbe.waiting = self

    def _renew(self) -> None:
        self._records = False
        options = self._options()
        if options is not None:
            self._watcher, self._records = Watcher(options, verbose=False, diagnoses=False), True

    def _is_short(self) -> bool:
        """Whether this training is known to make at most 8 calls of the train function."""
        calls = math.ceil((self.params.get("steps") or 0) / int(self.model.steps_per_execution))
        return 0 < calls * (self.params.get("epochs") or 0) <= FEWEST_CALLS
