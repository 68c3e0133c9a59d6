"""Reasons why the leading cause may not be what matters, each as a clause, empty where it does not hold.

Each lowers the confidence and is said; none changes the cause. The trace may have been slowed or cut, its steps may
disagree (`each_step.py`), or another cause may be worth as much. The comparison of traced steps with the timed window
is in `pace.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.causes import BY_SHARE, CAUSES
from gpuprobe.diagnosis.confidence import LOWER
from gpuprobe.diagnosis.each_step import another_leads, only_in_one
from gpuprobe.diagnosis.gains import saved_share
from gpuprobe.diagnosis.pace import traced_longer, window_filled
from gpuprobe.diagnosis.rules.gpu_state import held_down
from gpuprobe.diagnosis.used_up import batches_of_before, batches_used_up
from gpuprobe.evidence.breakdown import main_device
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


def doubted(findings: Sequence[Finding], case: Case, known: Evidence, limits: Thresholds) -> tuple[Finding, ...]:
    """Return the findings of a case, the primary one less sure where its trace may not speak for the training."""
    first = next((finding for finding in findings if finding.primary and finding.cause != "unattributed"), None)
    device = main_device(case.breakdown)
    if first is None or device is None:
        return tuple(findings)
    lead = _lead(findings, first)
    doubts = (
        _profiler_slowed(first, lead, device, known, limits),
        another_leads(first, device, limits),
        only_in_one(first, device, limits),
        _others_beside_full_device(findings, first, known, limits, case.replay),
        _cost_of_fp16_unknown(first),
        _may_be_a_loop(first, known),
        _launched_by_few_calls(first, known),
        _no_step_marked(first, device),
        _idles_in_window(findings, first, device, known, limits),
        _trace_may_be_cut(first, device),
        _cores_taken(first, device, known, limits),
        batches_used_up(first, case.breakdown),
        batches_of_before(first, case.breakdown, known, limits),
    )
    reasons = [text for text in doubts if text]
    if not reasons:
        return tuple(findings)
    claim = f"{first.claim} Less sure, since {wording.listing(reasons)}."
    less = msgspec.structs.replace(first, claim=claim, confidence=LOWER[first.confidence])
    return tuple(less if finding is first else finding for finding in findings)


def _lead(findings: Sequence[Finding], first: Finding) -> float:
    """Return by which share of the step the first leads over the next finding, symptoms and conditions aside."""
    others = [
        finding.severity
        for finding in findings
        if finding is not first and finding.symptom_of is None and not CAUSES[finding.cause].condition
    ]
    return first.severity - max(others, default=0.0)


def _profiler_slowed(first: Finding, lead: float, device: DeviceBreakdown, known: Evidence, limits: Thresholds) -> str:
    """The time that the profiler added may be all of the lead. It does not make kernels longer."""
    slowdown = known.number("profiler_slowdown") or 1.0
    if traced_longer(known, limits):
        # `pace` says so, and compares the traced steps with the timed ones.
        return ""
    if slowdown < limits.profiler_slowdown or (first.cause == "compute_bound" and device.kind == "gpu"):
        return ""
    if 1 - 1 / slowdown < lead:
        return ""
    return f"tracing slowed the steps {slowdown:.2g}x, and may have added most of this time"


def _others_beside_full_device(
    findings: Sequence[Finding], first: Finding, known: Evidence, limits: Thresholds, replay: Replay | None
) -> str:
    """Beside a device that computes nearly all the time, another cause may still be worth changing."""
    if first.cause != "compute_bound":
        return ""
    costs = {finding.cause: finding.severity for finding in findings if _costs_time(finding, first)}
    # On a processor, shares that overlap the categories are up to a point part of the computing.
    within = [cause for cause in BY_SHARE if cause.exclusive or _share(cause, known) >= limits.cpu_idle_share]
    costs |= {cause.id: _share(cause, known) for cause in within if cause.id not in costs}
    # Reading a result also keeps other work from running beside the device, which no share of the step shows.
    if replay is not None:
        costs["sync_every_step"] = max(costs["sync_every_step"], saved_share(replay, "sync_every_step") or 0.0)
    costs.setdefault("throttled", held_down(known, limits) * (known.number("share.gpu_compute") or 0.0))
    # Other programs' time may be too short to be a finding. A card that they only have open costs nothing.
    costs["gpu_shared"] = max(costs.get("gpu_shared", 0.0), (known.number("other_sm_percent") or 0.0) / 100)
    most = max(costs, key=costs.__getitem__)
    if costs[most] < limits.beside_full_share:
        unseen = _unseen_share(known)
        if costs[most] + unseen >= limits.beside_full_share and unseen > 0:
            share = wording.share(costs[most] + unseen)
            return f"{most} may be worth {share} of the step, including what the trace does not show"
        return _half_filled(known, limits)
    return f"{most} may be worth {wording.share(costs[most])} of the step"


def _unseen_share(known: Evidence) -> float:
    """Return the unexplained share of a step plus the share by which a timed call is longer than a traced step."""
    window, step_ms = known.get("window_call_ms"), known.number("step_ms") or 0.0
    beyond = max(0.0, 1 - step_ms / window.low) if window is not None and window.low else 0.0
    return beyond + sum(known.number(f"share.{part}") or 0.0 for part in ("unattributed", "stalled"))


def _share(cause: Cause, known: Evidence) -> float:
    return known.number(cause.shown.share) or 0.0


def _half_filled(known: Evidence, limits: Thresholds) -> str:
    """Some multiprocessors are idle while kernels run, too few of them for a finding of `batch_too_small`."""
    empty = (known.number("share.gpu_compute") or 0.0) - (known.number("sm_efficiency") or 1.0)
    if empty < limits.beside_full_share:
        return ""
    return f"batch_too_small may be worth {wording.share(empty)} of the step"


def _costs_time(finding: Finding, first: Finding) -> bool:
    return finding is not first and finding.cause not in {"wrong_meter", "profiler_perturbed", "unattributed"}


def _no_step_marked(first: Finding, device: DeviceBreakdown) -> str:
    """The GPU span begins and ends with work: without a marked step, waits around it are not known."""
    if first.cause != "compute_bound" or device.kind != "gpu" or device.steps_from != NO_MARKER:
        return ""
    return "the trace marks no step, so time before its first kernel is not known"


def _idles_in_window(
    findings: Sequence[Finding], first: Finding, device: DeviceBreakdown, known: Evidence, limits: Thresholds
) -> str:
    """A GPU that is full in the traced steps may not be in the timed ones; larger differences are told by `pace`.

    What makes its kernels longer, such as another program, then costs nothing while the GPU waits.
    """
    full = next((finding for finding in findings if finding.cause == "compute_bound"), None)
    filled = window_filled(known, known.get("window_call_ms"))
    rests_on_full = full is not None and first.cause in {"compute_bound", *CAUSES["compute_bound"].roots}
    if not rests_on_full or device.kind != "gpu" or filled is None or filled >= limits.compute_fraction:
        return ""
    return f"the kernels of a traced step fill {wording.share(filled)} of a call of the timed window"


def _cores_taken(first: Finding, device: DeviceBreakdown, known: Evidence, limits: Thresholds) -> str:
    """Where others hold the cores, threads wait for one, also within an operation, and no event shows it."""
    waited = known.number("core_waited_fraction") or 0.0
    if device.kind == "cpu" and first.cause in {"compute_bound", "batch_too_small"} and waited >= limits.core_waited:
        return f"the thread that trains was ready without a core for {wording.share(waited)} of the time"
    others, cores = known.number("other_cpu_cores") or 0.0, known.number("cpu_limit") or 0.0
    if device.kind != "cpu" or first.cause != "batch_too_small" or not cores or others < limits.mostly * cores:
        return ""
    return f"other programs took {others:.2g} of {wording.cores(cores)}, and part of this time may be waits for a core"


def _cost_of_fp16_unknown(first: Finding) -> str:
    """The settings show arithmetic that the card does not speed up, but no trace shows what it costs."""
    if first.cause != "fp16_without_tensor_cores":
        return ""
    return "how long the same kernels take in float32 was not measured"


def _trace_may_be_cut(first: Finding, device: DeviceBreakdown) -> str:
    """A part of a step shows only some of its waits: its cause is likely, but never sure.

    One-time work is a finding about the trace, not about a step.
    """
    if first.confidence != "high" or first.cause == "one_time_work":
        return ""
    launches = device.kernels.count if device.kernels else 0
    alone = not device.ms("gpu_collective")
    if device.cut == UNMARKED and device.steps_from == NO_MARKER and first.cause == "launch_bound" and alone:
        # The pace from the first launch to the last is the host's, wherever the step ends. With other devices, the rest
        # of the step may be a wait for them.
        few = launches <= fixed.FEWEST_PAUSES
        # In the rest of the step, longer kernels may hide the launches.
        return device.cut if few or fixed.KERNELS_LONGER * device.share("gpu_compute") > first.severity else ""
    return device.cut


def _may_be_a_loop(first: Finding, known: Evidence) -> str:
    """Many short operations may be the iterations of one loop, which a larger batch does not make fewer."""
    owner = known.text("loop_left")
    if first.cause not in {"batch_too_small", "launch_bound"} or not owner:
        return ""
    return f"{owner} contains a loop, and its iterations may be most of the started operations"


def _launched_by_few_calls(first: Finding, known: Evidence) -> str:
    """Kernels that one call starts together wait for each other, not for the host."""
    count, calls = known.number("kernels_per_step"), known.number("launches_per_step")
    if first.cause != "launch_bound" or count is None or not calls or count < fixed.KERNELS_AT_ONCE * calls:
        return ""
    return "one call starts many kernels, as with a CUDA graph: between these the host launches nothing"
