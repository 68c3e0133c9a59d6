"""Readings within some spans of time, cut into cells in which the GPU and the processors can be compared.

The cost is linear in the number of readings, whatever their times: a span of a year with two readings has two cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.telemetry import windows
from gpuprobe.thresholds import fixed
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.telemetry import Telemetry

GAP_NS = int(fixed.READING_GAP_S * NS_PER_S)


@dataclass(frozen=True)
class Stretch:
    """Spans of a recording, (start, end) in Unix ns, sorted and disjoint, cut into cells.

    A cell begins with the first reading of each second: it is about a second long, or as long as the distance between
    two readings.
    """

    recording: Telemetry
    spans: tuple[tuple[int, int], ...]

    @cached_property
    def cells_ns(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The starts and the ends of the cells in ns, (n,) each; empty where the spans are."""
        starts, ends = [], []
        for start, end in self.spans:
            if end > start:
                within = self.recording.t_ns[slice(*np.searchsorted(self.recording.t_ns, (start, end)))]
                seconds = (within - start) // NS_PER_S
                _, firsts = np.unique(seconds, return_index=True)
                inner = within[firsts[seconds[firsts] > 0]]
                starts.append(np.append(np.int64(start), inner))
                ends.append(np.append(inner, np.int64(end)))
        nothing = np.empty(0, np.int64)
        return np.concatenate([nothing, *starts]), np.concatenate([nothing, *ends])

    @property
    def widths_s(self) -> NDArray[np.float64]:
        """The lengths of the cells, (n,), in seconds."""
        starts, ends = self.cells_ns
        return np.asarray((ends - starts) / NS_PER_S, np.float64)

    @property
    def seconds(self) -> float:
        """The length of all spans together, in seconds."""
        return sum(end - start for start, end in self.spans) / NS_PER_S

    def level(self, column: str) -> NDArray[np.float64]:
        """Return the mean of a quantity that goes up and down, for each cell, (n,); NaN where it was not read."""
        times, values = self.recording.series(column)
        if not len(times):
            return np.full(len(self.widths_s), np.nan)
        base = int(times[0])
        stands = (windows.reach(times, GAP_NS) - times) / NS_PER_S
        # While a reading stands, known seconds and seconds times value grow evenly; in a gap they stay as they are.
        knots = np.column_stack([times - base, windows.reach(times, GAP_NS) - base]).ravel()
        known, summed = (self._grown_within(knots, grown, base) for grown in (stands, stands * values))
        enough = known >= fixed.CELL_KNOWN * self.widths_s
        means: NDArray[np.float64] = np.divide(summed, known, out=np.full(len(known), np.nan), where=enough)
        return means

    def _grown_within(self, knots: NDArray[np.int64], grown: NDArray[np.float64], base: int) -> NDArray[np.float64]:
        after = np.cumsum(grown)
        reached = np.column_stack([after - grown, after]).ravel()
        starts, ends = (np.interp(edges - base, knots, reached) for edges in self.cells_ns)
        return ends - starts

    def rate(self, column: str) -> NDArray[np.float64]:
        """Return the growth per second of a counter, for each cell, (n,); NaN where it was not read or went back."""
        starts, ends = self.cells_ns
        times, values = self.recording.series(column)
        if len(times) < 2:
            return np.full(len(starts), np.nan)
        # Readings do not fall on the edges of cells: between two near readings a counter is taken to grow evenly. A
        # cell that the readings cover in part is judged by that part.
        first, last = (np.clip(edges, times[0], times[-1]) - times[0] for edges in (starts, ends))
        since = times - times[0]
        seconds = (last - first) / NS_PER_S
        growth = np.interp(last, since, values) - np.interp(first, since, values)
        rates = np.divide(growth, seconds, out=np.full(len(starts), np.nan), where=seconds >= fixed.COUNTER_S)
        _, limit_ns = windows.limits(times, GAP_NS)
        gaps = np.flatnonzero(np.diff(times) > limit_ns)
        begun, over = (np.searchsorted(times[gaps], ends), np.searchsorted(times[gaps + 1], starts, side="right"))
        return np.where((begun > over) | (rates < 0), np.nan, rates)

    def inside(self, column: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the readings of a column within the spans, (k,) times and (k,) values."""
        times, values = self.recording.series(column)
        within = self._are_inside(times)
        return times[within], values[within]

    def weighted(self, column: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the values that stand at some time in the spans, (k,), and the seconds that each stands there, (k,).

        A value read before a span and still valid in it is among them.
        """
        times, values = self.recording.series(column)
        if not len(times) or not self.spans:
            return np.empty(0), np.empty(0)
        base = self.spans[0][0]
        edges = np.array(self.spans, np.int64).ravel() - base
        lengths = np.diff(edges)[::2]
        after = np.cumsum(lengths)
        reached = np.column_stack([after - lengths, after]).ravel() / NS_PER_S
        upto, since = (np.interp(at - base, edges, reached) for at in (windows.reach(times, GAP_NS), times))
        used = self._are_inside(times) | (upto > since)
        return values[used], (upto - since)[used]

    def _are_inside(self, times: NDArray[np.int64]) -> NDArray[np.bool_]:
        if not self.spans:
            return np.zeros(len(times), np.bool_)
        starts, ends = np.array(self.spans, np.int64).T
        place = np.searchsorted(starts, times, side="right") - 1
        within: NDArray[np.bool_] = (place >= 0) & (times <= ends[place])
        return within


def percentile(values: NDArray[np.float64], weights: NDArray[np.float64], percent: float) -> float:
    """Return the smallest value at or below which `percent` of the weight lies."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    place = int(np.searchsorted(reached, percent / 100 * reached[-1], side="left"))
    return float(values[order][min(place, len(values) - 1)])
