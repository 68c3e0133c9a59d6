"""Compares the traced steps with those of the timed window: where they differ, the trace is less sure of the cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.confidence import LOWER
from gpuprobe.thresholds import DEFAULTS, Thresholds

if TYPE_CHECKING:
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.records import Confidence, Evidence, Signal


def paced(findings: tuple[Finding, ...], known: Evidence, limits: Thresholds = DEFAULTS) -> tuple[Finding, ...]:
    """Return the findings of a trace, the primary one less sure, with the reason, if the window's calls differ.

    The difference must be larger than the interval of the window's mean.
    """
    traced_ms, window = known.number("step_ms"), known.get("window_call_ms")
    if not findings or not traced_ms or window is None or not isinstance(window.value, float):
        return findings
    if any(signal.name == "outside_fraction" for signal in findings[0].evidence):
        # The first finding comes from the clock of the window itself.
        return findings
    if (window.low or 0.0) > traced_ms * limits.pace_apart:
        doubt, confidence = (
            _window_slower(traced_ms, window.value, known),
            _less_sure(findings[0], traced_ms, window.value, limits),
        )
    elif traced_longer(known, limits):
        doubt, confidence = _window_faster(traced_ms, window.value), LOWER[findings[0].confidence]
    else:
        return findings
    first = findings[0]
    names = {signal.name for signal in first.evidence}
    more = tuple(
        signal
        for signal in known.only("window_call_ms", "window_long_calls", "window_long_share")
        if signal.name not in names
    )
    doubted = msgspec.structs.replace(
        first, confidence=confidence, claim=f"{first.claim} {doubt}", evidence=(*first.evidence, *more)
    )
    return (doubted, *findings[1:])


def traced_longer(known: Evidence, limits: Thresholds) -> bool:
    """Whether a traced step surely takes so much longer than a call of the timed window that not all of it is its own.

    Calls that differ much among themselves leave it open.
    """
    window = known.get("window_call_ms")
    return window is not None and (window.high or 0.0) * limits.traced_apart < (known.number("step_ms") or 0.0)


def kernels_ms(traced: Evidence) -> float:
    """Return for how many ms kernels run in a traced step; of a processor, operations."""
    computing = traced.number("share.gpu_compute") or traced.number("share.cpu_compute") or 0.0
    return computing * (traced.number("step_ms") or 0.0)


def window_filled(traced: Evidence, window: Signal | None) -> float | None:
    """Return the largest share of a timed call that a traced step's kernels can fill (0 to 1); None without one."""
    if window is None or not window.low:
        return None
    return kernels_ms(traced) / window.low


def _less_sure(first: Finding, traced_ms: float, window_ms: float, limits: Thresholds) -> Confidence:
    """Return the lowered confidence: low if the trace does not hold most of the window's time."""
    return "low" if 1 - traced_ms / window_ms >= limits.mostly else LOWER[first.confidence]


def _window_slower(traced_ms: float, window_ms: float, known: Evidence) -> str:
    compared = (
        f"But a step of the timed window took {wording.milliseconds(window_ms)} on average, and a traced one "
        f"{wording.milliseconds(traced_ms)}: the difference is not in the trace."
    )
    long = known.get("window_long_calls")
    if long is None or not long.value or long.low is None or long.high is None:
        return compared
    share = wording.share(known.number("window_long_share") or 0.0)
    lengths = f"{wording.milliseconds(long.low)} to {wording.milliseconds(long.high)}"
    return f"{compared} {wording.count(int(float(long.value)), 'call')} of {lengths} took {share} of the window."


def _window_faster(traced_ms: float, window_ms: float) -> str:
    return (
        f"But a traced step took {wording.milliseconds(traced_ms)}, and one of the timed window "
        f"{wording.milliseconds(window_ms)}: the profiler, or something else in the trace, made it slower."
    )
