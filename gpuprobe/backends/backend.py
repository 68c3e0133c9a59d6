"""The interface of a backend, and the one with which this process trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import keras

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from gpuprobe.records import GraphLoop, Settings


class Backend(Protocol):
    """A backend of Keras; `no_trace` is why it cannot be traced, None where it can.

    If `returns_early`, a call returns before its step is computed, on a processor too. `answer` is what a call of
    Keras's train function returned, still on the device.
    """

    no_trace: str | None
    returns_early: bool

    def compute_capability(self) -> float | None:
        """Return the compute capability of the first GPU (8.0, ...), 0.0 where it is not told, None without a GPU.

        TensorFlow is told to allocate GPU memory only as needed.
        """

    def free_gpu_bytes(self) -> int:
        """Return the bytes of the first GPU's memory that the backend may use."""

    def device_peak_mib(self) -> float | None:
        """Return the peak memory of its allocator on the first GPU in MiB, None without a GPU."""

    def wait(self, answer: Any) -> None:
        """Wait until the device has finished all its work, of which `answer` is the last result."""

    def running_loss(self, answer: Any) -> Any:
        """Return the running mean of the loss, still on the device, None where the answer has none."""

    def note_batches(self, model: keras.Model, note: Callable[[Any], None]) -> None:
        """Have `note` called with the data of a step, at least while the step is traced."""

    def named(self, name: str) -> AbstractContextManager[Any]:
        """Return a context manager that names the block in a trace; it costs nearly nothing without a trace."""

    def marker(self, step: int) -> AbstractContextManager[Any]:
        """Return a context manager that marks one step in a trace; it costs nearly nothing without a trace."""

    def start_trace(self, folder: Path, give_way: Callable[[], None]) -> None:
        """Begin to trace into the folder; `give_way` is called when the training itself starts the profiler.

        `give_way` has to stop the trace. Raises the profiler's errors, for example if the training uses it already.
        """

    def stop_trace(self) -> None:
        """Wait for the device, and write the trace. Raises the profiler's errors."""

    def finish(self, answer: Any) -> None:
        """Wait for the result of a traced call, where its marker would else end before the step is computed."""

    def samples_counted(self, model: keras.Model, answer: Any) -> int:
        """Return on how many samples the first call of the train function trained, by the running loss's count.

        `answer` is what that call returned. 0 where samples are not counted.
        """

    def step_flop(self, train_step: Callable[..., Any], model: keras.Model, data: Any) -> float | None:
        """Return the floating-point operations of one call of the model's `train_step`, a multiply-add as two.

        `data` is what `note_batches` noted, or its outline. None where the backend cannot count, which a count of zero
        means too. The model must not be trained afterwards.
        """

    def settings(self, model: keras.Model, batch_size: int, feed_dtype: str) -> Settings:
        """Return the effective settings of a compiled model."""

    def loops(self) -> tuple[GraphLoop, ...] | None:
        """Return the loops in the graphs of the steps so far; None where the backend does not show its graphs."""

    def compiled_in_part(self) -> str:
        """Say that the first call left some of the step uncompiled, though it was to be compiled; else empty."""


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
