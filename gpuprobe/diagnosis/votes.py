"""The vote of each kind of evidence on a case, from its own rules alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.diagnosis.agreement import Vote
from gpuprobe.diagnosis.case import UNTRACED
from gpuprobe.diagnosis.confidence import LOWER
from gpuprobe.diagnosis.pace import kernels_ms, window_filled
from gpuprobe.diagnosis.rules import clock, differential, placement, telemetry, trace
from gpuprobe.records import Evidence

if TYPE_CHECKING:
    from gpuprobe.diagnosis.case import Case
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.thresholds import Thresholds

# Frameworks whose calls return before their step is computed, on a processor too.
RETURN_EARLY = frozenset({"jax"})
NO_TRACE, NO_STEP, NOT_SAMPLED = "there is no trace", "it holds no step", "nothing was sampled"


def votes_of(case: Case, traced: Evidence, limits: Thresholds) -> tuple[Vote, ...]:
    """Return the votes of trace, compared runs, settings, clock and readings; a missing kind says why.

    `traced` are the signals of the case's breakdown.
    """
    by_trace = _doubted_by_nvml(_trace_vote(case, traced, limits), traced, case.readings, limits)
    own = Evidence(signals=case.settings)
    votes = [_telemetry_vote(case, traced, limits)]
    if case.settings:
        votes.append(Vote.of("run's settings", placement.decide(own, limits)))
    if own.get("outside_fraction"):
        by_clock = _clock_vote(case, own, by_trace, traced, limits)
        by_trace = _without_full_device(by_trace, by_clock, own, traced)
        votes.append(by_clock)
    votes.append(by_trace)
    if case.compared:
        known = Evidence(signals=(*case.compared.signals, *case.settings))
        votes.append(Vote.of("differential runs", differential.decide(known, limits)))
    return tuple(votes)


def _trace_vote(case: Case, traced: Evidence, limits: Thresholds) -> Vote:
    if case.breakdown.devices:
        return Vote.of("trace", trace.decide(traced, limits))
    if case.breakdown.format == UNTRACED.format:
        return Vote(kind="trace", missing=case.no_trace or NO_TRACE)
    return Vote(kind="trace", missing=NO_STEP, not_evaluated=trace.decide(traced, limits)[1])


def _doubted_by_nvml(vote: Vote, traced: Evidence, readings: Evidence | None, limits: Thresholds) -> Vote:
    """Return the trace's vote, a full GPU unsure where the trace shows nothing of the host and NVML saw the GPU idle.

    NVML counts a moment as busy when any kernel runs in it, so it cannot show less than the kernels of whole steps.
    """
    percent = readings.number("utilization_percent") if readings else None
    if percent is None or vote.primary is None or vote.primary.cause != "compute_bound":
        return vote
    busy, outside = traced.number("share.gpu_compute"), traced.get("idle_outside_step_fraction")
    if busy is None or outside is None or outside.value is not None or percent / 100 > busy - limits.meters_apart:
        return vote
    findings = (msgspec.structs.replace(vote.primary, confidence="low"), *vote.findings[1:])
    return msgspec.structs.replace(vote, findings=findings)


def _clock_vote(case: Case, own: Evidence, by_trace: Vote, traced: Evidence, limits: Thresholds) -> Vote:
    """Return the clock's vote on the time between steps; an empty one where the device is busy all the time.

    If calls return early, that time is mostly a wait for the result. The vote is empty too if the trace shows
    as much time between steps: its breakdown tells which part of it costs anything.
    """
    first = by_trace.primary
    early = traced.text("device_kind") == "gpu" or traced.text("framework") in RETURN_EARLY
    full = first is not None and first.cause == "compute_bound" and early
    seen = case.readings or Evidence()
    hidden = not case.breakdown.devices and _utilization(seen) >= limits.compute_fraction
    shown, outside = traced.get("host_outside_share"), own.number("outside_fraction") or 0.0
    # A single step ends before the time between it and the next.
    several = shown is not None and shown.value is not None and (shown.n or 0) > 1
    known = several and outside < (traced.number("host_outside_share") or 0.0) + limits.tie_points
    if hidden or known or (full and not _waits_beyond_kernels(own, traced, limits)):
        return Vote(kind="clock")
    decided = clock.decide(own, limits)
    if shown is not None and not several and traced.text("device_kind") == "gpu":
        decided = tuple(map(_of_one_step, decided[0])), decided[1]
    if not case.breakdown.devices and own.flag("device_is_gpu"):
        decided = tuple(_untraced(finding, seen, limits) for finding in decided[0]), decided[1]
    return Vote.of("clock", decided)


def _of_one_step(finding: Finding) -> Finding:
    """Return the clock's finding less sure: a single traced step ends before that time, part of which may be a wait."""
    claim = f"{finding.claim} The single traced step does not show it: part of it may be a wait for a result."
    return msgspec.structs.replace(finding, confidence=LOWER[finding.confidence], claim=claim)


def _untraced(finding: Finding, seen: Evidence, limits: Thresholds) -> Finding:
    """Return the clock's finding where no trace shows the GPU: as sure as NVML's utilization leaves it.

    Outside the train function the host may also wait for a result, for as long as the GPU computes. So only what
    exceeds that is proven to be idle; without a reading nothing is, and 0 % while a GPU trains is none.
    """
    busy = _utilization(seen)
    proven = finding.severity - busy if busy else 0.0
    if proven < limits.between_steps_share:
        return msgspec.structs.replace(finding, confidence="low")
    return msgspec.structs.replace(
        finding,
        severity=min(finding.severity, 1 - busy),
        confidence=finding.confidence if proven >= 2 * limits.between_steps_share else "medium",
        evidence=(*finding.evidence, *seen.only("utilization_percent")),
    )


def _utilization(seen: Evidence) -> float:
    """Return the share of the time in which NVML saw a kernel run, 0 without a reading."""
    return (seen.number("utilization_percent") or 0.0) / 100


def _waits_beyond_kernels(own: Evidence, traced: Evidence, limits: Thresholds) -> bool:
    """Whether kernels fill too little of a timed call, and the host is outside the function for longer than they run.

    While they run, the host may only wait for the result there.
    """
    filled, window = window_filled(traced, own.get("window_call_ms")), own.get("window_call_ms")
    if filled is None or filled >= limits.compute_fraction or window is None or not isinstance(window.value, float):
        return False
    beyond = (own.number("outside_fraction") or 0.0) - kernels_ms(traced) / window.value
    return beyond >= limits.between_steps_share


def _without_full_device(by_trace: Vote, by_clock: Vote, own: Evidence, traced: Evidence) -> Vote:
    """Return the trace's vote, without a primary finding if its full device contradicts the clock.

    A trace of one step ends before the time between it and the next step, which the clock includes.
    """
    first = by_trace.primary
    if first is None or first.cause != "compute_bound" or by_clock.primary is None:
        return by_trace
    window = window_filled(traced, own.get("window_call_ms"))
    filled = first.severity if window is None else min(first.severity, window)
    findings = tuple(
        msgspec.structs.replace(finding, primary=False, severity=filled if finding is first else finding.severity)
        for finding in by_trace.findings
    )
    return msgspec.structs.replace(by_trace, findings=findings)


def _telemetry_vote(case: Case, traced: Evidence, limits: Thresholds) -> Vote:
    """Return the vote of the readings; from the trace they only take which device computed, and for how long."""
    if case.readings is None:
        return Vote(kind="telemetry", missing=NOT_SAMPLED)
    seen = Evidence(signals=(*case.readings.signals, *traced.only("device_kind", "share.cpu_compute")))
    return Vote.of("telemetry", telemetry.decide(seen, limits))
