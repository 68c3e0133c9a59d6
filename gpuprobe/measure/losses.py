"""The loss curve against samples seen, from the running means that Keras keeps."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from gpuprobe.records import LossPoint

if TYPE_CHECKING:
    from collections.abc import Sequence

# More points would not show more, and would make the record large.
MAX_POINTS = 200


def loss_points(means: Sequence[tuple[int, int, float]]) -> list[LossPoint]:
    """Convert the running mean after each call into at most MAX_POINTS points, each the mean loss of some calls.

    Each item is (samples seen, samples since Keras reset the mean, running mean of the loss). A call that raises the
    samples since the reset from n1 to n2, and the mean from m1 to m2, had the loss (n2 m2 - n1 m1) / (n2 - n1).
    """
    losses: list[tuple[int, float]] = []
    last_count, last_mean = 0, 0.0
    for samples, count, mean in means:
        if count <= last_count:
            last_count, last_mean = 0, 0.0
        loss = (count * mean - last_count * last_mean) / (count - last_count)
        losses.append((samples, loss))
        last_count, last_mean = count, mean
    calls_per_point = -(-len(losses) // MAX_POINTS) or 1
    calls_by_point = [losses[start : start + calls_per_point] for start in range(0, len(losses), calls_per_point)]
    return [
        LossPoint(samples=calls[-1][0], loss=finite_or_none(statistics.fmean(loss for _, loss in calls)))
        for calls in calls_by_point
    ]


def finite_or_none(loss: float) -> float | None:
    """Return a loss for a record: None where it is not finite, which JSON cannot hold."""
    return loss if math.isfinite(loss) else None
