"""Medians and percentiles; numpy's own import its masked arrays, which takes longer than reading a small trace."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def median(values: NDArray[np.int64] | NDArray[np.float64]) -> float:
    """Return the median of (n,) values, n at least 1 and none NaN; for an even n the mean of the middle two."""
    middle = len(values) // 2
    if len(values) % 2:
        return float(np.partition(values, middle)[middle])
    halves = np.partition(values, (middle - 1, middle))
    return (float(halves[middle - 1]) + float(halves[middle])) / 2


def percentile(values: NDArray[np.int64] | NDArray[np.float64], percent: float) -> float:
    """Return a percentile of (n,) values, n at least 1 and none NaN, interpolated between two neighbours.

    This is Hyndman and Fan's seventh form, numpy's default. Like numpy it starts from the nearer neighbour.
    """
    ranked = np.sort(values)
    index = (len(ranked) - 1) * (percent / 100)
    below = math.floor(index)
    low, high = float(ranked[below]), float(ranked[min(below + 1, len(ranked) - 1)])
    part = index - below
    return high - (high - low) * (1 - part) if part >= 0.5 else low + (high - low) * part
