"""Checks that all strategies did the same work: their losses after the same number of samples must agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from gpuprobe.records import LossPoint

    # Samples seen, and the smoothed loss after them.
    Curve = tuple[NDArray[np.float64], NDArray[np.float64]]

# The mean loss over this many samples is compared, since losses of single batches vary much.
SMOOTH_SAMPLES = 512
# 1.4826 MAD estimates the standard deviation of a normal distribution (Rousseeuw and Croux 1993).
MAD_TO_DEVIATION = 1.4826


def off_the_band(curves: Mapping[str, Sequence[LossPoint]]) -> dict[str, str]:
    """Return, for each strategy whose loss leaves the band of the others, words that say by how much.

    Each strategy is compared at the largest number of samples that it and at least two others reached.
    """
    marks = {
        name: "its loss is not a finite number"
        for name, points in curves.items()
        if any(point.loss is None for point in points)
    }
    smooth = {name: _smoothed(points) for name, points in curves.items() if points and name not in marks}
    for name, (samples, losses) in smooth.items():
        reached = sorted((curve[0][-1] for curve in smooth.values()), reverse=True)
        if len(reached) < fixed.FEWEST_CURVES:
            break
        at = min(samples[-1], reached[fixed.FEWEST_CURVES - 1])
        others = [_loss_at(curve, at) for curve in smooth.values() if curve[0][-1] >= at]
        median = float(np.median(others))
        deviation = MAD_TO_DEVIATION * float(np.median(np.abs(np.array(others) - median)))
        own = _loss_at((samples, losses), at)
        if abs(own - median) > max(fixed.LOSS_DEVIATIONS * deviation, fixed.LOSS_BAND * abs(median)):
            word = "above" if own > median else "below"
            marks[name] = f"loss {own:.3g} after {at:,.0f} samples, {word} the others' {median:.3g}"
    return marks


def _smoothed(points: Sequence[LossPoint]) -> Curve:
    """Average the losses of the points within SMOOTH_SAMPLES before each point."""
    samples = np.array([point.samples for point in points], np.float64)
    losses = np.array([point.loss for point in points], np.float64)
    starts = np.searchsorted(samples, samples - SMOOTH_SAMPLES, side="right")
    total = np.concatenate([[0.0], np.cumsum(losses)])
    ends = np.arange(1, len(samples) + 1)
    return samples, (total[ends] - total[starts]) / np.maximum(ends - starts, 1)


def _loss_at(curve: Curve, samples: float) -> float:
    return float(np.interp(samples, *curve))
