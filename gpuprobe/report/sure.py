"""How sure a study is: whether its evidence agrees, how far its predictions missed, how often each strategy ran."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from gpuprobe import wording

if TYPE_CHECKING:
    from gpuprobe.ranking.ranking import Ranking
    from gpuprobe.records import Study


def sure(ranking: Ranking, study: Study) -> str:
    """Return a few sentences on how far the result of a study can be trusted."""
    sentences = (
        ranking.agreement,
        _prediction_misses(ranking),
        _repetitions(ranking, study),
        _unstable_rates(ranking),
        _simulated(study),
    )
    return " ".join(filter(None, sentences))


def _prediction_misses(ranking: Ranking) -> str:
    errors = [scored.error for scored in ranking.scorecard]
    errors += [step.error for search in ranking.searches for step in search.steps]
    misses = [abs(error) for error in errors if error is not None]
    if not misses:
        return ""
    return (
        f"{wording.count(len(misses), 'prediction')} from traces missed the step time that was then measured by "
        f"{_percent(median(misses))} in the median, {_percent(max(misses))} at most."
    )


def _repetitions(ranking: Ranking, study: Study) -> str:
    searched = {info.name for info in study.strategies if info.combines}
    round_counts = sorted({row.samples_per_s.rounds for row in ranking.rows if row.strategy not in searched})
    if not round_counts or not study.request.rounds:
        return ""
    how_often = {1: "once", 2: "twice"}.get(round_counts[0], f"{round_counts[0]} times")
    if len(round_counts) > 1:
        once_more = study.request.rounds == 1 and round_counts == [1, 2]
        how_often = "once, the first once more" if once_more else f"{round_counts[0]} to {round_counts[-1]} times"
    return (
        f"Each strategy ran {how_often}, in fresh processes. Brackets hold the 95 % interval of a measurement, or the "
        "range that the assumptions of a prediction leave open."
    )


def _unstable_rates(ranking: Ranking) -> str:
    unstable = sum(row.marked("unstable") is not None for row in ranking.rows)
    return f"Rates were unsteady: {unstable} of {len(ranking.rows)} strategies are marked unstable." if unstable else ""


def _simulated(study: Study) -> str:
    if not study.environment.simulated:
        return ""
    return "All of it is simulated: it shows how gpuprobe reasons, and proves nothing about a real GPU."


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f} %"
