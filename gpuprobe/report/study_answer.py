"""The answer of a study: what the baseline loses and why, and how fast the best strategy of the same loss curve is."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.records.strategy import chain
from gpuprobe.report import answer, scaling
from gpuprobe.report.alone_gain import gain_alone
from gpuprobe.report.cells import times
from gpuprobe.report.drawn_over_time import chart_label
from gpuprobe.report.headline import finding_headline
from gpuprobe.report.resolution import smallest_in_words, untold
from gpuprobe.report.verdict import UNCAUSED

if TYPE_CHECKING:
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.ranking.load import Loaded
    from gpuprobe.ranking.ranking import Ranking, Row
    from gpuprobe.records import Study
    from gpuprobe.report.alone_gain import AloneGain
    from gpuprobe.report.answer import Answer
    from gpuprobe.report.charts import Bar

MS_PER_S = 1000
# Times of traced steps in a claim: tracing slows them, and the bars beside it show steps timed without a trace.
_TRACED_TIME = re.compile(r" \([\d.,]+ (?:us|ms|s)\)")


def of_study(loaded: Loaded) -> Answer:
    """Answer from all runs of a study, also of one in which nothing was measured."""
    ranking, study = loaded.ranking, loaded.study
    primary = next((finding for finding in ranking.findings if finding.primary), None)
    baseline = ranking.row(ranking.baseline)
    chips = (*(answer.cause_chips(primary, disputed=ranking.disputed) if ranking.rows else ()), *_resolution(ranking))
    if not ranking.rows or baseline is None:
        return answer.Answer(_study_title(loaded, primary, None), chips, None, "", "", "")
    fastest_row = ranking.fastest
    is_healthy = primary is None or primary.cause in UNCAUSED
    code = "" if primary is None or is_healthy else primary.code
    alone_gain = None if is_healthy else gain_alone(primary, ranking, study)
    return answer.Answer(
        _study_title(loaded, primary, alone_gain),
        chips,
        answer.bars_of(_before_and_after(ranking, study, fastest_row, alone_gain), _unit(baseline)),
        _change_sentences(fastest_row, alone_gain, ranking, study) or (primary.fix if primary else ""),
        code,
        _TRACED_TIME.sub("", answer.first_sentence(primary.claim)) if primary else "",
    )


def _study_title(loaded: Loaded, primary: Finding | None, alone: AloneGain | None) -> str:
    ranking, study = loaded.ranking, loaded.study
    no_gpu = "" if study.environment.gpus else "No GPU here. "
    if not ranking.rows:
        failed = ranking.failures[0] if ranking.failures else None
        failure_words = f": `{failed.strategy}`, {failed.state.replace('_', ' ')}, {failed.message}" if failed else ""
        return f"{no_gpu}No run finished{failure_words}."
    baseline = ranking.row(ranking.baseline)
    if ranking.scaling is not None and (scaled := scaling.scaling_headline(ranking.scaling)):
        return f"{no_gpu}{scaled}."
    finding_title = finding_headline(primary, baseline.breakdown if baseline else None)
    strategy_count = wording.count(len(ranking.rows), "strategy", "strategies")
    if (why_untold := untold(ranking, study)) is not None:
        return f"{no_gpu}Could not tell which of {strategy_count} is fastest: {why_untold.title}. {finding_title}."
    return f"{no_gpu}{finding_title}. {_outcome(ranking, baseline, ranking.fastest, alone)}"


def _outcome(ranking: Ranking, baseline: Row | None, fastest_row: Row | None, alone_gain: AloneGain | None) -> str:
    if baseline is None:
        return "The baseline was not measured."
    if fastest_row is not None:
        return (
            f"`{fastest_row.strategy}`: {_time_taken(baseline)} -> {_time_taken(fastest_row)}{_an_epoch(fastest_row)}."
        )
    if len(ranking.rows) == 1:
        predicted_words = f"; with the change {_time_taken(baseline, alone_gain.ratio)} predicted" if alone_gain else ""
        return f"{_time_taken(baseline)}{_an_epoch(baseline)}{predicted_words}."
    same_loss = " of the same loss curve" if any(row.loss_difference for row in ranking.rows) else ""
    return f"No strategy{same_loss} is faster than `{baseline.strategy}` beyond the noise."


def _time_taken(row: Row, gain: float = 1.0) -> str:
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
    return f"ms for {samples}, which is one step of {chart_label(baseline.strategy)}"


def _resolution(ranking: Ranking) -> tuple[tuple[str, str], ...]:
    smallest = smallest_in_words(ranking)
    return (("smallest difference that could be told", smallest),) if smallest else ()


def _before_and_after(
    ranking: Ranking, study: Study, fastest_row: Row | None, alone_gain: AloneGain | None
) -> list[Bar]:
    baseline = ranking.row(ranking.baseline)
    assert baseline is not None
    measured_word = "simulated" if study.environment.simulated else "measured"
    baseline_ms = _step_ms(baseline, baseline)
    bars = [
        answer.measured_bar(f"before: {chart_label(baseline.strategy)}", baseline_ms, baseline.breakdown, measured_word)
    ]
    if alone_gain is not None and not _is_fastest(fastest_row, alone_gain, baseline):
        bar_name = (
            f"after: {chart_label(alone_gain.strategy)} alone" if alone_gain.strategy else "after: the advised change"
        )
        if alone_gain.measured:
            bars.append(answer.measured_bar(bar_name, baseline_ms / alone_gain.ratio, None, measured_word))
        else:
            bars.append(answer.predicted_bar(bar_name, baseline_ms, alone_gain.ratio, alone_gain.low, alone_gain.high))
    if len(bars) == 1 and fastest_row is None:
        return [replace(bars[0], label=chart_label(baseline.strategy))]
    if fastest_row is not None:
        built_on = _built_on(fastest_row, study)
        note = f"with what {built_on} does too" if built_on and fastest_row.against != baseline.strategy else ""
        bars.append(
            answer.measured_bar(
                f"after: {chart_label(fastest_row.strategy)}",
                _step_ms(fastest_row, baseline),
                fastest_row.breakdown,
                measured_word,
                note,
            )
        )
    return bars


def _is_fastest(fastest_row: Row | None, alone_gain: AloneGain, baseline: Row) -> bool:
    """Whether the fastest strategy is the baseline with this one change."""
    return (
        fastest_row is not None
        and alone_gain.strategy == fastest_row.strategy
        and fastest_row.against == baseline.strategy
    )


def _built_on(fastest_row: Row, study: Study) -> str:
    """Name the strategy that another one builds on, empty where it builds on none or a search put it together."""
    if fastest_row.combines:
        return ""
    strategies_before = chain({info.name: info for info in study.strategies}, fastest_row.strategy)[:-1]
    return chart_label(strategies_before[-1]) if strategies_before else ""


def _change_sentences(fastest_row: Row | None, alone_gain: AloneGain | None, ranking: Ranking, study: Study) -> str:
    """Say what the diff gains by itself, and what more the fastest strategy has."""
    sentences = [alone_gain.says] if alone_gain else []
    if fastest_row is not None:
        baseline = ranking.row(ranking.baseline)
        assert baseline is not None
        gain_words = (
            f" is {times(fastest_row.speedup)} as fast as `{baseline.strategy}`"
            if fastest_row.speedup
            else " is the fastest"
        )
        if fastest_row.combines:
            names = wording.listing([f"`{name}`" for name in fastest_row.combines])
            sentences.append(f"`{fastest_row.strategy}`, which is {names} together,{gain_words}.")
        elif alone_gain is None or not _is_fastest(fastest_row, alone_gain, baseline):
            built_on = _built_on(fastest_row, study)
            on_top = f" on top of `{built_on}`" if built_on and built_on != baseline.strategy else ""
            is_told = alone_gain is not None and alone_gain.strategy == fastest_row.strategy
            change_words = f" ({fastest_row.change})" if fastest_row.change and not is_told else ""
            sentences.append(f"The strategy `{fastest_row.strategy}`{change_words}{on_top}{gain_words}.")
        if fastest_row.settings.batch_size != baseline.settings.batch_size:
            sentences.append("It makes fewer updates an epoch: compare the accuracy before you adopt it.")
    return " ".join(sentences)
