"""The findings of a diagnosis in words: what leads and why, what to do and what it gains, what stayed undecided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.evidence.breakdown import main_device
from gpuprobe.report import signals
from gpuprobe.report.breakdown import device_heading
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.records import Diagnosis, Finding
    from gpuprobe.records import Gain
    from gpuprobe.whatif.records import Prediction

# Printed once in place of all reasons that end with "was not gathered" (`Evidence.lacking`).
NOT_GATHERED = "a trace alone has no readings of the card and no settings of the run"
# Changes with a smaller predicted gain are not worth making, and are not shown.
WORTH_A_LINE = 1.02


@dataclass(frozen=True)
class Words:
    """Verdict, why, and what to do next; `code` may be empty."""

    verdict: str
    why: str
    next: str
    code: str


def diagnosis_in_words(diagnosis: Diagnosis) -> Words:
    """Say which finding leads, what proves it, and what to do."""
    primary = diagnosis.primary
    assert primary is not None, "every diagnosis has a primary finding"
    tie = f" It ties with {primary.ties_with}." if primary.ties_with else ""
    stage_words = f", {primary.stage}" if primary.stage else ""
    verdict = f"{primary.cause} (confidence {primary.confidence}){stage_words}. {primary.claim}{tie}"
    other_findings = [finding_share(finding) for finding in diagnosis.findings[1:]]
    evidence_words = "; ".join(evidence_in_words(primary))
    evidence_words += "." if evidence_words else ""
    if other_findings:
        evidence_words = f"{evidence_words} Besides: {wording.listing(other_findings)}.".lstrip()
    if (judged_device := judged(diagnosis)) is not None:
        evidence_words = f"{evidence_words} {judged_device}".lstrip()
    next_sentences = f"{primary.fix} {promised(primary)}".rstrip()
    return Words(verdict, evidence_words, next_sentences, primary.code)


def promised(finding: Finding) -> str:
    """Say what the advice is predicted to gain, or why nothing is predicted; empty where no prediction was tried."""
    if finding.predicted_gain is not None:
        return f"Predicted gain: {gain_in_words(finding.predicted_gain)}."
    return f"No gain is predicted: {finding.no_gain}." if finding.no_gain else ""


def finding_share(finding: Finding) -> str:
    """Name a finding beside the leading one, with its share of the step or the run."""
    return f"{finding.cause} {wording.share(finding.severity)} of the {finding.of}"


def judged(diagnosis: Diagnosis) -> str | None:
    """Say which of several devices the verdict is about; None where there is only one."""
    device = main_device(diagnosis)
    if device is None or len(diagnosis.devices) < 2:
        return None
    device_name = device_heading(
        device, of_several_hosts=len({other_device.host for other_device in diagnosis.devices}) > 1
    )
    return f"Judged by {device_name}, of {len(diagnosis.devices)} devices."


def undecided(diagnosis: Diagnosis) -> list[str]:
    """Say which causes were not evaluated and why, a sentence for each reason."""
    by_reason: dict[str, list[str]] = {}
    for rule in diagnosis.not_evaluated:
        reason = NOT_GATHERED if rule.reason.endswith("was not gathered") else rule.reason
        by_reason.setdefault(reason, []).append(rule.cause)
    return [f"Not evaluated: {wording.listing(causes)}, since {reason}." for reason, causes in by_reason.items()]


def predictions(replayed: Sequence[Prediction]) -> list[tuple[str, str, str, str, str]]:
    """Return (change, predicted step, gain with its range, most that it can give, assumption) of those that gain."""
    return [
        (
            prediction.change,
            wording.milliseconds(prediction.step_ms),
            gain_ratio(prediction.gain),
            wording.times(prediction.bound),
            prediction.assumption,
        )
        for prediction in replayed
        if prediction.gain.ratio >= WORTH_A_LINE
    ]


def gain_ratio(gain: Gain) -> str:
    """Write a gain with its range where it has one: `2.30x (2.10 to 2.50)`."""
    return wording.times(gain.ratio, gain.low, gain.high)


def is_narrow(gain: Gain) -> bool:
    """Whether the range of a gain is narrow enough for its middle to be shown."""
    return gain.low is None or gain.high is None or gain.high < fixed.GAIN_TELLS * gain.low


def gain_in_words(gain: Gain) -> str:
    """Write a gain with what it is over: `2.30x (2.10 to 2.50) over numpy`; a very wide range by its two ends."""
    gain_words = gain_ratio(gain)
    if not is_narrow(gain):
        least_gain = f"at least {wording.times(gain.low)}" if gain.low is not None and gain.low > 1 else "not known"
        gain_words = f"{least_gain} (up to {wording.times(gain.high or gain.ratio)}: the trace does not show how much)"
    elif gain.most is not None:
        gain_words = f"{gain_words}, at most {wording.times(gain.most)},"
    return f"{gain_words} over {gain.over}" if gain.over else gain_words


def evidence_in_words(finding: Finding) -> list[str]:
    """Return the evidence of a finding in words, without the first signal, which its claim states already."""
    told_signals = [
        (signal_words, signal) for signal in finding.evidence[1:] if (signal_words := signals.signal_in_words(signal))
    ]
    signal_units = [signal.unit for _, signal in told_signals]
    # Of several shares of a run in a row only the last has its unit, which is long.
    repeated_units = [
        signal.unit if signal.name.startswith("run_share.") and signal_units[after : after + 1] == [signal.unit] else ""
        for after, (_, signal) in enumerate(told_signals, start=1)
    ]
    return [
        signal_words.removesuffix(unit).rstrip()
        for (signal_words, _), unit in zip(told_signals, repeated_units, strict=True)
    ]
