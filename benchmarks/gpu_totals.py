"""What a GPU did by the plainest way to add it up: each kernel's and each copy's event, on a grid of microseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gpuprobe.errors import InputError
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.traces.read import read

PS_PER_US = 1_000_000
LONGEST_S = 60


def compared(trace: Path) -> dict[str, Any] | None:
    """Return the share of the steps in which kernels ran, by our breakdown and by the grid; None without a GPU."""
    try:
        timeline = read(trace)
    except InputError:
        return None
    breakdown = breakdown_of(timeline)
    found = next((device for device in breakdown.devices if device.kind == "gpu"), None)
    device = next((device for device in timeline.devices if len(device.kernels)), None)
    if found is None or device is None or found.gpu_span_ms is None:
        return None
    grid = _grid(device.kernels.start_ps, device.kernels.end_ps)
    return {
        "run": trace.parent.name,
        "ours_kernel_fraction": found.kernel_fraction,
        "grid_kernel_fraction": float(grid.sum()) / 1000 / found.gpu_span_ms if grid is not None else None,
        "kernels": len(device.kernels),
    }


def _grid(start_ps: np.ndarray, end_ps: np.ndarray) -> np.ndarray | None:
    """Mark each microsecond in which a kernel ran."""
    first = int(start_ps.min())
    length = int(end_ps.max() - first) // PS_PER_US + 2
    if length > LONGEST_S * 1_000_000:
        return None
    grid = np.zeros(length, bool)
    for start, end in zip(start_ps, end_ps, strict=True):
        grid[int(start - first) // PS_PER_US : int(end - first) // PS_PER_US + 1] = True
    return grid
