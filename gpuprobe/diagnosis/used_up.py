"""A pipeline that makes batches more slowly than the traced steps take them: the steps live on what was made before.

A prefetch fills its buffer while the training pauses, as it does when a trace starts, and so do workers of PyTorch's
DataLoader. The first steps after that wait for no batch, however slow the pipeline is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.ledger.pipeline_pace import buffer_of, maker_of, making_ms, mean_making_ms, taking_ms
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.ledger.records import DeviceBreakdown, HostBreakdown, TraceBreakdown
    from gpuprobe.records import Evidence
    from gpuprobe.thresholds import Thresholds

# Causes that say that the device, or starting its work, takes all of the step.
FULL: frozenset[CauseId] = frozenset(("compute_bound", "batch_too_small"))


def batches_used_up(first: Finding, breakdown: TraceBreakdown) -> str:
    """Say which host's pipeline cannot keep up with the traced steps; empty where none is seen, or is the cause."""
    if first.cause == "input_bound":
        return ""
    for host, device in _fed(breakdown):
        made_ms, taken_ms = making_ms(host.iterators), taking_ms(host, device.step_ms, device.steps)
        if made_ms and taken_ms and made_ms >= fixed.MADE_TOO_SLOWLY * taken_ms:
            whose = f"the pipeline of {host.host}" if len(breakdown.hosts) > 1 else "the pipeline"
            return (
                f"{whose} takes {wording.milliseconds(made_ms)} to make a batch, and one is taken every "
                f"{wording.milliseconds(taken_ms)}: what was made ahead is used up, and then the training waits for it"
            )
    return ""


def batches_of_before(first: Finding, breakdown: TraceBreakdown, known: Evidence, limits: Thresholds) -> str:
    """Say that the steps of a full device may live on a buffer, where the trace does not show how fast it is filled.

    Calls of the timed window are more than a buffer holds: where they take as long as the traced steps, no batch is
    waited for.
    """
    if first.cause not in FULL or first.confidence != "high":
        return ""
    window_ms, step_ms = known.number("window_call_ms"), known.number("step_ms") or 0.0
    if window_ms and abs(1 - step_ms / window_ms) < limits.beside_full_share:
        return ""
    if not any(_unpaced(host, device) for host, device in _fed(breakdown)):
        return ""
    return "the traced steps may live on batches made before: the trace does not show how fast new ones are made"


def _fed(breakdown: TraceBreakdown) -> Iterator[tuple[HostBreakdown, DeviceBreakdown]]:
    """Yield each host with its first device, where that has steps."""
    for host in breakdown.hosts:
        device = next((device for device in breakdown.devices if device.host == host.host), None)
        if device is not None and device.steps:
            yield host, device


def _unpaced(host: HostBreakdown, device: DeviceBreakdown) -> bool:
    """Whether the steps take batches from a buffer, and nothing shows how fast these are made."""
    if 0 < host.batches_of_workers <= fixed.BATCHES_AHEAD:
        return True
    buffer, maker = buffer_of(host.iterators), maker_of(host.iterators)
    taken_ms = taking_ms(host, device.step_ms, device.steps)
    if buffer is None or taken_ms is None:
        return False
    if maker is None:
        # Several threads make the batches, or none was made in the trace.
        return buffer.count <= fixed.BATCHES_AHEAD
    if maker.count >= fixed.BATCHES_MADE:
        return False
    # A host that runs ahead takes them all at once, and the last new ones are made after the trace.
    several = maker.count > 1 or maker.count >= buffer.count
    return not several or fixed.MADE_WITH_EASE * mean_making_ms(host.iterators, maker) > taken_ms
