"""Ranks with ties: a rank is shared by strategies whose intervals all overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpuprobe.ranking.rates import Interval


def ranks(intervals: Mapping[str, Interval]) -> dict[str, int]:
    """Rank from the highest value down; a strategy joins the rank above it where it overlaps with everyone there.

    So all intervals of a rank overlap one another, and nobody shares a rank with one that is faster beyond the noise.
    Overlapping is not transitive: the last of one rank and the first of the next may overlap all the same. The next
    rank counts all before it: 1, 1, 3.
    """
    ranked: dict[str, int] = {}
    rank, low, high = 1, float("-inf"), float("inf")
    for place, name in enumerate(sorted(intervals, key=lambda name: -intervals[name].value), start=1):
        interval = intervals[name]
        # Intervals that overlap pairwise have a stretch in common (Helly's theorem on the line).
        low, high = max(low, interval.low), min(high, interval.high)
        if low > high:
            rank, low, high = place, interval.low, interval.high
        ranked[name] = rank
    return ranked
