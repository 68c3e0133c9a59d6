"""Facts about the kernels and copies of one GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger import names
from gpuprobe.ledger.device_facts import CopyFacts, KernelFacts, TopKernel
from gpuprobe.ledger.intervals import covered, difference, holds, intersection, union
from gpuprobe.ledger.kernel_occupancy import occupancies
from gpuprobe.quantiles import median
from gpuprobe.thresholds import fixed
from gpuprobe.traces.names import among, distinct
from gpuprobe.traces.timeline import UNKNOWN, Direction
from gpuprobe.units import MIB, PS_PER_MS, PS_PER_S, PS_PER_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gpuprobe.ledger.gpu import GpuTime
    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.intervals import Intervals
    from gpuprobe.traces.timeline import Int64s, Kernels

TOP = 10


def kernel_facts(texts: Sequence[str], time: GpuTime, host: TracedHost) -> KernelFacts | None:
    """Describe the kernels that started within the steps; None where there are none."""
    kernels = time.device.kernels
    chosen = _within(time, kernels.start_ps)
    if not chosen.any():
        return None
    lasted_us = kernels.duration_ps[chosen] / PS_PER_US
    total_us = max(float(lasted_us.sum()), np.finfo(float).tiny)
    on_tensor_cores = names.tensor_core(texts, kernels.name[chosen])
    ops = kernels.op[chosen] if len(kernels.op) else np.full(len(lasted_us), UNKNOWN, np.int32)
    names_ops = bool(np.any(ops != UNKNOWN))
    seconds = (time.windows.end_ps - time.windows.start_ps).sum() / PS_PER_S
    return KernelFacts(
        count=len(lasted_us),
        median_us=median(lasted_us),
        under_10us_count_fraction=float((lasted_us < fixed.TINY_KERNEL_US).mean()),
        under_10us_time_fraction=float(lasted_us[lasted_us < fixed.TINY_KERNEL_US].sum() / total_us),
        under_25us_count_fraction=float((lasted_us < fixed.SMALL_KERNEL_US).mean()),
        under_25us_time_fraction=float(lasted_us[lasted_us < fixed.SMALL_KERNEL_US].sum() / total_us),
        per_s=float(len(lasted_us) / seconds),
        tensor_core_count=int(on_tensor_cores.sum()),
        tensor_core_time_fraction=float(lasted_us[on_tensor_cores].sum() / total_us),
        eligible_time_fraction=float(lasted_us[names.eligible(texts, ops)].sum() / total_us) if names_ops else None,
        collective_count=int(names.collective(texts, kernels.name[chosen]).sum()),
        calls=len(distinct(kernels.correlation[chosen & among(kernels.correlation, host.calls.correlation)])[0]),
    )


def top_kernels(texts: Sequence[str], time: GpuTime) -> tuple[TopKernel, ...]:
    """Return the kernels that took most time, by name, the longest first."""
    kernels = time.device.kernels
    chosen = _within(time, kernels.start_ps)
    used, lasted = kernels.name[chosen], kernels.duration_ps[chosen]
    sums = np.bincount(used, weights=lasted, minlength=1)
    total = max(float(lasted.sum()), 1.0)
    longest = [index for index in np.argsort(-sums, kind="stable")[:TOP].tolist() if sums[index] > 0]
    on_tensor_cores = names.tensor_core(texts, np.array(longest, np.int32))
    return tuple(
        TopKernel(
            name=texts[index],
            count=int((used == index).sum()),
            total_ms=float(sums[index] / PS_PER_MS),
            time_fraction=float(sums[index] / total),
            median_us=median(lasted[used == index]) / PS_PER_US,
            tensor_core=bool(uses_tensor_cores),
        )
        for index, uses_tensor_cores in zip(longest, on_tensor_cores.tolist(), strict=True)
    )


def sm_efficiency(texts: Sequence[str], time: GpuTime, counted: slice) -> float | None:
    """Estimate the share of the multiprocessors that had work (0 to 1), over the wall time of the steps that count.

    Kineto's formula (tb_plugin, gpu_metrics_parser.py): each kernel fills min(blocks / multiprocessors, 1) of them.
    Unlike there, kernels that run at the same time add up, to 1 at most, and exchanges, which need only a few blocks,
    do not count. A kernel whose grid is not known counts with the average of the others. None where the card's number
    of multiprocessors is not known.
    """
    kernels, count = time.device.kernels, time.device.facts.get("sm_count")
    if not isinstance(count, float) or count <= 0 or not _shaped(kernels):
        return None
    computing = ~names.collective(texts, kernels.name)
    start, end, grid = kernels.start_ps[computing], kernels.end_ps[computing], kernels.grid[computing]
    window = union(time.windows.start_ps[counted], time.windows.end_ps[counted])
    fill, known = np.minimum(grid.astype(np.float64).prod(axis=1) / count, 1.0), (grid > 0).all(axis=1)
    lasted = covered(window, start[known], end[known]).astype(np.float64)
    if not lasted.sum():
        return 0.0
    fill[~known] = float((fill[known] * lasted).sum() / lasted.sum())
    return _filled_ps(start, end, fill, window) / window.total


def _filled_ps(start: Int64s, end: Int64s, fill: NDArray[np.float64], window: Intervals) -> float:
    """Add up how much of the device (0 to 1) the kernels fill at each instant of the window."""
    instants, changes = np.concatenate([start, end]), np.concatenate([fill, -fill])
    order = np.argsort(instants, kind="stable")
    instants, level = instants[order], np.minimum(np.cumsum(changes[order]), 1.0)
    return float((level[:-1] * covered(window, instants[:-1], instants[1:])).sum())


def occupancy(time: GpuTime) -> float | None:
    """Return the kernels' estimated occupancy (0 to 1), weighted by their time; None where none of it is known."""
    kernels = time.device.kernels
    chosen = _within(time, kernels.start_ps)
    fraction, lasted = occupancies(time.device)[chosen], kernels.duration_ps[chosen].astype(np.float64)
    known = ~np.isnan(fraction)
    if not lasted[known].sum():
        return None
    return float((fraction[known] * lasted[known]).sum() / lasted[known].sum())


def copy_facts(time: GpuTime) -> tuple[CopyFacts, ...]:
    """Describe the copies that started within the steps, by direction."""
    copies = time.device.copies
    chosen = _within(time, copies.start_ps)
    masks = {direction: chosen & (copies.direction == direction) for direction in Direction}
    return tuple(_copies_of(time, direction, mask) for direction, mask in masks.items() if mask.any())


def overlap_fraction(time: GpuTime) -> float | None:
    """Return the share of the copies' time in which a kernel runs too (0 to 1); None where nothing was copied."""
    total = time.copies.total
    return intersection(time.copies, time.kernels).total / total if total else None


def idle_outside(time: GpuTime) -> float | None:
    """Return the share of the GPU span in which it idled outside the training function (0 to 1); None where unknown."""
    inside = time.windows.inside
    if inside is None:
        return None
    return difference(difference(time.span, time.busy), inside).total / max(time.span.total, 1)


def _copies_of(time: GpuTime, direction: Direction, mask: NDArray[np.bool_]) -> CopyFacts:
    copies = time.device.copies
    start, end = copies.start_ps[mask], copies.end_ps[mask]
    lasted = float((end - start).sum())
    sizes = copies.bytes[mask] if len(copies.bytes) else np.full(len(start), UNKNOWN)
    known = sizes != UNKNOWN
    moved, moving = float(sizes[known].sum()), float((end - start)[known].sum())
    rate = moved / moving * 1e3 if moving and known.any() else None
    memory = time.device.facts.get("memory_bandwidth_gb_per_s")
    within = direction is Direction.D2D and rate is not None and isinstance(memory, float) and memory > 0
    hidden = float(covered(time.kernels, start, end).sum())
    return CopyFacts(
        direction=direction.name.lower(),
        count=len(start),
        total_ms=lasted / PS_PER_MS,
        mebibytes=moved / MIB if known.any() else None,
        gb_per_s=rate,
        link_fraction=2 * rate / memory if within and rate is not None and isinstance(memory, float) else None,
        hidden_fraction=hidden / lasted if lasted else 0.0,
    )


def _within(time: GpuTime, start_ps: NDArray[np.int64]) -> NDArray[np.bool_]:
    return holds(union(time.windows.start_ps, time.windows.end_ps), start_ps)


def _shaped(kernels: Kernels) -> bool:
    return len(kernels.grid) == len(kernels) and bool(np.any(kernels.grid > 0))
