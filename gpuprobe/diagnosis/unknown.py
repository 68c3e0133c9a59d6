"""Advice where the cause is not known: which evidence is missing, and what would provide it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.advice.others import FRAMEWORKS
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.records import Evidence

# The strategies that separate a step's fixed cost from the cost of its samples.
MEASURED = {"large_batch": "a larger batch", "steps_per_execution": "several steps in a call"}
TELLING = tuple(MEASURED)
ONCE = "the time is spent once a step or once a call, by Python or by the runtime"
OUTSIDE = "The unexplained time lies outside all events in the trace"


def unattributed(finding: Finding, known: Evidence) -> str:
    """Return what to do next where no cause is known, which depends on the evidence that was gathered (`known`)."""
    in_study = bool(known.flag("in_study"))
    if not known.text("device_kind"):
        return _without_trace(finding, known.text("no_trace"), in_study=in_study)
    lacking = [text for text in (_lost(known), _unjoined(known), _few(known)) if text]
    return " ".join([*lacking, _what_else(known, in_study=in_study)])


# For a study whose baseline has no trace.
TRACE_IT = (
    "A trace of the baseline is missing: run it again with one (without --no-trace). If that gave no trace, gpuprobe "
    "doctor says what keeps the profiler from working."
)


# If a trace was asked for, and it is known why there is none.
ANY_TRACE = (
    "A trace was asked for, and there is none: {}. Take one of a few steps with any profiler: gpuprobe diagnose reads "
    "XPlane and Chrome traces."
)


def _without_trace(finding: Finding, reason: str, *, in_study: bool) -> str:
    if in_study:
        return TRACE_IT
    return ANY_TRACE.format(reason) if reason else finding.fix


def _lost(known: Evidence) -> str:
    lost = known.number("lost_fraction") or 0.0
    if lost <= fixed.LOST_LOW:
        return ""
    return f"The profiler dropped {wording.share(lost)} of the launch calls: trace fewer steps at a time."


def _unjoined(known: Evidence) -> str:
    joined = known.number("joined_fraction")
    if joined is None or joined >= fixed.JOINED_LOW:
        return ""
    return (
        f"Only {wording.share(joined)} of the device's work can be joined to the calls that launched it: trace the "
        "host too (gpuprobe doctor checks CUPTI and its permissions)."
    )


def _few(known: Evidence) -> str:
    step = known.get("step_ms")
    if step is None or step.n is None or step.n >= fixed.FEW_STEPS:
        return ""
    return f"The trace holds {wording.count(step.n, 'step')} that count: trace more."


def _what_else(known: Evidence, *, in_study: bool) -> str:
    """Say which measurement separates the remaining causes, and where the unexplained time lies."""
    measured = [name for name in TELLING if known.get(f"gain.{name}") is not None]
    if measured:
        names = wording.listing([f"`{name}`" for name in measured])
        action = f"Look at {names} in the ranking: if one gains more than its interval, {ONCE}"
    elif in_study:
        # Under PyTorch Keras takes one step a call.
        telling = TELLING[:1] if known.text("framework") == "pytorch" else TELLING
        gains, names = wording.listing([MEASURED[name] for name in telling]), ",".join(("numpy", *telling))
        action = f"Measure what {gains} would gain (gpuprobe run --strategies {names}): if one gains, {ONCE}"
    elif known.text("framework") in FRAMEWORKS and known.get("run_eagerly") is None:
        # It is not known to be Keras, which alone gpuprobe runs.
        action = ""
    else:
        action = (
            "Differential runs tell more: gpuprobe run --model FILE.py:FACTORY measures what another feed, a larger "
            "batch or several steps in a call gain"
        )
    profiler = "; a sampling profiler (py-spy record --native) names the functions"
    where = f"{OUTSIDE}{profiler if known.text('device_kind') == 'cpu' else ''}."
    return f"{action}. {where}" if action else where
