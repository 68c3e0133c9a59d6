"""What each kind of evidence says of a case by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.diagnosis.case import UNTRACED
from gpuprobe.diagnosis.join import LOWER, Vote
from gpuprobe.diagnosis.pace import kernels_ms, window_filled
from gpuprobe.diagnosis.rules import clock, differential, placement, telemetry, trace
from gpuprobe.records import Evidence

if TYPE_CHECKING:
    from gpuprobe.diagnosis.case import Case
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.thresholds import Thresholds

NO_TRACE, NO_STEP, NOT_SAMPLED = "there is no trace", "it holds no step", "nothing was sampled"


def votes_of(case: Case, traced: Evidence, limits: Thresholds) -> tuple[Vote, ...]:
    """Return what the trace, compared runs, settings, clock and readings each say; what is missing is not evaluated.

    `traced` are the signals of the case's breakdown.
    """
    by_trace = _doubted(_trace(case, traced, limits), traced, case.readings, limits)
    own = Evidence(signals=case.settings)
    votes = [_telemetry(case, traced, limits)]
    if case.settings:
        votes.append(Vote.of("run's settings", placement.decide(own, limits)))
    if own.get("outside_fraction"):
        by_clock = _clock(case, own, by_trace, traced, limits)
        by_trace = _beside(by_trace, by_clock, own, traced)
        votes.append(by_clock)
    votes.append(by_trace)
    if case.compared:
        known = Evidence(signals=(*case.compared.signals, *case.settings))
        votes.append(Vote.of("differential runs", differential.decide(known, limits)))
    return tuple(votes)


def _trace(case: Case, traced: Evidence, limits: Thresholds) -> Vote:
    if case.breakdown.devices:
        return Vote.of("trace", trace.decide(traced, limits))
    if case.breakdown.format == UNTRACED.format:
        return Vote(kind="trace", missing=case.no_trace or NO_TRACE)
    return Vote(kind="trace", missing=NO_STEP, not_evaluated=trace.decide(traced, limits)[1])


def _doubted(vote: Vote, traced: Evidence, readings: Evidence | None, limits: Thresholds) -> Vote:
    """Make a full GPU a mere hint where the trace shows nothing of the host, and NVML saw the GPU at rest.

    NVML counts a moment as busy when any kernel runs in it: it can't show less than the kernels of whole steps.
    """
    percent = readings.number("utilization_percent") if readings else None
    if percent is None or vote.primary is None or vote.primary.cause != "compute_bound":
        return vote
    busy, outside = traced.number("share.gpu_compute"), traced.get("idle_outside_step_fraction")
    if busy is None or outside is None or outside.value is not None or percent / 100 > busy - limits.meters_apart:
        return vote
    findings = (msgspec.structs.replace(vote.primary, confidence="low"), *vote.findings[1:])
    return msgspec.structs.replace(vote, findings=findings)


def _clock(case: Case, own: Evidence, by_trace: Vote, traced: Evidence, limits: Thresholds) -> Vote:
    """Return what the clock says of the time between steps; nothing where a GPU is seen to be busy all along.

    There most of that time is the host waiting for the result, and costs nothing. Nor does it where the trace shows as
    much of that time: then its breakdown tells what of it costs anything.
    """
    first = by_trace.primary
    full = first is not None and first.cause == "compute_bound" and traced.text("device_kind") == "gpu"
    busy = (case.readings.number("utilization_percent") if case.readings else None) or 0.0
    hidden = not case.breakdown.devices and busy / 100 >= limits.compute_fraction
    shown, outside = traced.get("host_outside_share"), own.number("outside_fraction") or 0.0
    # One step alone ends before what lies between it and the next.
    several = shown is not None and shown.value is not None and (shown.n or 0) > 1
    known = several and outside < (traced.number("host_outside_share") or 0.0) + limits.tie_points
    if hidden or known or (full and not _waits_beyond_kernels(own, traced, limits)):
        return Vote(kind="clock")
    decided = clock.decide(own, limits)
    if shown is not None and not several and traced.text("device_kind") == "gpu":
        decided = tuple(map(_of_one_step, decided[0])), decided[1]
    # A result that a GPU has not computed yet is waited for outside the train function too.
    told = case.breakdown.devices or busy or not own.flag("device_is_gpu")
    return Vote.of("clock", decided if told else (tuple(map(_hint, decided[0])), decided[1]))


def _of_one_step(found: Finding) -> Finding:
    """Return what the clock says less sure: the traced step ends before that time, and part of it may be a wait."""
    claim = f"{found.claim} The one traced step does not show it: some of it may be a wait for a result that is read."
    return msgspec.structs.replace(found, confidence=LOWER[found.confidence], claim=claim)


def _hint(found: Finding) -> Finding:
    return msgspec.structs.replace(found, confidence="low")


def _waits_beyond_kernels(own: Evidence, traced: Evidence, limits: Thresholds) -> bool:
    """Whether kernels fill too little of a call of the timed window, and the host is outside for longer than they run.

    For as long as they run it may just wait there for the result.
    """
    filled, window = window_filled(traced, own.get("window_call_ms")), own.get("window_call_ms")
    if filled is None or filled >= limits.compute_fraction or window is None or not isinstance(window.value, float):
        return False
    beyond = (own.number("outside_fraction") or 0.0) - kernels_ms(traced) / window.value
    return beyond >= limits.between_steps_share


def _beside(by_trace: Vote, by_clock: Vote, own: Evidence, traced: Evidence) -> Vote:
    """Return what the trace says, without a first cause where its full device is not that of the timed window.

    A trace of one step ends before what lies between it and the next: the clock sees that.
    """
    first = by_trace.primary
    if first is None or first.cause != "compute_bound" or by_clock.primary is None:
        return by_trace
    window = window_filled(traced, own.get("window_call_ms"))
    filled = first.severity if window is None else min(first.severity, window)
    findings = tuple(
        msgspec.structs.replace(found, primary=False, severity=filled if found is first else found.severity)
        for found in by_trace.findings
    )
    return msgspec.structs.replace(by_trace, findings=findings)


def _telemetry(case: Case, traced: Evidence, limits: Thresholds) -> Vote:
    """Return what the readings of a GPU and its host say; the trace only tells them which device computed how long."""
    if case.readings is None:
        return Vote(kind="telemetry", missing=NOT_SAMPLED)
    seen = Evidence(signals=(*case.readings.signals, *traced.only("device_kind", "share.cpu_compute")))
    return Vote.of("telemetry", telemetry.decide(seen, limits))
