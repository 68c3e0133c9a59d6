"""Where the level of a series changes for good: binary segmentation by the mean, with slow waves counted as noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.thresholds import Thresholds

# A series with more points is averaged in groups first; a level as long as a thousandth of it still shows.
MOST_POINTS = 4096


def change_points(levels: NDArray[np.float64], cell_s: float, limits: Thresholds) -> list[int]:
    """Return the indices in `levels`, (n,) percent, at which another level begins, in order.

    `cell_s` is the distance between two points in seconds. A change is at least `phase_points` large, lies between
    parts of at least `phase_cells` points and `phase_s` seconds, and exceeds `phase_deviations` standard errors. If a
    mostly idle part at the beginning or end lies beside a mostly busy one, as while starting up, `start_up_deviations`
    are enough. The error comes from means over blocks of every length, so bursts that repeat count as noise.
    """
    group = -(-len(levels) // MOST_POINTS) or 1
    grouped = len(levels) // group * group
    means = levels[:grouped].reshape(-1, group).mean(axis=1)
    fewest = max(2, math.ceil(max(limits.phase_cells, limits.phase_s / cell_s) / group))
    changes: list[int] = []
    parts = [(0, len(means))]
    while parts:
        start, end = parts.pop()
        edges = (start == 0, end == len(means))
        place = _largest_change(means[start:end], fewest, edges, limits)
        if place:
            changes.append(start + place)
            parts += [(start, start + place), (start + place, end)]
    return sorted(place * group for place in changes)


def _largest_change(
    levels: NDArray[np.float64], fewest: int, edges: tuple[bool, bool], limits: Thresholds
) -> int | None:
    """Return where the level changes most; None where that is no change.

    `edges` tells whether the part begins, and whether it ends, with the whole series.
    """
    count = len(levels)
    if count < 2 * fewest:
        return None
    places = np.arange(fewest, count - fewest + 1)
    sums = np.cumsum(levels)
    before = sums[places - 1] / places
    after = (sums[-1] - sums[places - 1]) / (count - places)
    best = int(np.argmax(np.abs(after - before) * np.sqrt(places * (count - places))))
    place, sides = int(places[best]), (float(before[best]), float(after[best]))
    step = abs(sides[1] - sides[0])
    if step < 100 * limits.phase_points:
        return None
    noise = np.concatenate([levels[:place] - sides[0], levels[place:] - sides[1]])
    error = np.sqrt(_variance_of_mean(noise) * (1 / place + 1 / (count - place)))
    lower = int(sides[1] < sides[0])
    busy_beside = sides[1 - lower] >= 100 * limits.mostly
    starts_up = edges[lower] and busy_beside and sides[lower] < 100 * limits.start_up_level
    return place if step > error * (limits.start_up_deviations if starts_up else limits.phase_deviations) else None


def _variance_of_mean(noise: NDArray[np.float64]) -> float:
    """Return n times the variance of the mean of n points: the largest that blocks of 1, 2, 4, ... points show."""
    largest, length = 0.0, 1
    while length == 1 or len(noise) // length >= fixed.CHANGE_BLOCKS:
        blocks = noise[: len(noise) // length * length].reshape(-1, length).mean(axis=1)
        largest = max(largest, float((blocks**2).mean()) * length)
        length *= 2
    return largest
