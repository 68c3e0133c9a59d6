"""The rates of runs that took turns, lap by lap, and the fit to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.paired.block_rate import log_rate
from gpuprobe.paired.fit import Fit, fit_links
from gpuprobe.paired.links import Process, links_of
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gpuprobe.records import Phase, Run


def fit_laps(runs: Mapping[Process, Run]) -> Fit:
    """Return the fit to the laps of all runs."""
    return fit_links(links_of(lap_rates(runs)))


def lap_rates(runs: Mapping[Process, Run]) -> list[dict[Process, float]]:
    """Return the log rates (samples/s) of each lap by process, in the order of the laps.

    Disturbed laps are left out where the same runs have enough undisturbed ones.
    """
    phases_by_lap: dict[int, dict[Process, Phase]] = {}
    rates_by_lap: dict[int, dict[Process, float]] = {}
    for process, run in runs.items():
        for phase in run.phases:
            block_rate = log_rate(phase, run.settings.batch_size) if phase.lap and run.settings else None
            if block_rate is not None:
                phases_by_lap.setdefault(phase.lap, {})[process] = phase
                rates_by_lap.setdefault(phase.lap, {})[process] = block_rate
    undisturbed = {
        lap for lap, phases in phases_by_lap.items() if not any(phase.disturbed for phase in phases.values())
    }
    members_with_enough = _members_with_enough(rates_by_lap[lap] for lap in undisturbed)
    return [
        rates_by_lap[lap]
        for lap in sorted(rates_by_lap)
        if lap in undisturbed or frozenset(rates_by_lap[lap]) not in members_with_enough
    ]


def _members_with_enough(undisturbed_laps: Iterable[Mapping[Process, float]]) -> set[frozenset[Process]]:
    laps_by_members: dict[frozenset[Process], int] = {}
    for lap in undisturbed_laps:
        laps_by_members[frozenset(lap)] = laps_by_members.get(frozenset(lap), 0) + 1
    return {members for members, laps in laps_by_members.items() if laps >= fixed.LAPS_UNDISTURBED}
