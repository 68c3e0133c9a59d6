"""Where the level of a series changes for good: binary segmentation of the mean, judged against its slow waves too."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.thresholds import Thresholds

# More points than these are averaged in groups first: what is as long as a thousandth of all is still seen.
MOST_POINTS = 4096


def change_points(levels: NDArray[np.float64], cell_s: float, limits: Thresholds) -> list[int]:
    """Return the places at which another level, in percent, begins, in order; `cell_s` is how far points are apart.

    A change is one by at least `phase_points`, between parts of `phase_cells` points and `phase_s` and more, that is
    `phase_deviations` standard errors large; `start_up_deviations` suffice where a part at the beginning or the end is
    idle but for moments, as starting up is, beside one that is mostly busy. The error is taken from means over blocks
    of every length, so that bursts that come again and again are noise and no change.
    """
    group = -(-len(levels) // MOST_POINTS) or 1
    whole = len(levels) // group * group
    means = levels[:whole].reshape(-1, group).mean(axis=1)
    fewest = max(2, math.ceil(max(limits.phase_cells, limits.phase_s / cell_s) / group))
    found: list[int] = []
    parts = [(0, len(means))]
    while parts:
        start, end = parts.pop()
        edges = (start == 0, end == len(means))
        place = _change(means[start:end], fewest, edges, limits)
        if place:
            found.append(start + place)
            parts += [(start, start + place), (start + place, end)]
    return sorted(place * group for place in found)


def _change(levels: NDArray[np.float64], fewest: int, edges: tuple[bool, bool], limits: Thresholds) -> int | None:
    """Return where the level changes most, None where that is no change; `edges` says whether a part ends the whole."""
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
    rest = np.concatenate([levels[:place] - sides[0], levels[place:] - sides[1]])
    error = np.sqrt(_variance_of_mean(rest) * (1 / place + 1 / (count - place)))
    lower = int(sides[1] < sides[0])
    works = sides[1 - lower] >= 100 * limits.mostly
    outside = edges[lower] and works and sides[lower] < 100 * limits.start_up_level
    return place if step > error * (limits.start_up_deviations if outside else limits.phase_deviations) else None


def _variance_of_mean(rest: NDArray[np.float64]) -> float:
    """Return the variance of the mean of n points, times n: the largest that blocks of 1, 2, 4, ... points show."""
    largest, length = 0.0, 1
    while length == 1 or len(rest) // length >= fixed.CHANGE_BLOCKS:
        blocks = rest[: len(rest) // length * length].reshape(-1, length).mean(axis=1)
        largest = max(largest, float((blocks**2).mean()) * length)
        length *= 2
    return largest
