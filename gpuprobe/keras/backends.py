"""What each backend of Keras 3 offers for watching a training: traces, step markers, and its settings."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import keras

from gpuprobe.records import Settings

if TYPE_CHECKING:
    from pathlib import Path


class Backend(Protocol):
    """One backend; `no_trace` says why it cannot be traced, None where it can."""

    no_trace: str | None

    def marker(self, step: int) -> AbstractContextManager[Any]:
        """Return what marks one step in a trace, and costs next to nothing outside one."""

    def start_trace(self, folder: Path) -> None:
        """Begin to trace into the folder. Raises what the profiler raises."""

    def stop_trace(self) -> None:
        """Wait for the device, and write the trace. Raises what the profiler raises."""

    def settings(self, model: keras.Model, batch_size: int, feed_dtype: str) -> Settings:
        """Read the effective settings of a compiled model back."""


class TensorFlow:
    """Everything works: XPlane traces with step markers, telemetry, step times."""

    no_trace: str | None = None

    def __init__(self) -> None:
        import tensorflow as tf

        self._tf = tf

    def marker(self, step: int) -> AbstractContextManager[Any]:
        """Mark a step as XProf reads it: an event with `_r=1`; Keras itself marks none."""
        return self._tf.profiler.experimental.Trace("train", step_num=step, _r=1)  # type: ignore[no-any-return]

    def start_trace(self, folder: Path) -> None:
        """Start TensorFlow's profiler."""
        self._tf.profiler.experimental.start(str(folder))

    def stop_trace(self) -> None:
        """Wait for the device, so that the last step's kernels are there, and write the trace."""
        self._tf.test.experimental.sync_devices()
        self._tf.profiler.experimental.stop()

    def settings(self, model: keras.Model, batch_size: int, feed_dtype: str) -> Settings:
        """Read the settings as a run does."""
        from gpuprobe.measure.machine import settings

        return settings(model, batch_size, feed_dtype)


class Jax:
    """JAX's own profiler writes XPlane too, with step markers of its own."""

    no_trace: str | None = None

    def __init__(self) -> None:
        import jax

        self._jax = jax

    def marker(self, step: int) -> AbstractContextManager[Any]:
        """Mark a step as XProf reads it."""
        return self._jax.profiler.StepTraceAnnotation("train", step_num=step)  # type: ignore[no-any-return]

    def start_trace(self, folder: Path) -> None:
        """Start JAX's profiler."""
        self._jax.profiler.start_trace(str(folder))

    def stop_trace(self) -> None:
        """Write the trace. JAX runs ahead of the host, so the last step may be cut short."""
        self._jax.profiler.stop_trace()

    def settings(self, model: keras.Model, batch_size: int, feed_dtype: str) -> Settings:
        """Read what Keras knows."""
        return _keras_settings(model, batch_size, feed_dtype, str(self._jax.devices()[0]))


class Other:
    """PyTorch and what may come: telemetry and step times, but no trace."""

    def __init__(self, name: str) -> None:
        self.no_trace: str | None = f"Keras trains with {name} here, whose profiler writes no XPlane trace"
        self._name = name

    def marker(self, step: int) -> AbstractContextManager[Any]:
        """Mark nothing."""
        return nullcontext()

    def start_trace(self, folder: Path) -> None:
        """Refuse: `no_trace` was to be asked before."""
        raise NotImplementedError(self.no_trace)

    def stop_trace(self) -> None:
        """Refuse: `no_trace` was to be asked before."""
        raise NotImplementedError(self.no_trace)

    def settings(self, model: keras.Model, batch_size: int, feed_dtype: str) -> Settings:
        """Read what Keras knows."""
        return _keras_settings(model, batch_size, feed_dtype, self._name)


def backend() -> Backend:
    """Return the backend that Keras trains with in this process."""
    name = keras.backend.backend()
    if name == "tensorflow":
        return TensorFlow()
    return Jax() if name == "jax" else Other(name)


def _keras_settings(model: keras.Model, batch_size: int, feed_dtype: str, device: str) -> Settings:
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Settings(
        device=device,
        dtype_policy=model.dtype_policy.name,
        compute_dtype=model.dtype_policy.compute_dtype,
        jit_compile=bool(model.jit_compile),
        batch_size=batch_size,
        feed_dtype=feed_dtype,
        steps_per_execution=int(model.steps_per_execution),
        optimizer=type(model.optimizer).__name__,
        intra_op_threads=threads,
        inter_op_threads=threads,
        onednn=None,
        tf32=None,
        run_eagerly=bool(model.run_eagerly),
    )
