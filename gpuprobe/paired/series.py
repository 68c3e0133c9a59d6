"""How alike neighbours in time are, and what that takes from a mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

# A machine that changes its pace within a few blocks; neighbours more alike than this would be one block.
MOST_ALIKE = 0.8


def likeness(many: Iterable[NDArray[np.float64]]) -> float:
    """Return the correlation of neighbours, pooled over several series of one machine, from 0 to `MOST_ALIKE`.

    Each series weighs as many as it has neighbours, whatever it spreads by: else the one that was run while the machine
    was busy would speak for all. Around its own mean a short series looks less alike than it is, by 1/n; that is given
    back. Less than none is taken as none: then the interval is too wide rather than too narrow.
    """
    found, weight = 0.0, 0
    for values in many:
        around = values - values.mean()
        squares, neighbours = float(around @ around), len(values) - 1
        if squares > 0 and neighbours > 1:
            found += neighbours * (float(around[1:] @ around[:-1]) / squares + 1 / len(values))
            weight += neighbours
    return min(MOST_ALIKE, max(0.0, found / weight)) if weight else 0.0


def inflation(alike: float) -> float:
    """Return how many times as large the variance of a mean is where neighbours are so much alike.

    Of a first-order autoregressive series: Law, "Simulation Modeling and Analysis", on correlated observations.
    """
    return (1 + alike) / (1 - alike)
