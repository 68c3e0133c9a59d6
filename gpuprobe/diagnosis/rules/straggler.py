"""The rule for a device that the others wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.records import NotEvaluated
from gpuprobe.diagnosis.rules.finding import finding_of

if TYPE_CHECKING:
    from gpuprobe.diagnosis.rules.rule import Result
    from gpuprobe.records import Evidence
    from gpuprobe.thresholds import Thresholds


def straggler(evidence: Evidence, limits: Thresholds) -> Result:
    """The others wait for one device: it comes last to their exchanges, or else computes longest."""
    kept = evidence.number("kept_waiting_share")
    if kept is not None:
        return _kept_waiting(evidence, kept, limits)
    if reason := evidence.lacking("straggler_ratio", "straggler_share"):
        return NotEvaluated(cause="straggler", reason=reason)
    ratio, lost = evidence.numbers("straggler_ratio", "straggler_share")
    if ratio < limits.straggler_ratio:
        return None
    exchange = any(evidence.number(name) for name in ("exchange_volume_ms", "share.exchange", "share.idle_peer"))
    so = (
        f"the others wait for it, {wording.share(lost)} of the step"
        if exchange
        else "the trace shows no exchange between them, so that the others may not wait for it"
    )
    return finding_of(
        evidence,
        "straggler",
        severity=lost,
        claim=f"{evidence.text('straggler_device') or 'One device'} computes {ratio:.2f} times as long as the median "
        f"device: {so}.",
        names=("straggler_ratio", "straggler_share", "straggler_device"),
        confidence="high" if exchange else "medium",
    )


def _kept_waiting(evidence: Evidence, kept: float, limits: Thresholds) -> Result:
    if kept < limits.kept_waiting_share:
        return None
    last = evidence.get("last_to_exchanges")
    often = f"{last.value:.0f} {last.unit}" if last is not None and last.value is not None else "most exchanges"
    changes, chance = _denied(evidence, "waited_for_always"), _denied(evidence, "late_beyond_chance")
    who, so = _in_steps(evidence), "Whatever delays it delays all devices"
    if changes:
        who = f"; the device that is waited for changes: {evidence.text('waited_for')}"
        so = "No single device explains all of it"
    elif chance:
        so = "That differs so much from step to step that it may be chance"
    return finding_of(
        evidence,
        "straggler",
        severity=kept,
        claim=f"The other devices wait {wording.share(kept)} of the step for this one, which comes last to "
        f"{often}{who}. {so}.",
        names=(
            "kept_waiting_share",
            "last_to_exchanges",
            "late_beyond_chance",
            "waited_for_always",
            "waited_for_steps",
            "waited_for_ms",
        ),
        confidence="medium" if changes or chance else "high",
    )


def _denied(evidence: Evidence, name: str) -> bool:
    """Whether a flag is known, and is not so."""
    found = evidence.get(name)
    return found is not None and found.missing is None and not evidence.flag(name)


def _in_steps(evidence: Evidence) -> str:
    """Say in how many steps the others wait for it, and how long; empty where steps were not compared."""
    steps, kept = evidence.get("waited_for_steps"), evidence.get("waited_for_ms")
    if steps is None or kept is None or kept.low is None or kept.high is None:
        return ""
    times = [wording.milliseconds(kept.low), wording.milliseconds(kept.high)]
    return f", in {steps.value:.0f} {steps.unit} by {' to '.join(dict.fromkeys(times))}"
