"""The callback: `model.fit(..., callbacks=[gpuprobe.keras.Probe()])`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import keras

from gpuprobe.backends.read_back import samples_of_epoch
from gpuprobe.keras.fit_arguments import read_fit_arguments
from gpuprobe.keras.options import ProbeOptions
from gpuprobe.keras.scalars import Scalars
from gpuprobe.keras.timed import TimedCallback
from gpuprobe.keras.watcher import Watcher

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, MutableMapping

    from gpuprobe.keras.session import ProbeSession

# Raised by the train function where data of unknown length ends; Keras catches it.
ENDS_OF_DATA = {"StopIteration", "OutOfRangeError"}


class Probe(TimedCallback):
    """Watches a training: throughput and GPU utilization in its logs, a short trace, a verdict, and a recording.

    `out` is the folder for recordings. `trace_steps` calls of the train function are traced (0: none) after warm-up, or
    from call `trace_at` on (counted from 1), or when the process gets SIGUSR2 (`gpuprobe capture --pid`). `batch_size`
    is needed only where it cannot be read, as with a custom train step over batches of unknown size. `tensorboard` is a
    log folder for scalars. The training's logs gain `samples_per_s` (whole batches) and, with an NVIDIA GPU,
    `gpu_utilization` (0 to 1, by NVML), also for callbacks listed after this one. With `discreet` it adds nothing to
    the logs, prints nothing and makes no diagnosis: `gpuprobe watch --trace` reads the recording later.
    """

    def __init__(
        self,
        out: str | os.PathLike[str] = "reports",
        *,
        name: str = "fit",
        trace_steps: int = 5,
        trace_at: int | None = None,
        batch_size: int | None = None,
        tensorboard: str | os.PathLike[str] | None = None,
        verbose: bool = True,
        discreet: bool = False,
    ) -> None:
        super().__init__()
        options = ProbeOptions(name=name, out=out, trace_steps=trace_steps, trace_at=trace_at)
        self._watcher = Watcher(options, verbose=verbose and not discreet, diagnoses=not discreet)
        self._discreet = discreet
        self._records = True
        self._batch_size = batch_size
        self._scalars = Scalars(tensorboard) if tensorboard is not None else None
        # Whether Keras's sample count of an epoch is still to be read.
        self._counts = False

    @property
    def calls(self) -> int:
        """How many calls of the train function have ended."""
        session = self._watcher.session
        return super().calls if session is None else session.calls

    @property
    def last_ns(self) -> int:
        """When the last call ended, its batch callbacks included (Unix ns)."""
        session = self._watcher.session
        return super().last_ns if session is None else max(session.last_ns, super().last_ns)

    def on_train_begin(self, logs: MutableMapping[str, Any] | None = None) -> None:
        """Begin a recording, and wrap the train function to time it and to mark each step in the trace."""
        # An aborted training leaves its wrapper in place, and in a notebook its telemetry sampler runs on.
        abort_former = getattr(self.model.train_function, "abort_recording", None)
        if abort_former is not None:
            abort_former("another training of the model began")
        if self._records:
            self._watcher.begin()
        super().on_train_begin(logs)
        self._watcher.with_session(lambda session: session.training_began(), None)

    def on_epoch_begin(self, epoch: int, logs: MutableMapping[str, Any] | None = None) -> None:
        """Begin the epoch's figures."""
        super().on_epoch_begin(epoch, logs)
        last = epoch + 1 == self.params.get("epochs")
        self._watcher.with_session(lambda session: session.epoch_began(last=last), None)

    def on_train_batch_end(self, batch: int, logs: MutableMapping[str, Any] | None = None) -> None:
        """Add the latest figures to the logs, for the progress bar; they are renewed twice a second."""
        if logs is not None and not self._discreet and (session := self._watcher.session) is not None:
            logs.update(session.figures)

    def on_test_begin(self, logs: MutableMapping[str, Any] | None = None) -> None:
        """Read the epoch's sample count before validation resets it."""
        super().on_test_begin(logs)
        self._watcher.with_session(self._count, None)

    def on_epoch_end(self, epoch: int, logs: MutableMapping[str, Any] | None = None) -> None:
        """Add the figures of the epoch to the logs, and so to the history."""

        def end_epoch(session: ProbeSession) -> None:
            session.epoch_ended()
            self._count(session)
            if logs is not None and not self._discreet:
                logs.update(session.figures)
            if self._scalars is not None:
                self._scalars.write(session.figures, epoch)

        super().on_epoch_end(epoch, logs)
        self._watcher.with_session(end_epoch, None)

    def on_train_end(self, logs: MutableMapping[str, Any] | None = None) -> None:
        """Restore the train function, save the recording, and print the verdict."""
        super().on_train_end(logs)
        self._watcher.end()

    def _guarded(self, work: Callable[[], Any]) -> None:
        self._watcher.guarded(work)

    def _hook_in(self) -> None:
        watcher, session, train_function = self._watcher, self._watcher.session, self._original_train_function()
        if session is None or train_function is None:
            super()._hook_in()
            return

        def watched_train_function(*args: Any, **kwargs: Any) -> Any:
            try:
                answer = watcher.timed_call(train_function, *args, **kwargs)
            except BaseException as error:
                if type(error).__name__ not in ENDS_OF_DATA:
                    abort(type(error).__name__)
                raise
            if session.calls == 1:
                watcher.guarded(lambda: self._describe(session, args[-1], answer))
            return answer

        def abort(why: str) -> None:
            if watcher.session is session:
                watcher.end("interrupted", why)

        watched_train_function.abort_recording = abort  # type: ignore[attr-defined]
        self._install(train_function, watched_train_function)

    def _describe(self, session: ProbeSession, iterator: Any, answer: Any) -> None:
        """Save what is known after the first call: the settings, the arguments of `fit`, and the steps of an epoch."""
        steps_per_call = int(self.model.steps_per_execution)
        spec = getattr(iterator, "element_spec", None)
        specs = keras.tree.flatten(spec) if spec is not None else []
        samples_counted = (
            session.backend.samples_counted(self.model, answer) // steps_per_call if _keras_counts(self.model) else 0
        )
        batch_size = self._batch_size or samples_counted or _first_size(specs)
        # The per-replica values of a distribution strategy have no dtype of their own.
        dtype = getattr(getattr(specs[0], "dtype", None), "name", "unknown") if specs else "unknown"
        session.samples_per_call = batch_size * steps_per_call
        steps_per_epoch = self.params.get("steps") or 0
        session.expect_calls(math.ceil(steps_per_epoch / steps_per_call), self.params.get("epochs") or 0)
        session.save_settings(session.backend.settings(self.model, batch_size, dtype), steps_per_epoch)
        session.save_arguments(read_fit_arguments(self.model, specs, TimedCallback))
        self._counts = samples_counted > 0

    def _count(self, session: ProbeSession) -> None:
        """Save how many samples the first epoch had, since its last batch may be smaller."""
        if self._counts:
            self._counts = False
            session.save_samples_of_epoch(samples_of_epoch(self.model))


def _keras_counts(model: keras.Model) -> bool:
    """Whether the model has Keras's own train step, which counts samples: a custom one may count a step as one."""
    return type(model).train_step is keras.Model.train_step


def _first_size(specs: list[Any]) -> int:
    shape = getattr(specs[0], "shape", None) if specs else None
    return int(shape[0]) if shape is not None and len(shape) and shape[0] else 0
