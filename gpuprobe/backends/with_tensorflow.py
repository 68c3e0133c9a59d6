"""Keras with TensorFlow."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from gpuprobe.backends.freed_events import destructor_calls, kept_events
from gpuprobe.backends.giving_way import stand_before
from gpuprobe.backends.read_back import as_number, loss_count, note_in_step, nothing, settings_of
from gpuprobe.telemetry.matching import cuda_bus_ids
from gpuprobe.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    import keras

    from gpuprobe.records import GraphLoop, Settings

# What TensorFlow calls the task of a process that trains alone, where it names it at all.
ALONE = "localhost"


class TensorFlow:
    """The TensorFlow backend: XPlane traces with step markers, and settings from TensorFlow itself."""

    no_trace: str | None = None
    returns_early = False

    def __init__(self) -> None:
        self._alone: Callable[[], None] = nothing

    def compute_capability(self) -> float | None:
        """Let the GPUs' memory grow, so that its peak is meaningful; return the first GPU's compute capability."""
        gpus = tf.config.list_physical_devices("GPU")
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
        if not gpus:
            return None
        major, minor = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        return float(f"{major}.{minor}")

    def free_gpu_bytes(self) -> int:
        """Return TensorFlow's memory limit."""
        from tensorflow.python.client import device_lib

        limits = [device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU"]
        return int(limits[0])

    def device_peak_mib(self) -> float | None:
        """Return the peak of TensorFlow's allocator."""
        if not tf.config.list_logical_devices("GPU"):
            return None
        return float(tf.config.experimental.get_memory_info("GPU:0")["peak"]) / MIB

    def wait(self, answer: Any) -> None:
        """Wait for all devices."""
        tf.test.experimental.sync_devices()

    def running_loss(self, answer: Any) -> Any:
        """Return it from the logs; a custom train step may return only other metrics."""
        return answer.get("loss")

    def note_batches(self, model: keras.Model, note: Callable[[Any], None]) -> None:
        """Note the data of a step while its graph is built."""
        note_in_step(model, note)

    def named(self, name: str) -> AbstractContextManager[Any]:
        """Name a block in the trace."""
        return tf.profiler.experimental.Trace(name)  # type: ignore[no-any-return]

    def marker(self, step: int) -> AbstractContextManager[Any]:
        """Mark a step in XProf's format, an event with `_r=1`; Keras itself marks none."""
        return tf.profiler.experimental.Trace("train", step_num=step, _r=1)  # type: ignore[no-any-return]

    def start_trace(self, folder: Path, give_way: Callable[[], None]) -> None:
        """Start TensorFlow's profiler; among other workers only where it can be kept from crashing this one."""
        if in_cluster():
            destructor_calls()
        tf.profiler.experimental.start(str(folder))
        self._alone = stand_before(tf.profiler.experimental, "start", give_way)

    def stop_trace(self) -> None:
        """Wait for the device, so that the last step's kernels are there, and write the trace."""
        self._alone()
        self._wait_for_own_devices()
        with kept_events() if in_cluster() else nullcontext():
            tf.profiler.experimental.stop()

    def _wait_for_own_devices(self) -> None:
        """Wait for the work of this process's GPUs.

        Not with `sync_devices`, which asks the other workers of a cluster too and fails there (`Haven't set up remote
        eager worker ... [Op:SyncDevice]`): a device does its work in order, so that a result read back is the last.
        """
        for device in tf.config.list_logical_devices("GPU"):
            name = tf.DeviceSpec.from_string(device.name)
            with tf.device(f"/device:GPU:{name.device_index}"):
                tf.ones(()).numpy()

    def finish(self, answer: Any) -> None:
        """Do nothing: on a GPU kernels are joined to their launches, and on a processor the call has waited."""

    def samples_counted(self, model: keras.Model, answer: Any) -> int:
        """Return the sample count of the running loss."""
        return as_number(loss_count(model))

    def step_flop(self, train_step: Callable[..., Any], model: keras.Model, data: Any) -> float | None:
        """Count in a separate graph of the step."""
        from gpuprobe.backends.tensorflow_flop import step_flop

        return step_flop(train_step, data)

    def settings(self, model: keras.Model, batch_size: int, feed_dtype: str) -> Settings:
        """Return TensorFlow's devices, threads and options."""
        gpus = tf.config.list_logical_devices("GPU")
        return settings_of(
            model,
            batch_size,
            feed_dtype,
            gpus[0].name if gpus else "/device:CPU:0",
            intra_op_threads=tf.config.threading.get_intra_op_parallelism_threads(),
            inter_op_threads=tf.config.threading.get_inter_op_parallelism_threads(),
            onednn=_onednn(),
            tf32=tf.config.experimental.tensor_float_32_execution_enabled() if gpus else None,
            gpu_pci_bus_id=next(iter(cuda_bus_ids()), "") if gpus else "",
            replicas=model.distribute_strategy.num_replicas_in_sync,
            trainable_mib=trainable_mib(model),
            functions_eagerly=bool(tf.config.functions_run_eagerly()),
        )

    def loops(self) -> tuple[GraphLoop, ...] | None:
        """Read them from the functions that this process has made."""
        from gpuprobe.backends.tensorflow_graphs import loops

        return loops()

    def compiled_in_part(self) -> str:
        """Return nothing: XLA compiles a step as a whole."""
        return ""


def in_cluster() -> bool:
    """Whether this process is one of several that train together: its devices then have the name of its task."""
    names = (tf.DeviceSpec.from_string(device.name) for device in tf.config.list_logical_devices())
    return any(name.job not in {None, ALONE} for name in names)


def trainable_mib(model: keras.Model) -> float:
    """Return the size of all gradients of a step in MiB: that of the trainable weights."""
    sizes = (math.prod(variable.shape) * tf.as_dtype(variable.dtype).size for variable in model.trainable_variables)
    return float(sum(sizes)) / MIB


def _onednn() -> bool | None:
    try:
        from tensorflow.python.util import _pywrap_util_port
    except ImportError:
        return None
    return bool(_pywrap_util_port.IsMklEnabled())
