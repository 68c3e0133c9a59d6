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

# One reason for many rules: `Evidence.lacking` ends each with "was not gathered".
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


def words(diagnosis: Diagnosis) -> Words:
    """Say which finding leads, what proves it, and what to do."""
    first = diagnosis.primary
    assert first is not None, "every diagnosis has a primary finding"
    tie = f" It ties with {first.ties_with}." if first.ties_with else ""
    part = f", {first.stage}" if first.stage else ""
    verdict = f"{first.cause} (confidence {first.confidence}){part}. {first.claim}{tie}"
    also = [beside(finding) for finding in diagnosis.findings[1:]]
    why = "; ".join(proofs(first))
    why += "." if why else ""
    if also:
        why = f"{why} Besides: {wording.listing(also)}.".lstrip()
    if (which := judged(diagnosis)) is not None:
        why = f"{why} {which}".lstrip()
    following = f"{first.fix} {promised(first)}".rstrip()
    return Words(verdict, why, following, first.code)


def promised(finding: Finding) -> str:
    """Say what the advice is predicted to gain, or why nothing is predicted; empty where no prediction was tried."""
    if finding.predicted_gain is not None:
        return f"Predicted gain: {gain_in_words(finding.predicted_gain)}."
    return f"No gain is predicted: {finding.no_gain}." if finding.no_gain else ""


def beside(finding: Finding) -> str:
    """Name a finding beside the leading one, with its share of the step or the run."""
    return f"{finding.cause} {wording.share(finding.severity)} of the {finding.of}"


def judged(diagnosis: Diagnosis) -> str | None:
    """Say which of several devices the verdict is about; None where there is only one."""
    device = main_device(diagnosis)
    if device is None or len(diagnosis.devices) < 2:
        return None
    name = device_heading(device, of_several_hosts=len({other.host for other in diagnosis.devices}) > 1)
    return f"Judged by {name}, of {len(diagnosis.devices)} devices."


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
        (made.change, wording.milliseconds(made.step_ms), ratio(made.gain), wording.times(made.bound), made.assumption)
        for made in replayed
        if made.gain.ratio >= WORTH_A_LINE
    ]


def ratio(gain: Gain) -> str:
    """Write a gain with its range where it has one: `2.30x (2.10 to 2.50)`."""
    return wording.times(gain.ratio, gain.low, gain.high)


def is_narrow(gain: Gain) -> bool:
    """Whether the range of a gain is narrow enough for its middle to be shown."""
    return gain.low is None or gain.high is None or gain.high < fixed.GAIN_TELLS * gain.low


def gain_in_words(gain: Gain) -> str:
    """Write a gain with what it is over: `2.30x (2.10 to 2.50) over numpy`; a very wide range by its two ends."""
    text = ratio(gain)
    if not is_narrow(gain):
        least = f"at least {wording.times(gain.low)}" if gain.low is not None and gain.low > 1 else "not known"
        text = f"{least} (up to {wording.times(gain.high or gain.ratio)}: the trace does not show how much)"
    elif gain.most is not None:
        text = f"{text}, at most {wording.times(gain.most)},"
    return f"{text} over {gain.over}" if gain.over else text


def proofs(finding: Finding) -> list[str]:
    """Return the evidence of a finding in words, without the first signal, which its claim states already."""
    told = [(text, signal) for signal in finding.evidence[1:] if (text := signals.signal_in_words(signal))]
    units = [signal.unit for _, signal in told]
    # Of several shares of a run in a row, the last says of what they are: the words are long.
    repeated = [
        signal.unit if signal.name.startswith("run_share.") and units[after : after + 1] == [signal.unit] else ""
        for after, (_, signal) in enumerate(told, start=1)
    ]
    return [text.removesuffix(unit).rstrip() for (text, _), unit in zip(told, repeated, strict=True)]
