"""What a backend offers, and which one this process trains with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import keras

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from gpuprobe.records import Settings


class Backend(Protocol):
    """One backend; `no_trace` says why it cannot be traced, None where it can.

    One that `returns_early` hands a step over and goes on before it is computed, on a processor too.
    `answer` is what a call of Keras's train function returned, as it is on the device.
    """

    no_trace: str | None
    returns_early: bool

    def compute_capability(self) -> float | None:
        """Return that of the first GPU it trains on (8.0, ...), None without one; memory is to be taken as needed."""

    def free_gpu_bytes(self) -> int:
        """Return how much memory of the first GPU can be had."""

    def device_peak_mib(self) -> float | None:
        """Return the most that its allocator had given out on the first GPU, None without one."""

    def wait(self, answer: Any) -> None:
        """Wait until the device has done all that it was given, of which `answer` is the last."""

    def running_loss(self, answer: Any) -> Any:
        """Return the running mean of the loss as it is on the device, None where the answer has none."""

    def note_batches(self, model: keras.Model, note: Callable[[Any], None]) -> None:
        """Have `note` called with the data of a step, at least when its step is made."""

    def named(self, name: str) -> AbstractContextManager[Any]:
        """Return what gives a stretch of the host's time a name in a trace, and costs next to nothing outside one."""

    def marker(self, step: int) -> AbstractContextManager[Any]:
        """Return what marks one step in a trace, and costs next to nothing outside one."""

    def start_trace(self, folder: Path, give_way: Callable[[], None]) -> None:
        """Begin to trace into the folder; `give_way` is called where the training starts the profiler meanwhile.

        It has to stop the trace. Raises what the profiler raises, as where the training runs it already.
        """

    def stop_trace(self) -> None:
        """Wait for the device, and write the trace. Raises what the profiler raises."""

    def finish(self, answer: Any) -> None:
        """Wait for what a traced call returned, where a step would else be over before it was computed."""

    def samples_counted(self, model: keras.Model, answer: Any) -> int:
        """Read how many samples the first call trained on, whose answer is given; 0 where nobody counts."""

    def step_flop(self, train_step: Callable[..., Any], model: keras.Model, data: Any) -> float | None:
        """Count the floating-point operations of one call of the model's `train_step`, a multiply-add as two.

        `data` is what `note_batches` noted, or the outline of it. None where the backend counts none: a zero is a count
        that is missing, never an amount of work. The model is not to be trained on afterwards.
        """

    def settings(self, model: keras.Model, batch_size: int, feed_dtype: str) -> Settings:
        """Read the effective settings of a compiled model back."""


def current() -> Backend:
    """Return the backend that Keras trains with in this process."""
    name = keras.backend.backend()
    if name == "tensorflow":
        from gpuprobe.backends.with_tensorflow import TensorFlow

        return TensorFlow()
    if name == "jax":
        from gpuprobe.backends.with_jax import Jax

        return Jax()
    if name == "torch":
        from gpuprobe.backends.with_torch import Torch

        return Torch()
    from gpuprobe.backends.unknown import Unknown

    return Unknown(name)
