"""Why what leads may not be what matters: the trace was slowed, its steps disagree, or something else is worth as much.

Each lowers the confidence of what leads where it could change it, and is said. None changes the cause. What the timed
window tells of the traced steps is held against them in `pace.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.causes import BY_SHARE, CAUSES
from gpuprobe.diagnosis.confidence import LOWER
from gpuprobe.diagnosis.gains import saved_share
from gpuprobe.diagnosis.pace import window_filled
from gpuprobe.diagnosis.rules.gpu_state import held_down
from gpuprobe.evidence.breakdown import main_device
from gpuprobe.ledger.categories import COPIES
from gpuprobe.ledger.cut import UNMARKED
from gpuprobe.ledger.steps import NO_MARKER
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.case import Case
    from gpuprobe.diagnosis.causes import Cause
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.ledger.records import DeviceBreakdown
    from gpuprobe.records import Evidence
    from gpuprobe.thresholds import Thresholds
    from gpuprobe.whatif.records import Replay

SUMS = {"share.copy": COPIES, "share.launch": ("idle_launch", "idle_queue")}


def doubted(findings: Sequence[Finding], case: Case, known: Evidence, limits: Thresholds) -> tuple[Finding, ...]:
    """Return the findings of a case, the primary one less sure where its trace may not speak for the training."""
    first = next((found for found in findings if found.primary and found.cause != "unattributed"), None)
    device = main_device(case.breakdown)
    if first is None or device is None:
        return tuple(findings)
    lead = _lead(findings, first)
    doubts = (
        _slowed(first, lead, device, known, limits),
        _differing(first, device, limits),
        _in_one_step(first, device, limits),
        _not_alone(findings, first, known, limits, case.replay),
        _uncosted(first),
        _looping(first, known),
        _at_once(first, known),
        _guessed(first, device),
        _idles_in_window(first, device, known, limits),
        _cut(first, device),
    )
    reasons = [text for text in doubts if text]
    if not reasons:
        return tuple(findings)
    said = f"{first.claim} Less sure, since {wording.listing(reasons)}."
    less = msgspec.structs.replace(first, claim=said, confidence=LOWER[first.confidence])
    return tuple(less if found is first else found for found in findings)


def _lead(findings: Sequence[Finding], first: Finding) -> float:
    """Return by how much of the step the first is ahead of the next that is neither its root nor its symptom."""
    others = [
        found.severity
        for found in findings
        if found is not first and found.symptom_of is None and not CAUSES[found.cause].condition
    ]
    return first.severity - max(others, default=0.0)


def _slowed(first: Finding, lead: float, device: DeviceBreakdown, known: Evidence, limits: Thresholds) -> str:
    """The time that the profiler added may be all of the lead; kernels it does not make longer."""
    slowdown = known.number("profiler_slowdown") or 1.0
    if known.get("window_call_ms") is not None and slowdown >= limits.traced_apart:
        # The window's pace tells it.
        return ""
    if slowdown < limits.profiler_slowdown or (first.cause == "compute_bound" and device.kind == "gpu"):
        return ""
    if 1 - 1 / slowdown < lead:
        return ""
    return f"tracing slowed the steps {slowdown:.2g}x, and what it added may be most of this"


def _differing(first: Finding, device: DeviceBreakdown, limits: Thresholds) -> str:
    """What leads in the mean may be what the trace happened to catch: in much of its time another cause is ahead."""
    shares = {cause.id: cause.shown.share for cause in BY_SHARE if _told(cause.shown.share, device)}
    steps = device.each_step[device.warmup :][: device.counted]
    if first.cause not in shares or len(steps) < fixed.ODD_STEP_OF:
        return ""
    others = [share for cause, share in shares.items() if cause != first.cause]
    against = [
        step.step_ms
        for step in steps
        if max(_of(share, step.ledger_ms) for share in others)
        >= _of(shares[first.cause], step.ledger_ms) + limits.tie_points * step.step_ms
    ]
    part = sum(against) / max(sum(step.step_ms for step in steps), 1e-9)
    if part < fixed.ODD_STEPS:
        return ""
    return f"in {wording.share(part)} of the traced time, {wording.count(len(against), 'step')}, another cause leads"


def _in_one_step(first: Finding, device: DeviceBreakdown, limits: Thresholds) -> str:
    """What only one of several steps shows may be done once, or come every so many steps: one wait tells no rate.

    A host that runs ahead leaves its device's work to the last step: the others are short, and full of the same.
    """
    share = next((cause.shown.share for cause in BY_SHARE if cause.id == first.cause), "")
    steps = device.each_step[device.warmup :][: device.counted]
    if (
        first.confidence != "high"
        or first.cause == "one_time_work"
        or len(steps) < fixed.HELD_STEPS
        or not _told(share, device)
    ):
        return ""
    least = fixed.SHORT_ELSEWHERE * max(_of(share, step.ledger_ms) for step in steps)
    showing = [step for step in steps if _of(share, step.ledger_ms) > min(least, limits.root_share * step.step_ms)]
    return f"only one of the {len(steps)} traced steps shows it" if len(showing) == 1 else ""


def _not_alone(
    findings: Sequence[Finding], first: Finding, known: Evidence, limits: Thresholds, replay: Replay | None
) -> str:
    """A device that computes nearly all along may still be worth less than what else is known."""
    if first.cause != "compute_bound":
        return ""
    costs = {found.cause: found.severity for found in findings if _costs_time(found, first)}
    # What lies across the categories of a processor's step is part of its computing up to a point.
    within = [cause for cause in BY_SHARE if cause.exclusive or _share(cause, known) >= limits.cpu_idle_share]
    costs |= {cause.id: _share(cause, known) for cause in within if cause.id not in costs}
    # A reading of the result costs what it keeps from running beside the device, which no share of the step shows.
    if replay is not None:
        costs["sync_every_step"] = max(costs["sync_every_step"], saved_share(replay, "sync_every_step") or 0.0)
    costs.setdefault("throttled", held_down(known, limits) * (known.number("share.gpu_compute") or 0.0))
    # Less than makes it the cause, and none of the step where nothing but an open card shows it.
    costs["gpu_shared"] = max(costs.get("gpu_shared", 0.0), (known.number("other_sm_percent") or 0.0) / 100)
    most = max(costs, key=costs.__getitem__)
    if costs[most] < limits.beside_full_share:
        unseen = _unseen(known)
        if costs[most] + unseen >= limits.beside_full_share and unseen > 0:
            return f"{most} may be worth {wording.share(costs[most] + unseen)} of the step, with what the trace lacks"
        return _half_filled(known, limits)
    return f"{most} may be worth {wording.share(costs[most])} of the step"


def _unseen(known: Evidence) -> float:
    """The share of a step of which the trace tells nothing, with what a call of the timed window takes beyond one."""
    window, step_ms = known.get("window_call_ms"), known.number("step_ms") or 0.0
    beyond = max(0.0, 1 - step_ms / window.low) if window is not None and window.low else 0.0
    return beyond + sum(known.number(f"share.{part}") or 0.0 for part in ("unattributed", "stalled"))


def _share(cause: Cause, known: Evidence) -> float:
    return known.number(cause.shown.share) or 0.0


def _half_filled(known: Evidence, limits: Thresholds) -> str:
    """Multiprocessors without work while kernels run, by an estimate: fewer than make a small batch the cause."""
    empty = (known.number("share.gpu_compute") or 0.0) - (known.number("sm_efficiency") or 1.0)
    return f"batch_too_small may be worth {wording.share(empty)} of the step" if empty >= limits.root_share else ""


def _costs_time(found: Finding, first: Finding) -> bool:
    return found is not first and found.cause not in {"wrong_meter", "profiler_perturbed", "unattributed"}


def _guessed(first: Finding, device: DeviceBreakdown) -> str:
    """A span of kernels is always full of what it begins and ends with: only a step shows what lies around it."""
    if first.cause != "compute_bound" or device.kind != "gpu" or device.steps_from != NO_MARKER:
        return ""
    return "the trace tells of no step, and so not what comes before its first kernel"


def _idles_in_window(first: Finding, device: DeviceBreakdown, known: Evidence, limits: Thresholds) -> str:
    """A GPU that is full in the traced steps need not be so in the timed ones; `pace` tells where they differ more."""
    filled = window_filled(known, known.get("window_call_ms"))
    if first.cause != "compute_bound" or device.kind != "gpu" or filled is None or filled >= limits.compute_fraction:
        return ""
    return f"the kernels of a traced step fill {wording.share(filled)} of a call of the timed window"


def _uncosted(first: Finding) -> str:
    """Arithmetic of a kind that a card does not speed up is seen in the settings, and what it costs is in no trace."""
    if first.cause != "fp16_without_tensor_cores":
        return ""
    return "how long the same kernels take in float32 was not measured"


def _cut(first: Finding, device: DeviceBreakdown) -> str:
    """Part of a step shows part of what it waits for: enough to be likely, and never enough to be sure.

    What is done once tells of the trace, and of no step.
    """
    if first.confidence != "high" or first.cause == "one_time_work":
        return ""
    launches = device.kernels.count if device.kernels else 0
    alone = not device.ms("gpu_collective")
    if device.cut == UNMARKED and device.steps_from == NO_MARKER and first.cause == "launch_bound" and alone:
        # A pace that holds from the first launch to the last is what the host launches at, whatever a step is; with
        # others in it, the rest of the step may be a wait for them.
        few = launches <= fixed.FEWEST_PAUSES
        # In the rest of the step kernels may be longer, and then hide the launches.
        return device.cut if few or fixed.KERNELS_LONGER * device.share("gpu_compute") > first.severity else ""
    return device.cut


def _looping(first: Finding, known: Evidence) -> str:
    """Operations that are short and many may be the turns of one loop, which no larger batch makes fewer."""
    owner = known.text("loop_left")
    if first.cause not in {"batch_too_small", "launch_bound"} or not owner:
        return ""
    return f"{owner} holds a loop, and its turns may be most of what is started"


def _at_once(first: Finding, known: Evidence) -> str:
    """Kernels that one call starts together wait for each other, and not for the host."""
    count, calls = known.number("kernels_per_step"), known.number("launches_per_step")
    if first.cause != "launch_bound" or count is None or not calls or count < fixed.KERNELS_AT_ONCE * calls:
        return ""
    return "most kernels were started many by one call, as by a CUDA graph: between those the host launches nothing"


def _told(share: str, device: DeviceBreakdown) -> bool:
    """Whether the ledger tells the share of each step by itself."""
    return share in SUMS or share.removeprefix("share.") in device.ledger_ms


def _of(share: str, ledger_ms: dict[str, float]) -> float:
    return sum(ledger_ms.get(name, 0.0) for name in SUMS.get(share, (share.removeprefix("share."),)))
