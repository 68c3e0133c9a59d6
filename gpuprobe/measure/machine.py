"""What TensorFlow runs on and with, read back from TensorFlow itself (worker only)."""

from __future__ import annotations

import math
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import psutil
import tensorflow as tf

from gpuprobe.records import Settings
from gpuprobe.strategies.plan import Machine
from gpuprobe.telemetry.matching import cuda_bus_ids
from gpuprobe.units import MIB

if TYPE_CHECKING:
    from gpuprobe.workloads.workload import Workload

# A training step keeps each layer's output for the backward pass and makes one gradient of the same size.
COPIES_OF_ACTIVATIONS = 2
# Of the memory: workspace of the convolutions, fragmentation, and others on the machine take the rest.
USABLE_MEMORY_FRACTION = 0.5


def inspect(workload: Workload) -> Machine:
    """Look at the devices that TensorFlow sees. GPU memory is made to grow, so that its peak means something."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    capability = None
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        major, minor = details.get("compute_capability", (0, 0))
        capability = float(f"{major}.{minor}")
    return Machine(
        compute_capability=capability,
        cpu_has_bfloat16=_cpu_has_bfloat16(),
        largest_batch=lambda: _largest_batch(workload, on_gpu=bool(gpus)),
    )


def settings(model: keras.Model, batch_size: int, feed_dtype: str) -> Settings:
    """Read the effective settings back; the batch size and dtype are those that the train step was given."""
    gpus = tf.config.list_logical_devices("GPU")
    return Settings(
        device=gpus[0].name if gpus else "/device:CPU:0",
        dtype_policy=model.dtype_policy.name,
        compute_dtype=model.dtype_policy.compute_dtype,
        jit_compile=bool(model.jit_compile),
        batch_size=batch_size,
        feed_dtype=feed_dtype,
        steps_per_execution=int(model.steps_per_execution),
        optimizer=type(model.optimizer).__name__,
        intra_op_threads=tf.config.threading.get_intra_op_parallelism_threads() or len(os.sched_getaffinity(0)),
        inter_op_threads=tf.config.threading.get_inter_op_parallelism_threads() or len(os.sched_getaffinity(0)),
        onednn=_onednn(),
        tf32=tf.config.experimental.tensor_float_32_execution_enabled() if gpus else None,
        run_eagerly=bool(model.run_eagerly),
        gpu_pci_bus_id=next(iter(cuda_bus_ids()), "") if gpus else "",
    )


def peak_memory_mib() -> tuple[float, float | None]:
    """Return the peak memory of this process, and of TensorFlow's allocator on the first GPU where there is one."""
    unit = 1 if sys.platform == "darwin" else 1024
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB
    if not tf.config.list_logical_devices("GPU"):
        return host, None
    return host, tf.config.experimental.get_memory_info("GPU:0")["peak"] / MIB


def _cpu_has_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", "bf16"))


def _onednn() -> bool | None:
    try:
        from tensorflow.python.util import _pywrap_util_port
    except ImportError:
        return None
    return bool(_pywrap_util_port.IsMklEnabled())


def _largest_batch(workload: Workload, *, on_gpu: bool) -> int:
    model = workload.build()
    outputs = [shape for layer in model.layers for shape in _shapes(layer)]
    sample_bytes = 4 * COPIES_OF_ACTIVATIONS * sum(math.prod(size or 1 for size in shape[1:]) for shape in outputs)
    free_bytes = _free_gpu_bytes() if on_gpu else psutil.virtual_memory().available
    return int(USABLE_MEMORY_FRACTION * free_bytes / max(1, sample_bytes))


def _shapes(layer: keras.layers.Layer) -> list[tuple[int | None, ...]]:
    try:
        return [tensor.shape for tensor in keras.tree.flatten(layer.output)]
    except (AttributeError, ValueError):
        # A layer of a subclassed model has no output that is known before it was called.
        return []


def _free_gpu_bytes() -> int:
    from tensorflow.python.client import device_lib

    limits = [device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU"]
    return int(limits[0])
