"""Readings of a stretch as signals: a mean, a percentile or a share, or the reason why it is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.evidence.readings.stretch import Stretch, percentile
from gpuprobe.records import Signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOST, NVML, THREADS = "psutil", "NVML", "gpuprobe watch, threads of the tree"


def level_of(
    stretch: Stretch, column: str, name: str, unit: str, at: float | None = None, source: str = NVML
) -> Signal:
    """Return the mean weighted by time, or the percentile `at`; p5, p50 and p95 are `low`, `median` and `high`."""
    values, seconds = stretch.weighted(column)
    if not len(values) or not seconds.sum():
        return missing(name, unit, source, why_missing(stretch, column))
    value = float(np.average(values, weights=seconds)) if at is None else percentile(values, seconds, at)
    low, median, high = (percentile(values, seconds, percent) for percent in (5, 50, 95))
    return Signal(name=name, unit=unit, source=source, value=value, low=low, median=median, high=high, n=len(values))


def share_of(
    holds: NDArray[np.bool_], known: NDArray[np.float64], name: str, source: str, why: str = "not read in time"
) -> Signal:
    """Return the share of the cells (0 to 1) in which `holds` is true, among those in which `known` is not NaN."""
    is_known = ~np.isnan(known)
    if not is_known.any():
        return missing(name, "1", source, why)
    return Signal(name=name, unit="1", source=source, value=float(holds[is_known].mean()), n=int(is_known.sum()))


def mean_of(stretch: Stretch, cells: NDArray[np.float64], name: str, unit: str) -> Signal:
    """Return the mean over the known cells, (n,) with NaN where unknown, weighted by their lengths."""
    known = ~np.isnan(cells)
    if not known.any():
        return missing(name, unit, HOST, "not read in time")
    value = float(np.average(cells[known], weights=stretch.widths_s[known]))
    return Signal(name=name, unit=unit, source=HOST, value=value, n=int(known.sum()))


def percentile_of(cells: NDArray[np.float64], percent: float, name: str) -> Signal:
    """Return a percentile over the known cells, (n,) with NaN where unknown."""
    known = cells[~np.isnan(cells)]
    if not len(known):
        return missing(name, "1", HOST, "not read in time")
    return Signal(name=name, unit="1", source=HOST, value=float(np.percentile(known, percent)), n=len(known))


def why_missing(stretch: Stretch, column: str) -> str:
    """Return what the recording says about a column that was not read."""
    return stretch.recording.why_missing(column) or "nothing was read in time"


def missing(name: str, unit: str, source: str, reason: str) -> Signal:
    """Return a signal that says why it is missing."""
    return Signal(name=name, unit=unit, source=source, missing=reason)
