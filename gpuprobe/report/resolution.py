"""How small a difference a study could tell, and what hindered it: what a report begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from gpuprobe.ranking.ranking import Ranking
    from gpuprobe.records import Study


def resolution(ranking: Ranking, study: Study) -> str:
    """Say how small a difference could be told, and who was busy where that is much; empty where nothing was compared.

    Where the verdict says who was busy, that is not said twice.
    """
    if ranking.resolution is None:
        return ""
    told = f"Differences from `{ranking.baseline}` of {wording.share(ranking.resolution)} or more could be told here"
    who = _who(ranking, study)
    if study.environment.simulated or ranking.resolution < fixed.FINE_ENOUGH or not who or too_busy(ranking, study):
        return f"{told}."
    return f"{told}: {who}{_marked(ranking)}."


def too_busy(ranking: Ranking, study: Study) -> str:
    """Say that a machine was too busy to rank anything, who was busy, and what to do; empty where it was not."""
    differs = any(row.beyond or row.beyond_baseline for row in ranking.rows)
    if study.environment.simulated or ranking.resolution is None or ranking.resolution < fixed.FINE_ENOUGH or differs:
        return ""
    who = _who(ranking, study) or "what disturbed it was not seen"
    end = "End them" if _foreign(ranking, study) else "Try at a calmer time"
    budget = wording.clock(2 * study.request.budget_s)
    return (
        f"This machine was too busy to rank them: {who}{_marked(ranking)}. {end}, or give the study more time "
        f"(--budget, say of {budget})."
    )


def _foreign(ranking: Ranking, study: Study) -> bool:
    return (ranking.restless.foreign_cores or 0.0) >= fixed.FOREIGN_SHARE * study.environment.cores


def _who(ranking: Ranking, study: Study) -> str:
    """Say who was busy beside the study, empty where nobody was seen."""
    if _foreign(ranking, study):
        taken = wording.significant(ranking.restless.foreign_cores or 0.0, 2)
        return f"other programs took {taken} of {wording.count(study.environment.cores, 'processor')}"
    return ranking.restless.reasons[0] if ranking.restless.disturbed else ""


def _marked(ranking: Ranking) -> str:
    seen = ranking.restless
    return f", and {seen.disturbed} of {wording.count(seen.turns, 'turn')} were disturbed" if seen.disturbed else ""
