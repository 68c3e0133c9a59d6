"""What to do where nothing tells the cause: which evidence is missing, and what would give it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.records import Evidence

# The strategies of a study that part what a step costs by itself from what its samples cost.
TELLING = ("large_batch", "steps_per_execution")


def unattributed(found: Finding, known: Evidence) -> str:
    """Return what to do next; `known` says of which kind the evidence is that was gathered."""
    in_study = bool(known.flag("in_study"))
    if not known.text("device_kind"):
        return _without_trace(found, known.text("no_trace"), in_study=in_study)
    lacking = [text for text in (_lost(known), _unjoined(known), _few(known)) if text]
    return " ".join([*lacking, _what_else(known, in_study=in_study)])


# In a study whose baseline left no trace that tells.
TRACE_IT = (
    "A trace of the baseline is missing: run it again with one (without --no-trace); where none came, gpuprobe doctor "
    "says what keeps the profiler from working."
)


# Where one was asked for, and the reason is known.
ANY_TRACE = (
    "A trace was asked for, and there is none: {}. One of a few steps by any profiler tells: gpuprobe diagnose reads "
    "XPlane and Chrome traces."
)


def _without_trace(found: Finding, reason: str, *, in_study: bool) -> str:
    if in_study:
        return TRACE_IT
    return ANY_TRACE.format(reason) if reason else found.fix


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
    """Say which measurement parts the causes that are left."""
    measured = [name for name in TELLING if known.get(f"gain.{name}") is not None]
    if measured:
        names = wording.listing([f"`{name}`" for name in measured])
        told = (
            f"What the trace leaves open lies outside all events that TensorFlow records. Look at {names} in the "
            "ranking: what gains there by more than its interval is paid once a step or once a call, by Python or by "
            "the runtime"
        )
    elif in_study:
        told = (
            "What the trace leaves open lies outside all events that TensorFlow records. Measure what a larger batch "
            f"and several steps in a call gain: gpuprobe run --strategies {','.join(('numpy', *TELLING))}; what gains "
            "there is paid once a step or once a call, by Python or by the runtime"
        )
    else:
        told = (
            "What the trace leaves open lies outside all events that it holds. Differential runs tell more: gpuprobe "
            "run --model FILE.py:FACTORY measures what another feed, a larger batch or several steps in a call gain"
        )
    if known.text("device_kind") == "cpu":
        told += "; a sampling profiler (py-spy record --native) names the functions"
    return f"{told}."
