"""Ranks with ties: a rank is shared by strategies of which no two differ beyond the noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def ranks(values: Mapping[str, float], apart: Callable[[str, str], bool]) -> dict[str, int]:
    """Rank from the highest value down; a strategy joins the rank above it where it is apart from nobody there.

    So nobody shares a rank with one that is faster beyond the noise. To be alike is not transitive: the last of one
    rank and the first of the next may be alike all the same. The next rank counts all before it: 1, 1, 3.
    """
    ranked: dict[str, int] = {}
    sharing: list[str] = []
    for place, name in enumerate(sorted(values, key=lambda name: -values[name]), start=1):
        if any(apart(name, other) for other in sharing):
            sharing = []
        sharing.append(name)
        ranked[name] = ranked[sharing[0]] if len(sharing) > 1 else place
    return ranked
