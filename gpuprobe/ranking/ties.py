"""Ranks with ties: strategies share a rank if no two of them differ beyond the noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def ranks(rate_by_name: Mapping[str, float], differ: Callable[[str, str], bool]) -> dict[str, int]:
    """Rank from the fastest down; a strategy joins the rank above if it differs from none of that rank.

    So no strategy shares a rank with one that is faster beyond the noise. Ties are not transitive: the last of one rank
    and the first of the next may still tie. A rank is one more than the number of strategies in the ranks above it: 1,
    1, 3.
    """
    rank_by_name: dict[str, int] = {}
    names_of_rank: list[str] = []
    for place, name in enumerate(sorted(rate_by_name, key=lambda name: -rate_by_name[name]), start=1):
        if any(differ(name, other) for other in names_of_rank):
            names_of_rank = []
        names_of_rank.append(name)
        rank_by_name[name] = rank_by_name[names_of_rank[0]] if len(names_of_rank) > 1 else place
    return rank_by_name
