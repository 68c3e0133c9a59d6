"""The smallest difference that a study could tell, and what disturbed it: the first line of a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from gpuprobe.ranking.ranking import Ranking
    from gpuprobe.records import Study


def resolution(ranking: Ranking, study: Study) -> str:
    """Say how small a difference could be told; where that is large, also what kept the machine busy.

    Empty where nothing was compared. What kept the machine busy is left out where the verdict says it already.
    """
    if ranking.resolution is None:
        return ""
    if ranking.resolution >= fixed.TENFOLD:
        smallest = f"Not even a tenfold difference from `{ranking.baseline}` could be told here"
    else:
        difference = wording.share(ranking.resolution)
        smallest = f"Differences from `{ranking.baseline}` of {difference} or more could be told here"
    disturbance = _disturbance(ranking, study)
    is_fine = study.environment.simulated or ranking.resolution < fixed.FINE_ENOUGH
    if is_fine or not disturbance or untold(ranking, study):
        return f"{smallest}."
    return f"{smallest}: {disturbance}{_disturbed_turns(ranking)}."


def smallest_in_words(ranking: Ranking) -> str:
    """Return the smallest difference that could be told; empty where nothing was compared."""
    if ranking.resolution is None:
        return ""
    return wording.share(ranking.resolution) if ranking.resolution < fixed.TENFOLD else "more than tenfold"


@dataclass(frozen=True)
class Untold:
    """Why a study could not tell any two strategies apart: `title` for the first line, `said` with what to do."""

    title: str
    said: str


def untold(ranking: Ranking, study: Study) -> Untold | None:
    """Say why no strategies could be told apart; None where some could, or where nothing was compared."""
    any_differs = any(row.beyond or row.beyond_baseline for row in ranking.rows)
    if (
        study.environment.simulated
        or ranking.resolution is None
        or ranking.resolution < fixed.FINE_ENOUGH
        or any_differs
    ):
        return None
    disturbance, disturbances = _disturbance(ranking, study), ranking.disturbances
    more_time = f"(--budget, say of {wording.clock(2 * study.request.budget_s)})."
    if disturbance:
        what_to_end = "End them" if _is_foreign(ranking, study) else "Try at a calmer time"
        sentence = f"This machine was too busy to rank them: {disturbance}{_disturbed_turns(ranking)}."
        return Untold("the machine was too busy", f"{sentence} {what_to_end}, or give the study more time {more_time}")
    if disturbances.pace is not None and disturbances.pace[1] > (1 + fixed.FINE_ENOUGH) * disturbances.pace[0]:
        slow, fast = (wording.significant(pace, 2) for pace in disturbances.pace)
        sentence = (
            "This machine's speed changed too much to rank them: "
            f"from turn to turn `{disturbances.pace_of}` ran {slow} to {fast} steps a second, "
            "and no reason was seen (other guests of a virtual machine cannot be)."
        )
        advice = f"Try at a calmer time, or give the study more time {more_time}"
        return Untold("the machine's speed changed", f"{sentence} {advice}")
    return Untold("the study was too short", f"The study was too short to rank them. Give it more time {more_time}")


def _is_foreign(ranking: Ranking, study: Study) -> bool:
    return (ranking.disturbances.foreign_cores or 0.0) >= fixed.FOREIGN_SHARE * study.environment.cores


def _disturbance(ranking: Ranking, study: Study) -> str:
    """Say who was busy beside the study, empty where nobody was seen."""
    if _is_foreign(ranking, study):
        cores_taken = wording.significant(ranking.disturbances.foreign_cores or 0.0, 2)
        return f"other programs took {cores_taken} of {wording.count(study.environment.cores, 'processor')}"
    return ranking.disturbances.reasons[0] if ranking.disturbances.disturbed else ""


def _disturbed_turns(ranking: Ranking) -> str:
    disturbances = ranking.disturbances
    if not disturbances.disturbed:
        return ""
    return f", and {disturbances.disturbed} of {wording.count(disturbances.turns, 'turn')} were disturbed"
