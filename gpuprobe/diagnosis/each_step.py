"""What the single steps of a trace say against the cause that leads on average, as clauses for `doubts.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.causes import BY_SHARE, CAUSES
from gpuprobe.ledger.categories import COPIES
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.ledger.records import DeviceBreakdown
    from gpuprobe.thresholds import Thresholds

SUMS = {"share.copy": COPIES, "share.launch": ("idle_launch", "idle_queue")}


def another_leads(first: Finding, device: DeviceBreakdown, limits: Thresholds) -> str:
    """Say where another cause leads in much of the traced time: the largest mean may be a chance of the trace."""
    own, steps = _share_shown(first, device), device.each_step[device.warmup :][: device.counted]
    if not own or len(steps) < fixed.ODD_STEP_OF:
        return ""
    others = {cause.shown.share for cause in BY_SHARE if _is_known_by_step(cause.shown.share, device)} - {own}
    against = [
        step.step_ms
        for step in steps
        if max((_share_ms(share, step.ledger_ms) for share in others), default=0.0)
        >= _share_ms(own, step.ledger_ms) + limits.tie_points * step.step_ms
    ]
    part = sum(against) / max(sum(step.step_ms for step in steps), 1e-9)
    if part < fixed.ODD_STEPS:
        return ""
    return f"in {wording.share(part)} of the traced time, {wording.count(len(against), 'step')}, another cause leads"


def only_in_one(first: Finding, device: DeviceBreakdown, limits: Thresholds) -> str:
    """Say where only one of several steps has the work, which may be done once, or every few steps.

    A single wait shows no rate. If the host runs ahead, the device's work ends in the last step, and the other steps
    are short and full of it.
    """
    share, steps = _share_shown(first, device), device.each_step[device.warmup :][: device.counted]
    if first.confidence != "high" or first.cause == "one_time_work" or len(steps) < fixed.HELD_STEPS or not share:
        return ""
    least = fixed.SHORT_ELSEWHERE * max(_share_ms(share, step.ledger_ms) for step in steps)
    showing = [
        step for step in steps if _share_ms(share, step.ledger_ms) > min(least, limits.root_share * step.step_ms)
    ]
    return f"only one of the {len(steps)} traced steps shows it" if len(showing) == 1 else ""


def _share_shown(first: Finding, device: DeviceBreakdown) -> str:
    """Return the share that shows a finding step by step: what it rests on, its first evidence, else the catalogue's.

    Empty where the breakdown has neither for each step, and for a cause that is no share of a step.
    """
    part = CAUSES[first.cause].part
    if part is None:
        return ""
    rests_on = [signal.name for signal in first.evidence[:1]]
    return next((share for share in (*rests_on, part.share) if _is_known_by_step(share, device)), "")


def _is_known_by_step(share: str, device: DeviceBreakdown) -> bool:
    """Whether the breakdown has this share for each single step."""
    return share in SUMS or share.removeprefix("share.") in device.ledger_ms


def _share_ms(share: str, ledger_ms: dict[str, float]) -> float:
    """Return the time (ms) of a share in the breakdown of one step."""
    return sum(ledger_ms.get(name, 0.0) for name in SUMS.get(share, (share.removeprefix("share."),)))
