"""The laps of runs that took turns, and the fit to them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gpuprobe.paired.fit import Fit, fit
from gpuprobe.paired.links import Process, links
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gpuprobe.records import Phase, Run


def fitted(runs: Mapping[Process, Run]) -> Fit:
    """Return the fit to the laps of all runs."""
    return fit(links(laps(runs)))


def laps(runs: Mapping[Process, Run]) -> list[dict[Process, float]]:
    """Return the log rates of each lap by process, in the order of the turns.

    A disturbed lap is left out if the same runs have enough laps without it.
    """
    blocks: dict[int, dict[Process, Phase]] = {}
    rates: dict[int, dict[Process, float]] = {}
    for process, run in runs.items():
        for phase in run.phases:
            rate = log_rate(phase, run.settings.batch_size) if phase.lap and run.settings else None
            if rate is not None:
                blocks.setdefault(phase.lap, {})[process] = phase
                rates.setdefault(phase.lap, {})[process] = rate
    calm = {lap for lap, phases in blocks.items() if not any(phase.disturbed for phase in phases.values())}
    enough = _enough(rates[lap] for lap in calm)
    return [rates[lap] for lap in sorted(rates) if lap in calm or frozenset(rates[lap]) not in enough]


def log_rate(phase: Phase, batch_size: int) -> float | None:
    """Return the logarithm of the samples per second of one block, None where it has too few steps."""
    if phase.steps < fixed.STEPS_OF_A_TURN or phase.steps_per_s is None:
        return None
    return math.log(phase.steps_per_s * batch_size)


def _enough(calm: Iterable[Mapping[Process, float]]) -> set[frozenset[Process]]:
    count: dict[frozenset[Process], int] = {}
    for lap in calm:
        count[frozenset(lap)] = count.get(frozenset(lap), 0) + 1
    return {members for members, laps in count.items() if laps >= fixed.LAPS_UNDISTURBED}
