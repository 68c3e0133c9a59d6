"""Sums and means of readings over a window: a level holds until the next reading, a counter is a difference.


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
        cumulative_ns = np.cumsum(weights[order])
        position = int(np.searchsorted(cumulative_ns, fraction * cumulative_ns[-1]))
        return float(self.values[order][min(position, len(order) - 1)])


def hold_readings(times: Times, values: Values, start_ns: int, end_ns: int) -> Held:
    """Weigh each reading by how long it holds between `start_ns` and `end_ns`.

    A reading before the window may hold into it. A pause longer than the limit is a gap, which begins one usual
    interval after the last reading.
    """
    usual_ns, limit_ns = limits(times)
    first_reading = max(0, int(np.searchsorted(times, start_ns, "right")) - 1)
    last_reading = int(np.searchsorted(times, end_ns, "right"))
    read_at = times[first_reading:last_reading]
    next_read_at = np.append(times[first_reading + 1 : last_reading], end_ns)[: len(read_at)]
    holds_until = np.where(next_read_at - read_at > limit_ns, read_at + usual_ns, next_read_at)
    held_from, held_to = np.clip(read_at, start_ns, end_ns), np.clip(holds_until, start_ns, end_ns)
    held_ns = (held_to - held_from).clip(0).astype(np.float64)
    is_held = (held_ns > 0) | (read_at >= start_ns)
    held_ends = [start_ns, *held_to[is_held].tolist()]
    held_starts = [*held_from[is_held].tolist(), end_ns]
    gaps = [
        (gap_start, gap_end) for gap_start, gap_end in zip(held_ends, held_starts, strict=True) if gap_end > gap_start
    ]
    # The time before the first reading is no gap, unless that reading comes late.
    if gaps and gaps[0][0] == start_ns and gaps[0][1] - start_ns <= limit_ns:
        gaps.pop(0)
    return Held(values[first_reading:last_reading][is_held], held_ns[is_held], tuple(gaps))


def growth(times: Times, values: Values, start_ns: int, end_ns: int) -> tuple[float, float, int]:
    """Return (growth, seconds, readings) of a counter between the readings next to the window's edges.

    Where the counter fell, as after a reset, that interval is left out.
    """
    if not len(times):
        return 0.0, 0.0, 0
    first_reading, last_reading = (int(np.abs(times - edge).argmin()) for edge in (start_ns, end_ns))
    increments, seconds = (
        np.diff(values[first_reading : last_reading + 1]),
        np.diff(times[first_reading : last_reading + 1]) / NS_PER_S,
    )
    not_reset = increments >= 0
    return float(increments[not_reset].sum()), float(seconds[not_reset].sum()), max(0, last_reading - first_reading + 1)


def trapezoid(times: Times, values: Values, start_ns: int, end_ns: int) -> tuple[float, float]:
    """Return (integral over seconds, seconds covered) of a level, by trapezoids between readings, gaps left out."""
    _, limit_ns = limits(times)
    in_window = (times >= start_ns) & (times <= end_ns)
    seconds, levels = np.diff(times[in_window]) / NS_PER_S, values[in_window]
    no_gap = seconds <= limit_ns / NS_PER_S
    areas = (levels[1:] + levels[:-1]) / 2 * seconds
    return float(areas[no_gap].sum()), float(seconds[no_gap].sum())


def limits(times: Times, least_ns: int = GAP_LEAST_NS) -> tuple[int, int]:
    """Return (usual interval, longest that is no gap: at least `least_ns`), in ns; the times need not be sorted."""
    intervals = np.diff(times)
    intervals = intervals[intervals > 0]
    usual_ns = min(int(np.median(intervals)), LONGEST_INTERVAL_NS) if len(intervals) else GAP_LEAST_NS
    return usual_ns, max(int(GAP_INTERVALS * usual_ns), least_ns)


def reach(times: Times, least_ns: int) -> Times:
    """Return until when each reading holds, (n,) ns: until the next, or for one usual interval before a gap.

    The last one holds for the longest pause that is not a gap.
    """
    usual_ns, limit_ns = limits(times, least_ns)
    next_ns = np.append(times[1:], times[-1:] + limit_ns)
    holds_until_ns: Times = np.where(next_ns - times > limit_ns, times + min(usual_ns, limit_ns), next_ns)
    return holds_until_ns
