"""The tables of predictions: what each change should gain, and each prediction beside what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.report.cells import times
from gpuprobe.report.findings import gain_ratio
from gpuprobe.report.findings import predictions as gaining

if TYPE_CHECKING:
    from gpuprobe.ranking.ranking import Ranking, Scored

SCORED = ["strategy", "against", "the change replayed", "predicted", "measured", "miss"]


def scored_cells(prediction: Scored) -> list[str]:
    """Return the cells of one prediction beside what was measured; the reason where there is none."""
    predicted = gain_ratio(prediction.predicted) if prediction.predicted else f"none: {prediction.missing}"
    prediction_cells = [
        f"`{prediction.strategy}`",
        f"`{prediction.against}`",
        f"`{prediction.change}`",
        predicted,
        times(prediction.measured),
    ]
    return [*prediction_cells, miss(prediction.error)]


def miss(error: float | None) -> str:
    """Write how much longer or shorter a predicted step was than the measured one: `+10 %`; empty where unknown."""
    if error is None:
        return ""
    percent = round(100 * error)
    return f"{percent:+d} %" if percent else "0 %"


def scorecard(ranking: Ranking) -> list[list[str]]:
    """Return a head and a row for each prediction; empty where there is none."""
    return [SCORED, *(scored_cells(prediction) for prediction in ranking.scorecard)] if ranking.scorecard else []


def predictions(ranking: Ranking) -> list[list[str]]:
    """Return a head and a row for each change that gains by the baseline's trace; empty where none does."""
    prediction_rows = [
        [f"`{change}`", gain_words, most_words, assumption]
        for change, _, gain_words, most_words, assumption in gaining(ranking.predictions)
    ]
    return [["change", "predicted", "at most", "if"], *prediction_rows] if prediction_rows else []
