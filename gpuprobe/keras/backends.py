"""What each backend of Keras 3 offers for watching a training: traces, step markers, and its settings."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import keras

from gpuprobe.keras.giving_way import stand_before
from gpuprobe.records import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EXACT_IN_FLOAT32 = 2**24


class Backend(Protocol):
    """One backend; `no_trace` says why it cannot be traced, None where it can."""

    no_trace: str | None

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

    def settings(self, model: keras.Model, batch_size: int, feed_dtype: str) -> Settings:
        """Read the effective settings of a compiled model back."""


class TensorFlow:
    """Everything works: XPlane traces with step markers, telemetry, step times."""

    no_trace: str | None = None

    def __init__(self) -> None:
        import tensorflow as tf

        self._tf = tf
        self._alone: Callable[[], None] = _nothing

    def marker(self, step: int) -> AbstractContextManager[Any]:
        """Mark a step as XProf reads it: an event with `_r=1`; Keras itself marks none."""
        return self._tf.profiler.experimental.Trace("train", step_num=step, _r=1)  # type: ignore[no-any-return]

    def start_trace(self, folder: Path, give_way: Callable[[], None]) -> None:
        """Start TensorFlow's profiler."""
        self._tf.profiler.experimental.start(str(folder))
        self._alone = stand_before(self._tf.profiler.experimental, "start", give_way)

    def stop_trace(self) -> None:
        """Wait for the device, so that the last step's kernels are there, and write the trace."""
        self._alone()
        self._wait_for_devices()
        self._tf.profiler.experimental.stop()

    def _wait_for_devices(self) -> None:
        """Wait for what this process's GPUs were given.

        Not with `sync_devices`, which asks the other workers of a cluster too and fails there (`Haven't set up remote
        eager worker ... [Op:SyncDevice]`): a device does its work in order, so that a result read back is the last.
        """
        for device in self._tf.config.list_logical_devices("GPU"):
            name = self._tf.DeviceSpec.from_string(device.name)
            with self._tf.device(f"/device:GPU:{name.device_index}"):
                self._tf.ones(()).numpy()

    def finish(self, answer: Any) -> None:
        """Go on: on a GPU the trace tells whose kernels are whose, and on a processor the call has waited."""

    def samples_counted(self, model: keras.Model, answer: Any) -> int:
        """Ask the running loss."""
        return _as_number(_loss_count(model))

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
        self._alone: Callable[[], None] = _nothing

    def marker(self, step: int) -> AbstractContextManager[Any]:
        """Mark a step as XProf reads it."""
        return self._jax.profiler.StepTraceAnnotation("train", step_num=step)  # type: ignore[no-any-return]

    def start_trace(self, folder: Path, give_way: Callable[[], None]) -> None:
        """Start JAX's profiler, without the calls of Python where it can be asked: they slow the steps down."""
        profiler, named = self._jax.profiler, {}
        if hasattr(profiler, "ProfileOptions"):
            named["profiler_options"] = profiler.ProfileOptions()
            named["profiler_options"].python_tracer_level = 0
        profiler.start_trace(str(folder), **named)
        self._alone = stand_before(profiler, "start_trace", give_way)

    def stop_trace(self) -> None:
        """Write the trace: each of its steps has been waited for."""
        self._alone()
        self._jax.profiler.stop_trace()

    def finish(self, answer: Any) -> None:
        """Wait: JAX hands a step over and returns, so that its marker would cover none of its work."""
        self._jax.block_until_ready(answer)

    def samples_counted(self, model: keras.Model, answer: Any) -> int:
        """Ask the running loss, whose value is in the call's answer: the variables are empty between epochs' ends."""
        count = _loss_count(model)
        metrics = answer[1][3] if count is not None else ()
        places = [place for place, variable in enumerate(model.metrics_variables) if variable is count]
        return _as_number(metrics[places[0]]) if places else 0

    def settings(self, model: keras.Model, batch_size: int, feed_dtype: str) -> Settings:
        """Read what Keras knows."""
        return _keras_settings(model, batch_size, feed_dtype, str(self._jax.devices()[0]))


class Other:
    """PyTorch and what may come: telemetry and step times, but no trace."""

    def __init__(self, name: str) -> None:
        self.no_trace: str | None = (
            f"Keras trains with {name} here, whose profiler writes no XPlane trace; "
            "step times and telemetry are measured"
        )
        self._name = name

    def marker(self, step: int) -> AbstractContextManager[Any]:
        """Mark nothing."""
        return nullcontext()

    def start_trace(self, folder: Path, give_way: Callable[[], None]) -> None:
        """Refuse: `no_trace` was to be asked before."""
        raise NotImplementedError(self.no_trace)

    def stop_trace(self) -> None:
        """Refuse: `no_trace` was to be asked before."""
        raise NotImplementedError(self.no_trace)

    def finish(self, answer: Any) -> None:
        """Go on: nothing is traced."""

    def samples_counted(self, model: keras.Model, answer: Any) -> int:
        """Ask the running loss."""
        return _as_number(_loss_count(model))

    def settings(self, model: keras.Model, batch_size: int, feed_dtype: str) -> Settings:
        """Read what Keras knows, and on which device the weights lie."""
        places = [str(variable.value.device) for variable in model.variables[:1] if hasattr(variable.value, "device")]
        return _keras_settings(model, batch_size, feed_dtype, (places or [self._name])[0])


def backend() -> Backend:
    """Return the backend that Keras trains with in this process."""
    name = keras.backend.backend()
    if name == "tensorflow":
        return TensorFlow()
    return Jax() if name == "jax" else Other(name)


def samples_of_epoch(model: keras.Model) -> int:
    """Read how many samples the running loss is of, at an epoch's end, when every backend has it; 0 where unknown.

    It is counted in float32, which holds no larger number exactly.
    """
    counted = _as_number(_loss_count(model))
    return counted if counted < EXACT_IN_FLOAT32 else 0


def _nothing() -> None:
    """No trace runs."""


def _loss_count(model: keras.Model) -> Any:
    """Return the variable of Keras's running loss that holds how many samples it is of, or None."""
    return next((one.count for one in model.metrics if one.name == "loss" and hasattr(one, "count")), None)


def _as_number(count: Any) -> int:
    return int(float(keras.ops.convert_to_numpy(count))) if count is not None else 0


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
