"""Selects the runs of a search among those of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpuprobe.records import Run


def runs_of_search(strategy: str, runs: Iterable[Run]) -> list[Run]:
    """Return the runs of a search, in order, without interrupted and unreadable ones."""
    steps = [run for run in runs if run.spec.strategy == strategy and run.spec.step]
    usable = (run for run in steps if run.outcome.state not in {"interrupted", "unreadable"})
    return sorted(usable, key=lambda run: run.spec.step)
