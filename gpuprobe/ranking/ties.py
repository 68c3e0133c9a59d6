"""Ranks with ties: strategies whose intervals overlap share one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpuprobe.ranking.rates import Interval


def ranks(intervals: Mapping[str, Interval]) -> dict[str, int]:
    """Rank by value, the highest first; whoever overlaps with one of a rank joins it, so that a rank is a chain.

    The next rank counts all before it: 1, 1, 3.
    """
    order = sorted(intervals, key=lambda name: -intervals[name].value)
    ranked: dict[str, int] = {}
    group_low = float("inf")
    for place, name in enumerate(order, start=1):
        tied = ranked and intervals[name].high >= group_low
        ranked[name] = ranked[order[place - 2]] if tied else place
        group_low = min(group_low, intervals[name].low) if tied else intervals[name].low
    return ranked


def apart_within_rank(intervals: Mapping[str, Interval], ranked: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return pairs (faster, slower) that share a rank through others although their own intervals do not overlap."""
    return [
        (first, second)
        for first in intervals
        for second in intervals
        if ranked[first] == ranked[second] and intervals[first].low > intervals[second].high
    ]
