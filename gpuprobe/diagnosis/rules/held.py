"""What held the host, in words, and what keeps a trace from being sure of a cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.records import Evidence
    from gpuprobe.thresholds import Thresholds

# How the source of a `proof` signal begins (`evidence.breakdown`).
EVENTS = "trace, events: "
# The signal that names the events behind each of the two causes.
PROOF: dict[str, str] = {"host_work": "proof.idle_host_work", "one_time_work": "proof.idle_once"}


def held_in(cause: CauseId, evidence: Evidence) -> str:
    """Return the events that held the host, as a sentence after a space; empty for other causes or without events."""
    events = evidence.get(PROOF.get(cause, ""))
    return f" It was in {events.source.removeprefix(EVENTS)}." if events is not None else ""


def doubt(cause: CauseId, evidence: Evidence, limits: Thresholds) -> str:
    """Return what keeps a trace from being sure of a cause, as a sentence after a space; empty where nothing does."""
    if cause == "host_work":
        return _of_host_work(evidence, limits)
    if cause == "gpu_memory_tight" and _steps(evidence) < fixed.HELD_STEPS:
        return " Only one step shows it: it may be memory that the program takes once."
    if cause == "one_time_work" and (evidence.number("once_proven_fraction") or 0.0) < limits.mostly:
        return " The trace does not show that it never comes again."
    if cause == "launch_bound" and _off_pace(evidence) > limits.mostly:
        return " Most of it lies in pauses that are long for the pace of launching: nothing shows what fills them."
    return ""


def _of_host_work(evidence: Evidence, limits: Thresholds) -> str:
    if evidence.text("device_kind") == "cpu" and evidence.text("held_kind") == "sample_layer":
        return " Ahead of the step the same processor would do this work: only cores that are free now would gain."
    if (evidence.number("held_told_fraction") or 0.0) < limits.mostly:
        return " The trace does not show what the host did there."
    if (evidence.number("held_steps") or 0.0) < fixed.HELD_STEPS:
        return " Only one step shows it: it may be done once."
    return ""


def _off_pace(evidence: Evidence) -> float:
    """Return the share of late launches (0 to 1) that lie in pauses long for the pace of launching."""
    late = evidence.number("share.launch") or 0.0
    return (evidence.number("share.off_pace") or 0.0) / late if late else 0.0


def _steps(evidence: Evidence) -> int:
    """Return the number of traced steps that count."""
    step = evidence.get("step_ms")
    return (step.n or 0) if step is not None else 0
