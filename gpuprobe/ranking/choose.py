"""Which changes a combining strategy takes over: those that helped beyond the noise and kept the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpuprobe.ranking.ranking import Ranking
    from gpuprobe.records import Study


def helpful(study: Study, ranking: Ranking) -> tuple[str, ...]:
    """Return the strategies that differ in one thing from what the combining one starts from, and gained by it."""
    base = next((info.against for info in study.strategies if info.combines), None)
    return tuple(
        row.strategy
        for row in ranking.rows
        if row.against == base and row.gain and row.gain.low > 1 and not any("loss" in mark for mark in row.marks)
    )
