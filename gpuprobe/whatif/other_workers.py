"""Keeps a prediction for one worker of a job above the time that the others take: a job is as fast as its slowest.

The others make the same change, since they run the same script; it takes from each what it can, which may be nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.ledger.categories import BUSY
from gpuprobe.records import Gain

if TYPE_CHECKING:
    from gpuprobe.ledger.records import DeviceBreakdown, TraceBreakdown
    from gpuprobe.whatif.change import Change
    from gpuprobe.whatif.records import Prediction


def others_ms(breakdown: TraceBreakdown, device: DeviceBreakdown, change: Change) -> float:
    """Return the longest step in ms that workers on other hosts would take after the change, without their waits.

    It is of traced steps. 0 where their waits are not known, or the change may shorten all that they do.
    """
    if not change.takes or breakdown.untold:
        return 0.0
    others = (breakdown.devices[peer.device] for peer in breakdown.peers)
    return max((_stays_ms(other, change) for other in others if other.host != device.host), default=0.0)


def _stays_ms(device: DeviceBreakdown, change: Change) -> float:
    if device.kind == "gpu":
        # A host that is held less is ahead of its GPU, so that any idle time may go.
        return sum(map(device.ms, BUSY))
    return device.step_ms - device.ms("idle_peer") - sum(map(device.ms, change.takes))


def no_faster_than(prediction: Prediction, step_ms: float) -> Prediction:
    """Return the prediction with no step shorter than `step_ms`, in which the other workers are ready."""
    if prediction.low_ms >= step_ms:
        return prediction
    now_ms = prediction.step_ms * prediction.gain.ratio
    expected, low, high = (max(step_ms, ms) for ms in (prediction.step_ms, prediction.low_ms, prediction.high_ms))
    gain = prediction.gain
    return msgspec.structs.replace(
        prediction,
        step_ms=expected,
        low_ms=low,
        high_ms=high,
        gain=Gain(ratio=now_ms / expected, low=now_ms / high, high=now_ms / low, over=gain.over),
        bound=min(prediction.bound, now_ms / step_ms),
        assumption=f"{prediction.assumption}; the other workers still take {wording.milliseconds(step_ms)}",
    )
