"""Several comparisons at once: what holds for all of them together at 95 %.

The deviates of the comparisons are drawn together, as they hang together, from a multivariate Student's t. The largest
of them is what a single comparison has to beat: Dunnett's test where all are with one baseline. Then the rest is tried
against the largest of what is left, as Holm does (the step-down test of the largest statistic: Westfall and Young 1993,
"Resampling-Based Multiple Testing", chapter 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gpuprobe.paired.estimate import Estimate

    Matrix = NDArray[np.float64]

# Of this many draws the 97.5 % point has a standard error of 0.0011 of probability.
DRAWS = 20_000
SEED = 1


def adjusted(estimates: Sequence[Estimate], correlation: Matrix) -> tuple[float, ...]:
    """Return the p-value of each comparison among all of them: how often chance shows as much anywhere among these."""
    if not estimates:
        return ()
    drawn = _drawn(estimates, correlation)
    order = sorted(range(len(estimates)), key=lambda place: -estimates[place].deviate)
    found, above = [1.0] * len(estimates), 0.0
    for step, place in enumerate(order):
        largest = drawn[:, order[step:]].max(axis=1)
        above = max(above, float((largest >= estimates[place].deviate).mean()))
        found[place] = above
    # One comparison is no family: its own p-value is exact, where draws are not.
    return (estimates[0].p_value,) if len(estimates) == 1 else tuple(found)


def critical(estimates: Sequence[Estimate], correlation: Matrix, confidence: float) -> float:
    """Return how many standard errors no comparison strays from the truth by, with this confidence for all at once."""
    if len(estimates) == 1 and estimates[0].error > 0:
        return estimates[0].half(confidence) / estimates[0].error
    return float(np.quantile(_drawn(estimates, correlation).max(axis=1), confidence))


def _drawn(estimates: Sequence[Estimate], correlation: Matrix) -> Matrix:
    """Draw the sizes of all deviates where nothing differs; with the fewest degrees of freedom that one of them has."""
    random = np.random.default_rng(SEED)
    freedom = min(estimate.freedom for estimate in estimates)
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    normal = random.standard_normal((DRAWS, len(estimates))) @ root.T
    scale = np.sqrt(random.chisquare(freedom, DRAWS) / freedom)
    drawn: Matrix = np.abs(normal) / scale[:, None]
    return drawn
