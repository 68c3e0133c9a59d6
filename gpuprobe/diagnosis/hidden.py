"""A sync that keeps the host's work from running beside the device's: the host waits for a result in each step.

Python between two steps, a graph that is built again, or operations started one by one cost nothing while the device
still has work in its queue. Reading a result back empties the queue. The replay of the trace tells which of the two
costs the time: if the sync does, the step is shorter without the sync than without the host's work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.causes import CAUSES
from gpuprobe.diagnosis.confidence import LOWER
from gpuprobe.diagnosis.gains import cure, saved_share
from gpuprobe.diagnosis.merge import within_a_step
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
# Fewer launches shorten the replay of nearly any step, so that a saving proves nothing.
OF_LAUNCHES: frozenset[CauseId] = frozenset(("launch_bound",))
# Causes whose time is the host's own: it could run beside the device's work.
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
    """Return the findings, with the sync first if removing it saves clearly more than curing the cause that leads.

    How much more is needed: with several traced steps, anything. A single step does not show that a result is read in
    each, so there a tenth of what the sync saves. Against a wait for a batch it is always `tie_points` of the step, and
    with a single step also against time between steps, since time after a sync belongs to what the host does then. With
    several steps, a full device counts as a cause whose cure saves a tenth of the step, or what other work of the host
    would. If the sync saves more, but not enough to lead, or as much with several traced steps, the first cause is less
    sure and ties with it.
    """
    first = next((finding for finding in findings if finding.primary), None)
    if first is None or replay is None or known.text("device_kind") != "gpu":
        return tuple(findings)
    step = known.get("step_ms")
    several = step is not None and (step.n or 0) >= fixed.HELD_STEPS
    saved, to_exceed = saved_share(replay, SYNC), _saving_to_exceed(first, replay, limits, several=several)
    if saved is None or to_exceed is None or saved < limits.sync_share:
        return tuple(findings)
    if saved <= to_exceed and (not several or first.cause == FULL or saved < (1 - fixed.SAVED_ALIKE) * to_exceed):
        return tuple(findings)
    rest = [finding for finding in findings if finding is not first and finding.cause != SYNC]
    sync = _sync_finding(first, saved, to_exceed, known, findings)
    if saved - to_exceed <= _lead_needed(first.cause, saved, limits, several=several):
        sure = LOWER[first.confidence] if saved > to_exceed or first.confidence == "high" else first.confidence
        less = msgspec.structs.replace(first, confidence=sure, ties_with=SYNC)
        return tuple(within_a_step([less, msgspec.structs.replace(sync, primary=False, ties_with=None), *rest]))
    beside = msgspec.structs.replace(first, primary=False, ties_with=None)
    return tuple(within_a_step([sync, beside, *rest]))


def _saving_to_exceed(first: Finding, replay: Replay, limits: Thresholds, *, several: bool) -> float | None:
    """Return the share of the step (0 to 1) that the sync must save more than: what curing the first cause saves.

    None for a cause that a sync cannot be behind, and where the replay cannot tell.
    """
    if first.cause == FULL and several:
        # Other host work that could run beside the device counts too.
        return max(limits.root_share, *(_cured(replay, cause) or 0.0 for cause in COULD_HIDE - OF_LAUNCHES))
    return _cured(replay, first.cause) if first.cause in COULD_HIDE else None


def _cured(replay: Replay, cause: CauseId) -> float | None:
    remedy = cure(replay, cause)
    return 1 - 1 / remedy.gain.ratio if remedy is not None else None


def _lead_needed(cause: CauseId, saved: float, limits: Thresholds, *, several: bool) -> float:
    """Return how much more of the step than the first cause a sync must save to lead."""
    if cause == "input_bound" or (cause == "host_between_steps" and not several):
        return limits.tie_points
    return 0.0 if several else fixed.SAVED_ALIKE * saved


def _sync_finding(
    first: Finding, saved: float, to_exceed: float, known: Evidence, findings: Sequence[Finding]
) -> Finding:
    """Return the sync as the primary finding, with at most medium confidence, since only a replay shows it."""
    known_sync = next((finding for finding in findings if finding.cause == SYNC), None)
    compared = "kernels fill most of what is left"
    if first.cause != FULL:
        compared = f"curing {first.cause} saves {wording.share(to_exceed)}"
    claim = (
        "The host reads a result back in each step and waits for all of the device's work, so its own work after that "
        f"does not run beside the device. In the replay, removing the read saves {wording.share(saved)} of the step; "
        f"{compared}."
    )
    return Finding(
        cause=SYNC,
        primary=True,
        severity=saved,
        confidence=LOWER["high"] if first.confidence == "high" else first.confidence,
        claim=claim,
        evidence=known_sync.evidence if known_sync else known.only("share.idle_sync", "step_ms", "proof.idle_sync"),
        fix=CAUSES[SYNC].fix,
        ties_with=first.cause,
    )
