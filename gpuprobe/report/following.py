"""What to do first, with what it was predicted and measured to gain, and what not to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report.cells import comparison, times
from gpuprobe.report.findings import gain_in_words, gain_ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.ranking.ranking import Ranking, Row
    from gpuprobe.ranking.search_records import SearchStep
    from gpuprobe.records import Study


def following(ranking: Ranking, study: Study) -> tuple[str, str]:
    """Return what to do about the primary cause, with what it was predicted and measured to gain, and its code."""
    primary_finding = next((finding for finding in ranking.findings if finding.primary), None)
    if primary_finding is None or primary_finding.cause == "compute_bound":
        return "", ""
    return " ".join([*_tried(primary_finding, ranking, study), primary_finding.fix]), primary_finding.code


def gains(ranking: Ranking, study: Study) -> str:
    """Say what gained most by itself, what all together gave, and what not to do."""
    faster_rows = [row for row in ranking.rows if row.gained]
    same_loss_rows = [row for row in faster_rows if not row.loss_difference]
    gain_sentences = [
        *_search_path(same_loss_rows, ranking),
        *_best_change(same_loss_rows, ranking),
        *_other_loss(faster_rows),
        *_worst_change(ranking),
        *_drift_sentence(ranking),
    ]
    if not same_loss_rows and not gain_sentences and not study.request.rounds:
        return "Hand the model and its data to gpuprobe run --model, which measures the changes that may help."
    if not any(row.gain or row.speedup for row in ranking.rows):
        return "No change was measured."
    if not same_loss_rows:
        rounds = max(3, study.request.rounds + 2)
        gain_sentences.insert(
            0,
            "No change that keeps the loss curve gained beyond the noise. To see smaller differences, measure more "
            f"rounds (--rounds {rounds}).",
        )
    return " ".join(gain_sentences)


def _tried(primary: Finding, ranking: Ranking, study: Study) -> list[str]:
    """What the fix was predicted to gain, and what the strategies that apply it gained."""
    fixing_strategies = [
        signal.name.removeprefix("gain.") for signal in primary.evidence if signal.name.startswith("gain.")
    ]
    fixing_rows = [row for strategy in fixing_strategies if (row := ranking.row(strategy)) is not None and row.gain]
    tried_sentences = []
    for row in fixing_rows:
        assert row.gain is not None
        gain = next((scored.predicted for scored in ranking.scorecard if scored.strategy == row.strategy), None)
        predicted = f"predicted {gain_ratio(gain)}, " if gain else ""
        measured = f"`{row.strategy}` first ({row.change}): {predicted}measured {times(row.gain)}"
        tried_sentences.append(f"{measured} over `{row.against}`{_on_baseline(row, ranking, study)}.")
    if not fixing_rows and primary.predicted_gain:
        tried_sentences.append(f"Predicted gain: {gain_in_words(primary.predicted_gain)}; it was not measured here.")
    return tried_sentences


def _on_baseline(row: Row, ranking: Ranking, study: Study) -> str:
    """What the same change would give to the baseline, where it was measured on another strategy."""
    what_if = next((info.what_if for info in study.strategies if info.name == row.strategy), "")
    prediction = next(
        (replayed for replayed in ranking.predictions if what_if and replayed.change.startswith(what_if)), None
    )
    if prediction is None or row.against == ranking.baseline:
        return ""
    on_baseline = f"; over `{ranking.baseline}` itself its trace predicts {gain_ratio(prediction.gain)}"
    return f"{on_baseline}{_searched_gain(row, ranking)}"


def _searched_gain(row: Row, ranking: Ranking) -> str:
    """What a search measured for the same change to the baseline itself, empty without one."""
    steps = [step for search in ranking.searches if search.start == ranking.baseline for step in search.steps]
    gain = next((step.gain for step in steps if step.combines == (row.strategy,)), None)
    return f", and {times(gain)} was measured" if gain else ""


def _best_change(gained: list[Row], ranking: Ranking) -> list[str]:
    """The single change that gained most, unless a search kept it; one with a larger batch says so."""
    best_row = max((row for row in gained if not row.combines), key=_row_gain, default=None)
    kept_changes = {change for search in ranking.searches for change in search.kept}
    if best_row is None or best_row.gain is None or best_row.strategy in kept_changes:
        return []
    changed_row = ranking.row(best_row.against)
    changed_speedup = (
        f", which itself gives {times(changed_row.speedup)} over the baseline"
        if changed_row and changed_row.speedup
        else ""
    )
    sentences = [
        f"The single change that gained most is `{best_row.strategy}` ({best_row.change}): {times(best_row.gain)} as "
        f"fast as `{best_row.against}`{changed_speedup}."
    ]
    if changed_row is not None and changed_row.settings.batch_size != best_row.settings.batch_size:
        sentences.append("It makes fewer updates an epoch: compare the accuracy before you adopt it.")
    return sentences


def _search_path(gained: list[Row], ranking: Ranking) -> list[str]:
    """The path of a search that kept something, with what each step was predicted and measured to gain."""
    sentences = []
    for row in gained:
        search = ranking.search(row.strategy)
        if search is not None and search.kept and row.gain:
            steps = [f"`{step.change}` ({_step_gains(step)})" for step in search.steps if step.kept]
            path = ", then ".join(steps)
            sentences.append(f"As `{row.strategy}`, {path} give {times(row.gain)} over `{row.against}`.")
    return sentences


def _step_gains(step: SearchStep) -> str:
    foretold = f"predicted {wording.times(step.expected.predicted.ratio)}, " if step.expected.predicted else ""
    return f"{foretold}measured {wording.times(step.gain.value)}" if step.gain else "measured"


def _other_loss(faster: list[Row]) -> list[str]:
    """What is faster with another loss curve: no gain before its accuracy is known."""
    return [
        f"`{row.strategy}` ({row.change}) is {times(row.gain)} as fast as `{row.against}` but its loss curve differs "
        f"({row.loss_difference}): compare the accuracy before you adopt it."
        for row in faster
        if row.gain and row.loss_difference
    ]


def _worst_change(ranking: Ranking) -> list[str]:
    """The change that lost most, unless other strategies build on it."""
    built_upon = {row.against for row in ranking.rows}
    slower_rows = [row for row in ranking.rows if row.beyond == "slower" and row.strategy not in built_upon]
    slowest_row = min(slower_rows, key=_row_gain, default=None)
    if slowest_row is None or slowest_row.gain is None:
        return []
    return [
        f"Here `{slowest_row.strategy}` is {comparison(slowest_row.gain, slowest_row.beyond)} as "
        f"`{slowest_row.against}`."
    ]


def _drift_sentence(ranking: Ranking) -> list[str]:
    """The strategies whose measured gain is more than the traces allow."""
    drifted = [f"`{row.strategy}`" for row in ranking.rows if row.drift and row.beyond == "faster"]
    if not drifted:
        return []
    return [f"The measured gain of {wording.listing(drifted)} is drift of the machine: the traces allow less."]


def _names(names: Sequence[str]) -> str:
    return wording.listing([f"`{name}`" for name in names])


def _row_gain(row: Row) -> float:
    return row.gain.value if row.gain else 1.0
