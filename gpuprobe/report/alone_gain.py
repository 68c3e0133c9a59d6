"""The gain of one change alone over the baseline, measured or predicted: what the first screen of a study promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.report.answer import first_sentence
from gpuprobe.report.cells import times
from gpuprobe.report.findings import WORTH_A_LINE, gain_ratio

if TYPE_CHECKING:
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.ranking.ranking import Ranking, Row
    from gpuprobe.ranking.rates import Interval
    from gpuprobe.records import Study


@dataclass(frozen=True)
class AloneGain:
    """The gain of one change alone over the baseline: a ratio of samples per second, with its range.

    `measured` is False for a prediction. `says` tells the gain and its prediction in a sentence. `strategy` makes the
    change, empty where none was run.
    """

    strategy: str
    ratio: float
    low: float | None
    high: float | None
    measured: bool
    says: str


def gain_alone(primary: Finding | None, ranking: Ranking, study: Study) -> AloneGain | None:
    """Return what the change that cures the cause gives the baseline by itself, where that is known and a gain."""
    if primary is None:
        return None
    fixing_strategies = [
        signal.name.removeprefix("gain.") for signal in primary.evidence if signal.name.startswith("gain.")
    ]
    fixing_rows = [
        row for name in fixing_strategies if (row := ranking.row(name)) is not None and not row.loss_difference
    ]
    alone_gain = next(
        (row_gain for row in fixing_rows if (row_gain := _gain_of_row(row, ranking, study)) is not None), None
    )
    gain = primary.predicted_gain
    if alone_gain is None and not fixing_rows and gain is not None and gain.over in {"", ranking.baseline}:
        fix = first_sentence(primary.fix)
        sentence = f"{fix} Predicted gain by itself: {gain_ratio(gain)}; not measured here."
        alone_gain = AloneGain("", gain.ratio, gain.low, gain.high, measured=False, says=sentence)
    return alone_gain if alone_gain is not None and alone_gain.ratio >= WORTH_A_LINE else None


def _gain_of_row(row: Row, ranking: Ranking, study: Study) -> AloneGain | None:
    what_if = next((info.what_if for info in study.strategies if info.name == row.strategy), "")
    prediction = next((replay for replay in ranking.predictions if what_if and replay.change.startswith(what_if)), None)
    foretold = f"predicted {gain_ratio(prediction.gain)}" if prediction else ""
    gain = row.gain if row.against == ranking.baseline else _gain_in_search(row.strategy, ranking)
    measured_word = "simulated" if study.environment.simulated else "measured"
    sentence_start = f"`{row.strategy}` alone ({row.change}) on `{ranking.baseline}`:"
    if gain is not None:
        sentence = f"{sentence_start} {', '.join(filter(None, [foretold, f'{measured_word} {times(gain)}']))}."
        return AloneGain(row.strategy, gain.value, gain.low, gain.high, measured=True, says=sentence)
    if prediction is None:
        return None
    sentence, replayed = f"{sentence_start} {foretold}; not measured there.", prediction.gain
    return AloneGain(row.strategy, replayed.ratio, replayed.low, replayed.high, measured=False, says=sentence)


def _gain_in_search(strategy: str, ranking: Ranking) -> Interval | None:
    search_steps = [step for search in ranking.searches if search.start == ranking.baseline for step in search.steps]
    return next((step.gain for step in search_steps if step.combines == (strategy,) and step.gain is not None), None)
