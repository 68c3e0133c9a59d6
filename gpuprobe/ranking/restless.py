"""Who else was busy while a study was timed, and what disturbed the turns of its runs."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from gpuprobe.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gpuprobe.records import Evidence, Run


class Restless(Record, frozen=True, kw_only=True):
    """What the machine did beside the study: `foreign_cores` others kept busy in the median of the timed windows.

    Of `turns`, `disturbed` many were marked; `reasons` are what was said of them, the most frequent first.
    """

    foreign_cores: float | None = None
    turns: int = 0
    disturbed: int = 0
    reasons: tuple[str, ...] = ()


def restless(runs: Iterable[Run], readings: Sequence[Evidence]) -> Restless:
    """Gather it from the readings of the windows and the marks of the turns."""
    foreign = [cores for told in readings if (cores := told.number("other_cpu_cores")) is not None]
    turns = [phase for run in runs for phase in run.phases if phase.lap]
    marked = [phase.disturbed for phase in turns if phase.disturbed]
    reasons = sorted(set(marked), key=lambda words: (-marked.count(words), words))
    return Restless(
        foreign_cores=median(foreign) if foreign else None,
        turns=len(turns),
        disturbed=len(marked),
        reasons=tuple(reasons),
    )
