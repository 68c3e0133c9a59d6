"""The first screen of every page, notebook and terminal: the finding with its figures, its cost, and the change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report import findings
from gpuprobe.report.charts import Bar, Bars, Chart, Look, Part, parts_ms
from gpuprobe.report.headline import headline
from gpuprobe.report.palette import BLUE, INK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.records import Diagnosis, Finding
    from gpuprobe.ledger.records import DeviceBreakdown

PREDICTED = Look("predicted by a replay of the trace", INK, "///", "?", "bright_black")
UNDIVIDED = Look("not divided into parts", BLUE, "", "=", "blue")
# Where a sentence ends: before a capital letter, or a name in backticks.
END = re.compile(r"(?<=[.])\s+(?=[A-Z`])")
BARS = "answer"
MOST_PROOFS = 2


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
    """Answer from one training's evidence; `device` is the one that the verdict is about, None without a trace."""
    first = diagnosis.primary
    assert first is not None, "every diagnosis has a primary finding"
    prediction = first.predicted_gain
    gain = prediction if prediction and prediction.ratio >= findings.WORTH_A_LINE else None
    title = f"{headline(first, device)}."
    rows = []
    if device is not None and first.of == "step":
        now = wording.milliseconds(device.step_ms)
        rows = [Bar("before", f"{now}, measured", parts_ms(device, device.step_ms))]
        if gain is not None and findings.is_narrow(gain):
            rows.append(predicted_bar("after the change", device.step_ms, gain.ratio, gain.low, gain.high))
            title += f" Predicted with the change: {now} -> {wording.milliseconds(device.step_ms / gain.ratio)} a step."
    promise = findings.promised(first) if gain or first.no_gain else ""
    change = " ".join(filter(None, [first_sentence(first.fix), promise]))
    rests_on = "the clock over the whole run" if first.of == "run" else _source(diagnosis, device)
    chips = (*cause_chips(first, disputed=diagnosis.disputed), ("evidence", rests_on))
    return Answer(title, chips, bars_of(rows), change, first.code, first_sentence(first.claim))


def _source(diagnosis: Diagnosis, device: DeviceBreakdown | None) -> str:
    if device is not None:
        return f"{wording.count(device.counted, 'step')} of a trace"
    return "a trace without a step" if diagnosis.format else "readings, no trace"


def evidence(diagnosis: Diagnosis) -> list[str]:
    """Return lines with the evidence of the primary finding, the strongest first, and with the other findings."""
    first = diagnosis.primary
    assert first is not None, "every diagnosis has a primary finding"
    proofs, others = "; ".join(findings.proofs(first)), [findings.beside(other) for other in diagnosis.findings[1:]]
    sentences = [*END.split(first.claim), f"{proofs[:1].upper()}{proofs[1:]}." if proofs else ""]
    besides = f"Besides: {wording.listing(others)}." if others else ""
    # The other causes must not be cut off behind many figures.
    return [*filter(None, [*sentences[: MOST_PROOFS if besides else None], besides, findings.judged(diagnosis)])]


def cause_chips(primary: Finding | None, *, disputed: bool) -> tuple[tuple[str, str], ...]:
    """Return the chips that name a cause and its confidence; `disputed` is whether kinds of evidence differ."""
    if primary is None:
        return (("cause", "not known"),)
    tie = f", ties with {primary.ties_with}" if primary.ties_with else ""
    differ = " (the kinds of evidence differ)" if disputed else ""
    stage = f", {primary.stage}" if primary.stage else ""
    return ("cause", f"{primary.cause}{stage}{tie}"), ("confidence", f"{primary.confidence}{differ}")


def bars_of(rows: Sequence[Bar], unit: str = "") -> Chart | None:
    """Return the chart of the bars before and after; None where nothing was timed."""
    if not rows:
        return None
    most = max(max(bar.value, bar.high or 0.0) for bar in rows)
    in_words = "; ".join(f"{bar.label}: {bar.told}{f', {bar.note}' if bar.note else ''}" for bar in rows)
    title = "Before and after" if len(rows) > 1 else "The step as it is"
    return Chart(BARS, title, "", Bars(tuple(rows), unit, most), in_words, first=True)


def predicted_bar(label: str, before_ms: float, ratio: float, low: float | None, high: float | None) -> Bar:
    """Return the bar of a predicted step, with the range of the prediction."""
    after = before_ms / ratio
    ends = (before_ms / high, before_ms / low) if low and high else None
    length = f"{wording.milliseconds(after)}, predicted"
    span = f"{wording.milliseconds(ends[0])} to {wording.milliseconds(ends[1])}" if ends else ""
    part = Part(after, wording.milliseconds(after), PREDICTED)
    return Bar(label, length, (part,), low=ends[0] if ends else None, high=ends[1] if ends else None, note=span)


def measured_bar(label: str, ms: float, device: DeviceBreakdown | None, word: str, note: str = "") -> Bar:
    """Return the bar of a measured step, divided as its trace divides it; `word` says how it was measured."""
    whole = wording.milliseconds(ms)
    parts = parts_ms(device, ms) if device is not None else (Part(ms, whole, UNDIVIDED),)
    return Bar(label, f"{whole}, {word}", parts, note=note)


def first_sentence(text: str) -> str:
    """Return the first sentence of a text."""
    return END.split(text, maxsplit=1)[0]
