"""How correlated neighbours in time are, and how much that adds to the variance of a mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

# For a machine that changes its speed within a few blocks; neighbours more correlated than this would be one block.
MOST_ALIKE = 0.8


def likeness(many: Iterable[NDArray[np.float64]]) -> float:
    """Return the correlation of neighbours, pooled over several series of one machine, from 0 to `MOST_ALIKE`.

    Each series has the weight of its number of neighbours, whatever its spread: else one that ran while the machine was
    busy would decide for all. Around its own mean a short series looks less correlated than it is, by 1/n, which is
    added. A negative correlation counts as 0, so that the interval is too wide rather than too narrow.
    """
    correlation, weight = 0.0, 0
    for values in many:
        around = values - values.mean()
        squares, neighbours = float(around @ around), len(values) - 1
        if squares > 0 and neighbours > 1:
            correlation += neighbours * (float(around[1:] @ around[:-1]) / squares + 1 / len(values))
            weight += neighbours
    return min(MOST_ALIKE, max(0.0, correlation / weight)) if weight else 0.0


def inflation(alike: float) -> float:
    """Return how many times as large the variance of a mean is where neighbours have this correlation.

    Of a first-order autoregressive series: Law, "Simulation Modeling and Analysis", on correlated observations.
    """
    return (1 + alike) / (1 - alike)
