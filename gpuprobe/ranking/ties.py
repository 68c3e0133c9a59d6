"""Ranks with ties: strategies whose intervals overlap share one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpuprobe.ranking.rates import Interval


def ranks(intervals: Mapping[str, Interval]) -> dict[str, int]:
    """Rank from the highest interval down; whoever overlaps with one of a rank joins it, so that a rank is a chain.

    The next rank counts all before it: 1, 1, 3.
    """
    ranked: dict[str, int] = {}
    rank, chain_low = 1, float("inf")
    for place, name in enumerate(sorted(intervals, key=lambda name: -intervals[name].high), start=1):
        if intervals[name].high < chain_low:
            rank, chain_low = place, intervals[name].low
        ranked[name] = rank
        chain_low = min(chain_low, intervals[name].low)
    return ranked


def apart_within_rank(intervals: Mapping[str, Interval], ranked: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return pairs (faster, slower) that share a rank through others although their own intervals do not overlap."""
    return [
        (first, second)
        for first in intervals
        for second in intervals
        if ranked[first] == ranked[second] and intervals[first].low > intervals[second].high
    ]
