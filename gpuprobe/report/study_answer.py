"""The answer of a study: what the baseline loses and why, and what the fastest of the same loss curve takes."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.records.strategy import chain
from gpuprobe.report import answer, scaling
from gpuprobe.report.cells import times
from gpuprobe.report.drawn import label
from gpuprobe.report.findings import WORTH_A_LINE
from gpuprobe.report.findings import ratio as told_ratio
from gpuprobe.report.headline import headline
from gpuprobe.report.resolution import smallest_in_words, untold
from gpuprobe.report.verdict import UNCAUSED

if TYPE_CHECKING:
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.ranking.load import Loaded
    from gpuprobe.ranking.ranking import Ranking, Row
    from gpuprobe.ranking.rates import Interval
    from gpuprobe.records import Study
    from gpuprobe.report.answer import Answer
    from gpuprobe.report.charts import Bar

MS_PER_S = 1000
# Times of traced steps in a claim: tracing slows them, and the bars beside it show steps timed without a trace.
_TRACED = re.compile(r" \([\d.,]+ (?:us|ms|s)\)")


@dataclass(frozen=True)
class Alone:
    """What one change gives the baseline by itself: the ratio of samples per second, and whether that was measured.

    `says` is a sentence with that gain and its prediction. `strategy` makes the change, empty where none was run.
    """

    strategy: str
    ratio: float
    low: float | None
    high: float | None
    measured: bool
    says: str


def of_study(loaded: Loaded) -> Answer:
    """Answer from all runs of a study, also of one in which nothing was measured."""
    ranking, study = loaded.ranking, loaded.study
    primary = next((finding for finding in ranking.findings if finding.primary), None)
    baseline = ranking.row(ranking.baseline)
    chips = (*(answer.cause_chips(primary, disputed=ranking.disputed) if ranking.rows else ()), *_resolution(ranking))
    if not ranking.rows or baseline is None:
        return answer.Answer(_title(loaded, primary, None), chips, None, "", "", "")
    best = fastest(ranking)
    healthy = primary is None or primary.cause in UNCAUSED
    code = "" if primary is None or healthy else primary.code
    alone = None if healthy else _alone(primary, ranking, study)
    return answer.Answer(
        _title(loaded, primary, alone),
        chips,
        answer.bars_of(_bars(ranking, study, best, alone), _unit(baseline)),
        _change(best, alone, ranking, study) or (primary.fix if primary else ""),
        code,
        _TRACED.sub("", answer.first_sentence(primary.claim)) if primary else "",
    )


def fastest(ranking: Ranking) -> Row | None:
    """Return the fastest with the baseline's loss curve, None where none is faster than that beyond the noise."""
    return next((row for row in ranking.rows if row.is_faster and not row.trains_otherwise), None)


def _title(loaded: Loaded, primary: Finding | None, alone: Alone | None) -> str:
    ranking, study = loaded.ranking, loaded.study
    absent = "" if study.environment.gpus else "No GPU here. "
    if not ranking.rows:
        failed = ranking.failures[0] if ranking.failures else None
        why = f": `{failed.strategy}`, {failed.state.replace('_', ' ')}, {failed.message}" if failed else ""
        return f"{absent}No run finished{why}."
    baseline = ranking.row(ranking.baseline)
    if ranking.scaling is not None and (scaled := scaling.headline(ranking.scaling)):
        return f"{absent}{scaled}."
    finding_title = headline(primary, baseline.breakdown if baseline else None)
    names = wording.count(len(ranking.rows), "strategy", "strategies")
    if (reason := untold(ranking, study)) is not None:
        return f"{absent}Could not tell which of {names} is fastest: {reason.title}. {finding_title}."
    return f"{absent}{finding_title}. {_outcome(ranking, baseline, fastest(ranking), alone)}"


def _outcome(ranking: Ranking, baseline: Row | None, best: Row | None, alone: Alone | None) -> str:
    if baseline is None:
        return "The baseline was not measured."
    if best is not None:
        return f"`{best.strategy}`: {_time(baseline)} -> {_time(best)}{_an_epoch(best)}."
    if len(ranking.rows) == 1:
        after = f"; with the change {_time(baseline, alone.ratio)} predicted" if alone else ""
        return f"{_time(baseline)}{_an_epoch(baseline)}{after}."
    alike = " of the same loss curve" if any(row.trains_otherwise for row in ranking.rows) else ""
    return f"No strategy{alike} is faster than `{baseline.strategy}` beyond the noise."


def _time(row: Row, gain: float = 1.0) -> str:
    return (
        wording.duration(row.epoch_s.value / gain) if row.epoch_s else wording.milliseconds(_step_ms(row, row) / gain)
    )


def _an_epoch(row: Row) -> str:
    return " an epoch" if row.epoch_s else " a step"


def _step_ms(row: Row, baseline: Row) -> float:
    """Return the ms that a row needs for the samples of one step of the baseline."""
    return MS_PER_S * baseline.settings.batch_size / row.samples_per_s.value


def _unit(baseline: Row) -> str:
    samples = wording.count(baseline.settings.batch_size, "sample")
    return f"ms for {samples}, which is one step of {label(baseline.strategy)}"


def _resolution(ranking: Ranking) -> tuple[tuple[str, str], ...]:
    smallest = smallest_in_words(ranking)
    return (("smallest difference that could be told", smallest),) if smallest else ()


def _bars(ranking: Ranking, study: Study, best: Row | None, alone: Alone | None) -> list[Bar]:
    baseline = ranking.row(ranking.baseline)
    assert baseline is not None
    word = "simulated" if study.environment.simulated else "measured"
    now = _step_ms(baseline, baseline)
    rows = [answer.measured_bar(f"before: {label(baseline.strategy)}", now, baseline.breakdown, word)]
    if alone is not None and not _is_fastest(best, alone, baseline):
        name = f"after: {label(alone.strategy)} alone" if alone.strategy else "after: the advised change"
        if alone.measured:
            rows.append(answer.measured_bar(name, now / alone.ratio, None, word))
        else:
            rows.append(answer.predicted_bar(name, now, alone.ratio, alone.low, alone.high))
    if len(rows) == 1 and best is None:
        return [replace(rows[0], label=label(baseline.strategy))]
    if best is not None:
        built = _built_on(best, study)
        note = f"with what {built} does too" if built and best.against != baseline.strategy else ""
        rows.append(
            answer.measured_bar(f"after: {label(best.strategy)}", _step_ms(best, baseline), best.breakdown, word, note)
        )
    return rows


def _is_fastest(best: Row | None, alone: Alone, baseline: Row) -> bool:
    """Whether the change by itself is what the fastest strategy is."""
    return best is not None and alone.strategy == best.strategy and best.against == baseline.strategy


def _built_on(best: Row, study: Study) -> str:
    """Name the strategy that another one builds on, empty where it builds on none or a search put it together."""
    if best.combines:
        return ""
    before = chain({info.name: info for info in study.strategies}, best.strategy)[:-1]
    return label(before[-1]) if before else ""


def _change(best: Row | None, alone: Alone | None, ranking: Ranking, study: Study) -> str:
    """Say what the diff gains by itself, and what more the fastest strategy has."""
    sentences = [alone.says] if alone else []
    if best is not None:
        baseline = ranking.row(ranking.baseline)
        assert baseline is not None
        gain = f" is {times(best.speedup)} as fast as `{baseline.strategy}`" if best.speedup else " is the fastest"
        if best.combines:
            names = wording.listing([f"`{name}`" for name in best.combines])
            sentences.append(f"`{best.strategy}`, which is {names} together,{gain}.")
        elif alone is None or not _is_fastest(best, alone, baseline):
            built = _built_on(best, study)
            on = f" on top of `{built}`" if built and built != baseline.strategy else ""
            is_told = alone is not None and alone.strategy == best.strategy
            what = f" ({best.change})" if best.change and not is_told else ""
            sentences.append(f"The strategy `{best.strategy}`{what}{on}{gain}.")
        if best.settings.batch_size != baseline.settings.batch_size:
            sentences.append("It makes fewer updates an epoch: compare the accuracy before you adopt it.")
    return " ".join(sentences)


def _alone(primary: Finding | None, ranking: Ranking, study: Study) -> Alone | None:
    """Return what the change that cures the cause gives the baseline by itself, where that is known and a gain."""
    if primary is None:
        return None
    names = [signal.name.removeprefix("gain.") for signal in primary.evidence if signal.name.startswith("gain.")]
    rows = [row for name in names if (row := ranking.row(name)) is not None and not row.trains_otherwise]
    alone = next((gain_alone for row in rows if (gain_alone := _gain_of_row(row, ranking, study)) is not None), None)
    gain = primary.predicted_gain
    if alone is None and not rows and gain is not None and gain.over in {"", ranking.baseline}:
        fix = answer.first_sentence(primary.fix)
        sentence = f"{fix} Predicted gain by itself: {told_ratio(gain)}; not measured here."
        alone = Alone("", gain.ratio, gain.low, gain.high, measured=False, says=sentence)
    return alone if alone is not None and alone.ratio >= WORTH_A_LINE else None


def _gain_of_row(row: Row, ranking: Ranking, study: Study) -> Alone | None:
    change = next((info.what_if for info in study.strategies if info.name == row.strategy), "")
    prediction = next((made for made in ranking.predictions if change and made.change.startswith(change)), None)
    foretold = f"predicted {told_ratio(prediction.gain)}" if prediction else ""
    gain = row.gain if row.against == ranking.baseline else _searched(row.strategy, ranking)
    word = "simulated" if study.environment.simulated else "measured"
    begin = f"`{row.strategy}` alone ({row.change}) on `{ranking.baseline}`:"
    if gain is not None:
        sentence = f"{begin} {', '.join(filter(None, [foretold, f'{word} {times(gain)}']))}."
        return Alone(row.strategy, gain.value, gain.low, gain.high, measured=True, says=sentence)
    if prediction is None:
        return None
    sentence, replayed = f"{begin} {foretold}; not measured there.", prediction.gain
    return Alone(row.strategy, replayed.ratio, replayed.low, replayed.high, measured=False, says=sentence)


def _searched(name: str, ranking: Ranking) -> Interval | None:
    steps = [step for search in ranking.searches if search.start == ranking.baseline for step in search.steps]
    return next((step.gain for step in steps if step.combines == (name,) and step.gain is not None), None)
