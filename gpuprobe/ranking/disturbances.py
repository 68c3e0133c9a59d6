"""What disturbed a study while it was timed: the load of other programs, and disturbed turns."""

from __future__ import annotations

import re
from statistics import median
from typing import TYPE_CHECKING

from gpuprobe.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gpuprobe.records import Evidence, Run

# A figure in the words of a reason, with the commas between thousands.
_FIGURE = re.compile(r"\d[\d,]*(?:\.\d+)?")


class Disturbances(Record, frozen=True, kw_only=True):
    """Disturbances of a study: `foreign_cores` is how many cores other programs used, the median over the windows.

    Of `turns` turns, `disturbed` were disturbed, for these `reasons`, the most frequent first, each with the figures of
    its median turn. `pace` is the speed of the slowest and of the fastest turn (steps/s) of the run with the most
    turns, `pace_of` its strategy.
    """

    foreign_cores: float | None = None
    turns: int = 0
    disturbed: int = 0
    reasons: tuple[str, ...] = ()
    pace: tuple[float, float] | None = None
    pace_of: str = ""


def disturbances_of(runs: Iterable[Run], readings: Sequence[Evidence]) -> Disturbances:
    """Gather the disturbances from the readings of the windows and the marks of the turns."""
    runs = list(runs)
    foreign_cores = [cores for evidence in readings if (cores := evidence.number("other_cpu_cores")) is not None]
    turns = [phase for run in runs for phase in run.phases if phase.lap]
    reasons_of_turns = [phase.disturbed for phase in turns if phase.disturbed]
    run_with_most_turns = max(runs, key=lambda run: sum(phase.lap > 0 for phase in run.phases), default=None)
    paces = (
        [pace for phase in run_with_most_turns.phases if phase.lap and (pace := phase.steps_per_s)]
        if run_with_most_turns
        else []
    )
    return Disturbances(
        foreign_cores=median(foreign_cores) if foreign_cores else None,
        turns=len(turns),
        disturbed=len(reasons_of_turns),
        reasons=_by_kind(reasons_of_turns),
        pace=(min(paces), max(paces)) if len(paces) > 1 else None,
        pace_of=run_with_most_turns.spec.strategy if run_with_most_turns and len(paces) > 1 else "",
    )


def _by_kind(reasons_of_turns: Iterable[str]) -> tuple[str, ...]:
    """Return one reason of each kind, the most frequent kind first: that of the turn with the median figure.

    Two reasons are of one kind where they differ in their figures alone. A turn may have several, joined by "; ".
    """
    reasons_by_kind: dict[str, list[str]] = {}
    for reasons in reasons_of_turns:
        for reason in reasons.split("; "):
            reasons_by_kind.setdefault(_FIGURE.sub("", reason), []).append(reason)
    by_frequency = sorted(reasons_by_kind.items(), key=lambda of_kind: (-len(of_kind[1]), of_kind[0]))
    return tuple(sorted(reasons, key=_figures)[len(reasons) // 2] for _, reasons in by_frequency)


def _figures(reason: str) -> list[float]:
    return [float(figure.replace(",", "")) for figure in _FIGURE.findall(reason)]
