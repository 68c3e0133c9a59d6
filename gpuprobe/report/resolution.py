"""How small a difference a study could tell, and what hindered it: what a report begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from gpuprobe.ranking.ranking import Ranking
    from gpuprobe.records import Study


def resolution(ranking: Ranking) -> str:
    """Say how small a difference could be told; empty where nothing was compared."""
    if ranking.resolution is None:
        return ""
    return f"Differences from `{ranking.baseline}` of {wording.share(ranking.resolution)} or more could be told here."


def too_busy(ranking: Ranking, study: Study) -> str:
    """Say that a machine was too busy to rank anything, who was busy, and what to do; empty where it was not."""
    differs = any(row.beyond or row.beyond_baseline for row in ranking.rows)
    if study.environment.simulated or ranking.resolution is None or ranking.resolution < fixed.FINE_ENOUGH or differs:
        return ""
    foreign = ranking.restless.foreign_cores or 0.0
    cores = study.environment.cores
    who = "what disturbed it was not seen"
    if foreign >= fixed.FOREIGN_SHARE * cores:
        who = f"other programs took {wording.significant(foreign, 2)} of {wording.count(cores, 'processor')}"
    elif ranking.restless.disturbed:
        who = ranking.restless.reasons[0]
    end = "End them" if foreign >= fixed.FOREIGN_SHARE * cores else "Try at a calmer time"
    budget = wording.clock(2 * study.request.budget_s)
    return (
        f"This machine was too busy to rank them: {who}{_marked(ranking)}. {end}, or give the study more time "
        f"(--budget, say of {budget})."
    )


def _marked(ranking: Ranking) -> str:
    seen = ranking.restless
    return f", and {seen.disturbed} of {wording.count(seen.turns, 'turn')} were disturbed" if seen.disturbed else ""
