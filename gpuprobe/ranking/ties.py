"""Ranks with ties: strategies share a rank if no two of them differ beyond the noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def ranks(values: Mapping[str, float], apart: Callable[[str, str], bool]) -> dict[str, int]:
    """Rank from the highest value down; a strategy joins the rank above if it differs from none there.

    So no strategy shares a rank with one that is faster beyond the noise. Ties are not transitive: the last of one rank
    and the first of the next may still tie. The next rank counts all strategies before it: 1, 1, 3.
    """
    ranked: dict[str, int] = {}
    sharing: list[str] = []
    for place, name in enumerate(sorted(values, key=lambda name: -values[name]), start=1):
        if any(apart(name, other) for other in sharing):
            sharing = []
        sharing.append(name)
        ranked[name] = ranked[sharing[0]] if len(sharing) > 1 else place
    return ranked
