"""Summarises other programs' load while a study was timed, and disturbances of its runs' turns."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from gpuprobe.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gpuprobe.records import Evidence, Run


class Restless(Record, frozen=True, kw_only=True):
    """Disturbances of a study: `foreign_cores` is how many cores others used, the median over the timed windows.

    Of all `turns`, `disturbed` is the number of disturbed ones, and `reasons` are the reasons, the most frequent first.
    `pace` is the slowest and the fastest turn, in steps per second, of the run with the most turns, `pace_of` its
    strategy.
    """

    foreign_cores: float | None = None
    turns: int = 0
    disturbed: int = 0
    reasons: tuple[str, ...] = ()
    pace: tuple[float, float] | None = None
    pace_of: str = ""


def restless(runs: Iterable[Run], readings: Sequence[Evidence]) -> Restless:
    """Gather the disturbances from the readings of the windows and the marks of the turns."""
    runs = list(runs)
    foreign = [cores for evidence in readings if (cores := evidence.number("other_cpu_cores")) is not None]
    turns = [phase for run in runs for phase in run.phases if phase.lap]
    marked = [phase.disturbed for phase in turns if phase.disturbed]
    reasons = sorted(set(marked), key=lambda words: (-marked.count(words), words))
    control = max(runs, key=lambda run: sum(phase.lap > 0 for phase in run.phases), default=None)
    paces = [pace for phase in control.phases if phase.lap and (pace := phase.steps_per_s)] if control else []
    return Restless(
        foreign_cores=median(foreign) if foreign else None,
        turns=len(turns),
        disturbed=len(marked),
        reasons=tuple(reasons),
        pace=(min(paces), max(paces)) if len(paces) > 1 else None,
        pace_of=control.spec.strategy if control and len(paces) > 1 else "",
    )
