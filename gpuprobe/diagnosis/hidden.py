"""A sync that keeps the host's work from hiding behind the device's: a result read in each step is waited for.

What Python does between two steps, a graph that is built again or operations that are started one by one cost nothing
while the device still has work in its queue. A result that is read back empties the queue. The replay of the trace
tells the two apart: without the reading the step is shorter than without the work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.causes import CAUSES
from gpuprobe.diagnosis.gains import cure, saved_share
from gpuprobe.diagnosis.join import LOWER, within_a_step
from gpuprobe.diagnosis.records import Finding
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.records import Evidence
    from gpuprobe.thresholds import Thresholds
    from gpuprobe.whatif.records import Replay

SYNC: CauseId = "sync_every_step"
FULL: CauseId = "compute_bound"
# Fewer launches save in the replay of any step, whether or not they are what is wrong.
OF_LAUNCHES: frozenset[CauseId] = frozenset(("launch_bound",))
# Causes that are the host's own time: what it does could run beside the device.
COULD_HIDE: frozenset[CauseId] = frozenset(
    (
        "host_between_steps",
        "input_bound",
        "eager_or_retracing",
        "recompiling",
        "host_work",
        "one_time_work",
        "launch_bound",
    )
)


def with_sync(
    findings: Sequence[Finding], known: Evidence, limits: Thresholds, replay: Replay | None
) -> tuple[Finding, ...]:
    """Return the findings, with the sync first where removing it saves more than removing what leads.

    One traced step does not show that a result is read in each: there the sync leads where it saves a tenth more; over
    time between steps by `tie_points` of the step, since time after a sync belongs to what the host does then. So it
    does over a wait for a batch, which is no less of a wait. Of several steps, it leads where it saves more, and over a
    full device from a tenth of the step on. Where it saves more and does not lead, the first is less sure and ties with
    it.
    """
    first = next((found for found in findings if found.primary), None)
    if first is None or replay is None or known.text("device_kind") != "gpu":
        return tuple(findings)
    step = known.get("step_ms")
    several = step is not None and (step.n or 0) >= fixed.HELD_STEPS
    saved, own = saved_share(replay, SYNC), _own(first, replay, limits, several=several)
    if saved is None or own is None or saved < limits.sync_share or saved <= own:
        return tuple(findings)
    rest = [found for found in findings if found is not first and found.cause != SYNC]
    told = _told(first, saved, own, known, findings)
    if saved - own <= _ahead(first.cause, saved, limits, several=several):
        less = msgspec.structs.replace(first, confidence=LOWER[first.confidence], ties_with=SYNC)
        return tuple(within_a_step([less, msgspec.structs.replace(told, primary=False, ties_with=None), *rest]))
    beside = msgspec.structs.replace(first, primary=False, ties_with=None)
    return tuple(within_a_step([told, beside, *rest]))


def _own(first: Finding, replay: Replay, limits: Thresholds, *, several: bool) -> float | None:
    """Return what a sync has to save more than: what curing the first saves (0 to 1); None where it does not matter."""
    if first.cause == FULL and several:
        # What else could hide behind the device is held against it too.
        return max(limits.root_share, *(_cured(replay, cause) or 0.0 for cause in COULD_HIDE - OF_LAUNCHES))
    return _cured(replay, first.cause) if first.cause in COULD_HIDE else None


def _cured(replay: Replay, cause: CauseId) -> float | None:
    remedy = cure(replay, cause)
    return 1 - 1 / remedy.gain.ratio if remedy is not None else None


def _ahead(cause: CauseId, saved: float, limits: Thresholds, *, several: bool) -> float:
    """Return how much more of the step than the first a sync has to save to lead."""
    if cause == "input_bound" or (cause == "host_between_steps" and not several):
        return limits.tie_points
    return 0.0 if several else fixed.SAVED_ALIKE * saved


def _told(first: Finding, saved: float, own: float, known: Evidence, findings: Sequence[Finding]) -> Finding:
    """The sync as the first finding, at most as sure as a replay is."""
    seen = next((found for found in findings if found.cause == SYNC), None)
    rather = "kernels fill most of what is left"
    if first.cause != FULL:
        rather = f"without {first.cause}, {wording.share(own)}"
    claim = (
        "The host reads a result back in each step and waits for all that the device has to do, so that nothing it "
        f"does then runs beside the device. By the replay, without that reading {wording.share(saved)} of the step "
        f"goes; {rather}."
    )
    return Finding(
        cause=SYNC,
        primary=True,
        severity=saved,
        confidence=LOWER["high"] if first.confidence == "high" else first.confidence,
        claim=claim,
        evidence=seen.evidence if seen else known.only("share.idle_sync", "step_ms", "proof.idle_sync"),
        fix=CAUSES[SYNC].fix,
        ties_with=first.cause,
    )
