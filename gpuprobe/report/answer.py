"""The first screen of a report, page or notebook: the finding with its figures, what it costs, and the change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report import findings
from gpuprobe.report.charts import Bar, Bars, Chart, Look, Part, parts_ms
from gpuprobe.report.headline import finding_headline
from gpuprobe.report.palette import BLUE, INK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.records import Diagnosis, Finding
    from gpuprobe.ledger.records import DeviceBreakdown

PREDICTED = Look("predicted by a replay of the trace", INK, "///", "?", "bright_black")
UNDIVIDED = Look("not divided into parts", BLUE, "", "=", "blue")
# Where a sentence ends: before a capital letter, or a name in backticks.
SENTENCE_END = re.compile(r"(?<=[.])\s+(?=[A-Z`])")
ANSWER_CHART = "answer"
MOST_EVIDENCE = 2


@dataclass(frozen=True)
class Answer:
    """The first screen. `title` and `why` are sentences, `change` says what `code` does and gains.

    `chips` are titles with a word or two each: cause, confidence, and what the answer rests on. `bars` hold the time
    before and after, None where nothing was timed.
    """

    title: str
    chips: tuple[tuple[str, str], ...]
    bars: Chart | None
    change: str
    code: str
    why: str


def of_diagnosis(diagnosis: Diagnosis, device: DeviceBreakdown | None) -> Answer:
    """Return the first screen of one training; `device` is the one that the verdict is about, None without a trace."""
    primary = diagnosis.primary
    assert primary is not None, "every diagnosis has a primary finding"
    prediction = primary.predicted_gain
    gain = prediction if prediction and prediction.ratio >= findings.WORTH_A_LINE else None
    title = f"{finding_headline(primary, device)}."
    bars = []
    if device is not None and primary.of == "step":
        step_now = wording.milliseconds(device.step_ms)
        bars = [Bar("before", f"{step_now}, measured", parts_ms(device, device.step_ms))]
        if gain is not None and findings.is_narrow(gain):
            bars.append(predicted_bar("after the change", device.step_ms, gain.ratio, gain.low, gain.high))
            title += (
                f" Predicted with the change: {step_now} -> {wording.milliseconds(device.step_ms / gain.ratio)} a step."
            )
    gain_sentence = findings.promised(primary) if gain or primary.no_gain else ""
    change_sentences = " ".join(filter(None, [first_sentence(primary.fix), gain_sentence]))
    rests_on = "the clock over the whole run" if primary.of == "run" else _evidence_source(diagnosis, device)
    chips = (*cause_chips(primary, disputed=diagnosis.disputed), ("evidence", rests_on))
    return Answer(title, chips, bars_of(bars), change_sentences, primary.code, first_sentence(primary.claim))


def _evidence_source(diagnosis: Diagnosis, device: DeviceBreakdown | None) -> str:
    if device is not None:
        return f"{wording.count(device.counted, 'step')} of a trace"
    return "a trace without a step" if diagnosis.format else "readings, no trace"


def evidence(diagnosis: Diagnosis) -> list[str]:
    """Return lines with the evidence of the primary finding, the strongest first, and with the other findings."""
    primary = diagnosis.primary
    assert primary is not None, "every diagnosis has a primary finding"
    proofs, other_findings = (
        "; ".join(findings.evidence_in_words(primary)),
        [findings.finding_share(other) for other in diagnosis.findings[1:]],
    )
    evidence_sentences = [*SENTENCE_END.split(primary.claim), f"{proofs[:1].upper()}{proofs[1:]}." if proofs else ""]
    besides = f"Besides: {wording.listing(other_findings)}." if other_findings else ""
    # The other causes must not be cut off behind many figures.
    return [
        *filter(None, [*evidence_sentences[: MOST_EVIDENCE if besides else None], besides, findings.judged(diagnosis)])
    ]


def cause_chips(primary: Finding | None, *, disputed: bool) -> tuple[tuple[str, str], ...]:
    """Return the chips that name a cause and its confidence; `disputed` is whether kinds of evidence differ."""
    if primary is None:
        return (("cause", "not known"),)
    tie = f", ties with {primary.ties_with}" if primary.ties_with else ""
    differ = " (the kinds of evidence differ)" if disputed else ""
    stage = f", {primary.stage}" if primary.stage else ""
    return ("cause", f"{primary.cause}{stage}{tie}"), ("confidence", f"{primary.confidence}{differ}")


def bars_of(bars: Sequence[Bar], unit: str = "") -> Chart | None:
    """Return the chart of the bars before and after; None where nothing was timed."""
    if not bars:
        return None
    longest = max(max(bar.value, bar.high or 0.0) for bar in bars)
    bars_in_words = "; ".join(f"{bar.label}: {bar.told}{f', {bar.note}' if bar.note else ''}" for bar in bars)
    title = "Before and after" if len(bars) > 1 else "The step as it is"
    return Chart(ANSWER_CHART, title, "", Bars(tuple(bars), unit, longest), bars_in_words, first=True)


def predicted_bar(label: str, before_ms: float, ratio: float, low: float | None, high: float | None) -> Bar:
    """Return the bar of a predicted step, with the range of the prediction."""
    after_ms = before_ms / ratio
    range_ms = (before_ms / high, before_ms / low) if low and high else None
    length_words = f"{wording.milliseconds(after_ms)}, predicted"
    range_words = f"{wording.milliseconds(range_ms[0])} to {wording.milliseconds(range_ms[1])}" if range_ms else ""
    predicted_part = Part(after_ms, wording.milliseconds(after_ms), PREDICTED)
    return Bar(
        label,
        length_words,
        (predicted_part,),
        low=range_ms[0] if range_ms else None,
        high=range_ms[1] if range_ms else None,
        note=range_words,
    )


def measured_bar(label: str, ms: float, device: DeviceBreakdown | None, measured_word: str, note: str = "") -> Bar:
    """Return the bar of a measured step, divided as in its trace; `measured_word` is `measured` or `simulated`."""
    step_words = wording.milliseconds(ms)
    bar_parts = parts_ms(device, ms) if device is not None else (Part(ms, step_words, UNDIVIDED),)
    return Bar(label, f"{step_words}, {measured_word}", bar_parts, note=note)


def first_sentence(sentences: str) -> str:
    """Return the first sentence of a text."""
    return SENTENCE_END.split(sentences, maxsplit=1)[0]
