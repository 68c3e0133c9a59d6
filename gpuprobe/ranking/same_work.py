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


def outside_loss_band(curves: Mapping[str, Sequence[LossPoint]]) -> dict[str, str]:
    """Return, for each strategy whose loss leaves the band of the others, words that say by how much.

    Each strategy is compared at the largest number of samples that it and at least two others reached.
    """
    difference_by_name = {
        name: "its loss is not a finite number"
        for name, points in curves.items()
        if any(point.loss is None for point in points)
    }
    smoothed_curves = {
        name: _smoothed(points) for name, points in curves.items() if points and name not in difference_by_name
    }
    for name, (samples, losses) in smoothed_curves.items():
        samples_reached = sorted((curve[0][-1] for curve in smoothed_curves.values()), reverse=True)
        if len(samples_reached) < fixed.FEWEST_CURVES:
            break
        samples_compared = min(samples[-1], samples_reached[fixed.FEWEST_CURVES - 1])
        other_losses = [
            _loss_at(curve, samples_compared) for curve in smoothed_curves.values() if curve[0][-1] >= samples_compared
        ]
        median = float(np.median(other_losses))
        deviation = MAD_TO_DEVIATION * float(np.median(np.abs(np.array(other_losses) - median)))
        own_loss = _loss_at((samples, losses), samples_compared)
        if abs(own_loss - median) > max(fixed.LOSS_DEVIATIONS * deviation, fixed.LOSS_BAND * abs(median)):
            above_or_below = "above" if own_loss > median else "below"
            difference_by_name[name] = (
                f"loss {own_loss:.3g} after {samples_compared:,.0f} samples, {above_or_below} the others' {median:.3g}"
            )
    return difference_by_name


def _smoothed(points: Sequence[LossPoint]) -> Curve:
    """Average the losses of the points within SMOOTH_SAMPLES before each point."""
    samples = np.array([point.samples for point in points], np.float64)
    losses = np.array([point.loss for point in points], np.float64)
    first_points = np.searchsorted(samples, samples - SMOOTH_SAMPLES, side="right")
    loss_sums = np.concatenate([[0.0], np.cumsum(losses)])
    last_points = np.arange(1, len(samples) + 1)
    return samples, (loss_sums[last_points] - loss_sums[first_points]) / np.maximum(last_points - first_points, 1)


def _loss_at(curve: Curve, samples: float) -> float:
    return float(np.interp(samples, *curve))
