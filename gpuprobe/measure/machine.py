"""Inspects the machine for a training: compute capability, bfloat16, memory (worker only)."""

from __future__ import annotations

import math
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import psutil

from gpuprobe.strategies.plan import Machine
from gpuprobe.units import MIB

if TYPE_CHECKING:
    from gpuprobe.backends.backend import Backend
    from gpuprobe.workloads.workload import Workload

# A training step keeps each layer's output for the backward pass, and makes a gradient of the same size.
COPIES_OF_ACTIVATIONS = 2
# The usable share of memory: workspaces of convolutions, fragmentation and other programs take the rest.
USABLE_MEMORY_FRACTION = 0.5


def inspect_machine(workload: Workload, backend: Backend) -> Machine:
    """Return what the plan of a strategy needs to know of the machine.

    The compute capability is None without a GPU; the largest batch that fits into memory is computed when asked for.
    """
    capability = backend.compute_capability()
    return Machine(
        compute_capability=capability,
        cpu_has_bfloat16=_cpu_has_bfloat16(),
        largest_batch=lambda: _largest_batch(workload, backend, on_gpu=capability is not None),
    )


def host_peak_mib() -> float:
    """Return the peak memory of this process (MiB)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB


def _cpu_has_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", "bf16"))


def _largest_batch(workload: Workload, backend: Backend, *, on_gpu: bool) -> int:
    model = workload.build()
    outputs = [shape for layer in model.layers for shape in _shapes(layer)]
    sample_bytes = 4 * COPIES_OF_ACTIVATIONS * sum(math.prod(size or 1 for size in shape[1:]) for shape in outputs)
    free_bytes = backend.free_gpu_bytes() if on_gpu else psutil.virtual_memory().available
    return int(USABLE_MEMORY_FRACTION * free_bytes / max(1, sample_bytes))


def _shapes(layer: keras.layers.Layer) -> list[tuple[int | None, ...]]:
    try:
        return [tensor.shape for tensor in keras.tree.flatten(layer.output)]
    except (AttributeError, ValueError):
        # The output shape of a subclassed model's layer is unknown before a call.
        return []
