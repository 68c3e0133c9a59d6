"""The estimated occupancy of kernels: the share of a multiprocessor's threads that a kernel fills.

Kineto's formula (tb_plugin, docs/gpu_utilization.md) is the smaller of two: the threads of the grid per multiprocessor
over the threads that one holds, and the theoretical occupancy of such a block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.cards.architecture import architecture
from gpuprobe.cards.occupancy import occupancy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.traces.timeline import Device, Kernels

    Fractions = NDArray[np.float64]


def occupancies(device: Device) -> Fractions:
    """Return the occupancy of every kernel (0 to 1), (n,) float64: as the profiler recorded it, else estimated.

    NaN where it was not recorded and the trace lacks the card's multiprocessors, its compute capability or the kernel's
    shape.
    """
    kernels = device.kernels
    recorded = (
        kernels.occupancy_percent / 100 if len(kernels.occupancy_percent) == len(kernels) else _all_unknown(kernels)
    )
    unknown = np.isnan(recorded)
    return np.where(unknown, _estimated(device), recorded) if unknown.any() else recorded


def _estimated(device: Device) -> Fractions:
    kernels, count = device.kernels, device.facts.get("sm_count")
    capability = device.facts.get("compute_capability")
    known = architecture(capability) if capability is not None else None
    columns = (kernels.grid, kernels.block, kernels.registers, kernels.shared_bytes)
    if known is None or not isinstance(count, float) or count <= 0 or any(len(c) != len(kernels) for c in columns):
        return _all_unknown(kernels)
    threads = kernels.block.astype(np.float64).prod(axis=1)
    shapes = np.column_stack([threads, kernels.registers, kernels.shared_bytes]).astype(np.int64)
    each, indices = np.unique(shapes, axis=0, return_inverse=True)
    limits = [
        occupancy(block, registers, shared, known.compute_capability) for block, registers, shared in each.tolist()
    ]
    theoretical = np.array([limit.fraction if limit else np.nan for limit in limits])[indices.reshape(-1)]
    brought = kernels.grid.astype(np.float64).prod(axis=1) * threads / count / known.threads_per_sm
    shaped = (kernels.grid > 0).all(axis=1) & (kernels.block > 0).all(axis=1)
    estimated: Fractions = np.where(shaped, np.minimum(brought, theoretical), np.nan)
    return estimated


def _all_unknown(kernels: Kernels) -> Fractions:
    return np.full(len(kernels), np.nan)
