"""What each kind of evidence says of a case by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.diagnosis.case import UNTRACED
from gpuprobe.diagnosis.join import Vote
from gpuprobe.diagnosis.rules import clock, differential, placement, telemetry, trace
from gpuprobe.records import Evidence

if TYPE_CHECKING:
    from gpuprobe.diagnosis.case import Case
    from gpuprobe.thresholds import Thresholds

NO_TRACE, NO_STEP, NOT_SAMPLED = "there is no trace", "it holds no step", "nothing was sampled"


def votes_of(case: Case, traced: Evidence, limits: Thresholds) -> tuple[Vote, ...]:
    """Return what trace, compared runs, settings, clock and readings say; those of which there are none say so.

    `traced` are the signals of the case's account.
    """
    by_trace = _doubted(_trace(case, traced, limits), traced, case.readings, limits)
    votes = [by_trace, _telemetry(case, traced, limits)]
    own = Evidence(signals=case.settings)
    if case.settings:
        votes.append(Vote.of("run's settings", placement.diagnose(own, limits)))
    if own.get("outside_fraction"):
        votes.append(_clock(own, by_trace, traced, limits))
    if case.compared:
        known = Evidence(signals=(*case.compared.signals, *case.settings))
        votes.append(Vote.of("differential runs", differential.diagnose(known, limits)))
    return tuple(votes)


def _trace(case: Case, traced: Evidence, limits: Thresholds) -> Vote:
    if case.account.devices:
        return Vote.of("trace", trace.diagnose(traced, limits))
    if case.account.format == UNTRACED.format:
        return Vote(kind="trace", missing=case.no_trace or NO_TRACE)
    return Vote(kind="trace", missing=NO_STEP, not_evaluated=trace.diagnose(traced, limits)[1])


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


def _clock(own: Evidence, by_trace: Vote, traced: Evidence, limits: Thresholds) -> Vote:
    """Return what the clock says of the time between steps; nothing where a trace shows a GPU that is busy all along.

    There most of that time is the host waiting for the result, and costs nothing.
    """
    first = by_trace.primary
    hidden = first is not None and first.cause == "compute_bound" and traced.text("device_kind") == "gpu"
    return Vote(kind="clock") if hidden else Vote.of("clock", clock.diagnose(own, limits))


def _telemetry(case: Case, traced: Evidence, limits: Thresholds) -> Vote:
    """Return what the readings of a GPU and its host say; the trace only tells them which device computed how long."""
    if case.readings is None:
        return Vote(kind="telemetry", missing=NOT_SAMPLED)
    seen = Evidence(signals=(*case.readings.signals, *traced.only("device_kind", "share.cpu_compute")))
    return Vote.of("telemetry", telemetry.diagnose(seen, limits))
