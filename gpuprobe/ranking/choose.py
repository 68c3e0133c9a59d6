"""Which changes a combining strategy may take over, in which order they are tried, and which it is trained with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.ranking.load import load

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.ranking.load import Loaded


def following(folder: Path, strategy: str) -> tuple[str, ...] | None:
    """Return what the search for a combining strategy measures next, None where it has ended."""
    search = load(folder, traces=False).ranking.search(strategy)
    return search.following if search else None


def combined(loaded: Loaded, strategy: str) -> tuple[str, ...]:
    """Return the changes to train a combining strategy with: what its search kept, or is going to try.

    A study from before there was a search combined once; it tells what.
    """
    search, row = loaded.ranking.search(strategy), loaded.ranking.row(strategy)
    if search is not None:
        return search.kept if search.steps else search.left
    return row.combines if row else ()
