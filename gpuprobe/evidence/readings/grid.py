"""Readings on a grid of whole seconds, so that what the GPU and the processors did can be compared at each moment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.telemetry import Telemetry

# Longer than this without a reading is a gap in which nothing is known; slow columns are read once or twice a second.
GAP_NS = 3 * NS_PER_S
# Counters of the kernel tick every 10 ms: a shorter stretch than this cannot be divided by.
COVERED_S = 0.25


@dataclass(frozen=True)
class Grid:
    """A stretch of a recording in bins of one second; the last bin may be shorter."""

    recording: Telemetry
    start_ns: int
    end_ns: int

    @property
    def edges_ns(self) -> NDArray[np.int64]:
        """The edges of the bins, (n + 1,); no bins where the stretch is empty."""
        count = math.ceil(max(0, self.end_ns - self.start_ns) / NS_PER_S)
        return np.minimum(self.start_ns + NS_PER_S * np.arange(count + 1, dtype=np.int64), self.end_ns)

    @property
    def widths_s(self) -> NDArray[np.float64]:
        """The lengths of the bins, (n,), in seconds."""
        return np.asarray(np.diff(self.edges_ns) / NS_PER_S, np.float64)

    def level(self, column: str) -> NDArray[np.float64]:
        """Mean of a quantity that goes up and down in each bin, (n,), NaN where it was not read."""
        edges = self.edges_ns
        times, values = self.inside(column)
        places = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, max(0, len(edges) - 2))
        counts = np.bincount(places, minlength=len(edges) - 1).astype(float)
        sums = np.bincount(places, weights=values, minlength=len(edges) - 1)
        means: NDArray[np.float64] = np.divide(sums, counts, out=np.full(len(edges) - 1, np.nan), where=counts > 0)
        return means

    def rate(self, column: str) -> NDArray[np.float64]:
        """Growth per second of a counter in each bin, (n,), NaN where it was not read or went back."""
        edges = self.edges_ns
        times, values = self.recording.series(column)
        bins = len(edges) - 1
        if len(times) < 2 or bins < 1:
            return np.full(bins, np.nan)
        # Readings do not fall on the edges: between two near ones a counter is taken to grow evenly. A bin that the
        # readings cover in part is judged by that part.
        covered = np.clip(edges, times[0], times[-1])
        seconds = np.diff(covered) / NS_PER_S
        growth = np.diff(np.interp(covered, times, values))
        rates = np.divide(growth, seconds, out=np.full(bins, np.nan), where=seconds >= COVERED_S)
        first, last = edges[:-1], edges[1:]
        gaps = np.flatnonzero(np.diff(times) > GAP_NS)
        unknown = rates < 0
        for gap in gaps:
            unknown |= (last > times[gap]) & (first < times[gap + 1])
        return np.where(unknown, np.nan, rates)

    def inside(self, column: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the readings of a column within the stretch, (k,) times and (k,) values."""
        times, values = self.recording.series(column)
        within = (times >= self.start_ns) & (times <= self.end_ns)
        return times[within], values[within]

    def weighted(self, column: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the readings within the stretch and the seconds that each stands for, at most the length of a gap."""
        times, values = self.inside(column)
        seconds = np.diff(np.append(times, self.end_ns)).clip(0, GAP_NS) / NS_PER_S
        return values, seconds


def percentile(values: NDArray[np.float64], weights: NDArray[np.float64], percent: float) -> float:
    """Return the smallest value below or at which lies that share of the weight."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    place = int(np.searchsorted(reached, percent / 100 * reached[-1], side="left"))
    return float(values[order][min(place, len(values) - 1)])
