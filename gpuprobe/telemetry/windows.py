"""Arithmetic of readings over time: a level holds until the next reading, a counter is a difference, gaps stay gaps.

All times are nanoseconds (n,) int64 that never fall, all values (n,) float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Times = NDArray[np.int64]
    Values = NDArray[np.float64]

# A reading holds until the next one, but at most for five usual intervals. The driver itself renews the utilization
# only every 1/6 to 1 s (NVML API Reference, nvmlUtilization_t), so a shorter pause loses nothing.
GAP_INTERVALS, GAP_LEAST_NS = 5.0, 1_000_000_000
# The largest usual interval, nine years: added to the latest time that is read (2^62) and the longest pause, it fits
# into 64 bits.
LONGEST_INTERVAL_NS = 2**58


@dataclass(frozen=True)
class Held:
    """Readings of a level within a window: `values` (n,), how long each held `weights_ns` (n,), and the gaps."""

    values: Values
    weights_ns: NDArray[np.float64]
    gaps: tuple[tuple[int, int], ...]

    def mean(self) -> float:
        """Return the mean weighted by time."""
        weights = self.weights_ns if self.weights_ns.sum() > 0 else None
        return float(np.average(self.values, weights=weights))

    def quantile(self, fraction: float) -> float:
        """Return the value that the level did not exceed for a fraction (0 to 1) of the covered time."""
        order = np.argsort(self.values)
        weights = self.weights_ns if self.weights_ns.sum() > 0 else np.ones(len(self.values))
        reached = np.cumsum(weights[order])
        place = int(np.searchsorted(reached, fraction * reached[-1]))
        return float(self.values[order][min(place, len(order) - 1)])


def hold(times: Times, values: Values, start_ns: int, end_ns: int) -> Held:
    """Weigh each reading by how long it holds between `start_ns` and `end_ns`.

    A reading before the window may hold into it. A pause longer than the limit is a gap, which begins one usual
    interval after the last reading.
    """
    usual_ns, limit_ns = limits(times)
    first = max(0, int(np.searchsorted(times, start_ns, "right")) - 1)
    last = int(np.searchsorted(times, end_ns, "right"))
    begins = times[first:last]
    nexts = np.append(times[first + 1 : last], end_ns)[: len(begins)]
    reach = np.where(nexts - begins > limit_ns, begins + usual_ns, nexts)
    stands_from, stands_to = np.clip(begins, start_ns, end_ns), np.clip(reach, start_ns, end_ns)
    weights = (stands_to - stands_from).clip(0).astype(np.float64)
    kept = (weights > 0) | (begins >= start_ns)
    ends = [start_ns, *stands_to[kept].tolist()]
    starts = [*stands_from[kept].tolist(), end_ns]
    gaps = [(ended, began) for ended, began in zip(ends, starts, strict=True) if began > ended]
    # Before the first reading of a recording is no gap, unless that reading comes late.
    if gaps and gaps[0][0] == start_ns and gaps[0][1] - start_ns <= limit_ns:
        gaps.pop(0)
    return Held(values[first:last][kept], weights[kept], tuple(gaps))


def growth(times: Times, values: Values, start_ns: int, end_ns: int) -> tuple[float, float, int]:
    """Return (growth, seconds, readings) of a counter between the readings next to the window's edges.

    Where the counter fell, as after a reset, that interval is left out.
    """
    if not len(times):
        return 0.0, 0.0, 0
    first, last = (int(np.abs(times - edge).argmin()) for edge in (start_ns, end_ns))
    steps, seconds = np.diff(values[first : last + 1]), np.diff(times[first : last + 1]) / NS_PER_S
    rising = steps >= 0
    return float(steps[rising].sum()), float(seconds[rising].sum()), max(0, last - first + 1)


def trapezoid(times: Times, values: Values, start_ns: int, end_ns: int) -> tuple[float, float]:
    """Return (integral over seconds, seconds covered) of a level, by trapezoids between readings, gaps left out."""
    _, limit_ns = limits(times)
    inside = (times >= start_ns) & (times <= end_ns)
    seconds, levels = np.diff(times[inside]) / NS_PER_S, values[inside]
    joined = seconds <= limit_ns / NS_PER_S
    areas = (levels[1:] + levels[:-1]) / 2 * seconds
    return float(areas[joined].sum()), float(seconds[joined].sum())


def limits(times: Times, least_ns: int = GAP_LEAST_NS) -> tuple[int, int]:
    """Return (usual interval, longest that is no gap: at least `least_ns`), in ns; the times need not be sorted."""
    intervals = np.diff(times)
    intervals = intervals[intervals > 0]
    usual = min(int(np.median(intervals)), LONGEST_INTERVAL_NS) if len(intervals) else GAP_LEAST_NS
    return usual, max(int(GAP_INTERVALS * usual), least_ns)


def reach(times: Times, least_ns: int) -> Times:
    """Return until when each reading holds, (n,) ns: until the next, or for one usual interval before a gap.

    The last one holds for the longest pause that is not a gap.
    """
    usual_ns, limit_ns = limits(times, least_ns)
    nexts = np.append(times[1:], times[-1:] + limit_ns)
    stands: Times = np.where(nexts - times > limit_ns, times + min(usual_ns, limit_ns), nexts)
    return stands
