"""How correlated laps next to each other in time are, and how much that adds to the variance of their mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

# For a machine that changes its speed within a few blocks; neighbours more correlated than this would be one block.
MOST_CORRELATED = 0.8


def neighbour_correlation(series: Iterable[NDArray[np.float64]]) -> float:
    """Return the correlation of neighbouring laps, pooled over several series, from 0 to `MOST_CORRELATED`.

    Each series has the weight of its number of neighbours, whatever its spread: else one that ran while the machine was
    busy would decide for all. Around its own mean a short series looks less correlated than it is, by 1/n, which is
    added. A negative correlation counts as 0, so that the interval is too wide rather than too narrow.
    """
    weighted_sum, weight = 0.0, 0
    for laps in series:
        residuals = laps - laps.mean()
        squares, neighbours = float(residuals @ residuals), len(laps) - 1
        if squares > 0 and neighbours > 1:
            weighted_sum += neighbours * (float(residuals[1:] @ residuals[:-1]) / squares + 1 / len(laps))
            weight += neighbours
    return min(MOST_CORRELATED, max(0.0, weighted_sum / weight)) if weight else 0.0


def variance_inflation(correlation: float) -> float:
    """Return by what factor this correlation of neighbours raises the variance of a mean.

    The factor of a first-order autoregressive series: Law, "Simulation Modeling and Analysis", on correlated
    observations.
    """
    return (1 + correlation) / (1 - correlation)
