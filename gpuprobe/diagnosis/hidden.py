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
# What a step can have beside a sync, each in its own right.
OF_ITS_OWN: frozenset[CauseId] = frozenset(("host_between_steps", "input_bound"))
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

    It leads where it saves a tenth more; over a wait for a batch, or time between steps, by `tie_points` of the step,
    since time after a sync belongs to what the host does then. Where it saves more and does not lead, the first is less
    sure and ties with it.
    """
    first = next((found for found in findings if found.primary), None)
    if first is None or replay is None or first.cause not in COULD_HIDE or known.text("device_kind") != "gpu":
        return tuple(findings)
    remedy, saved = cure(replay, first.cause), saved_share(replay, SYNC)
    own = 1 - 1 / remedy.gain.ratio if remedy is not None else None
    if saved is None or own is None or saved < limits.sync_share or saved <= own:
        return tuple(findings)
    rest = [found for found in findings if found is not first and found.cause != SYNC]
    told = _told(first, saved, own, known, findings)
    ahead = limits.tie_points if first.cause in OF_ITS_OWN else fixed.SAVED_ALIKE * saved
    if saved - own <= ahead:
        less = msgspec.structs.replace(first, confidence=LOWER[first.confidence], ties_with=SYNC)
        return tuple(within_a_step([less, msgspec.structs.replace(told, primary=False, ties_with=None), *rest]))
    beside = msgspec.structs.replace(first, primary=False, ties_with=None)
    return tuple(within_a_step([told, beside, *rest]))


def _told(first: Finding, saved: float, own: float, known: Evidence, findings: Sequence[Finding]) -> Finding:
    """The sync as the first finding, at most as sure as a replay is."""
    seen = next((found for found in findings if found.cause == SYNC), None)
    claim = (
        "The host reads a result back in each step and waits for all that the device has to do, so that nothing it "
        f"does then runs beside the device. By the replay, without that reading {wording.share(saved)} of the step "
        f"goes; without {first.cause}, {wording.share(own)}."
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
