"""Who is waited for, as signals: the device that computes longest, and the waits in exchanges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.quantiles import median
from gpuprobe.records import Signal

if TYPE_CHECKING:
    from gpuprobe.ledger.records import DeviceBreakdown, TraceBreakdown


def straggler(breakdown: TraceBreakdown) -> list[Signal]:
    """The device that computes longest, against the median of the others."""
    computing = [device for device in breakdown.devices if device.kernels is not None]
    source = "ledger, longest gpu_compute over the median of the other devices"
    names = (("straggler_ratio", "times"), ("straggler_share", "of the step"))
    if len(computing) < 2:
        alone = "no two devices compute in the trace"
        return [Signal(name=name, unit=unit, source=source, missing=alone) for name, unit in names]
    slow = max(computing, key=lambda device: device.ms("gpu_compute"))
    others = median(np.array([device.ms("gpu_compute") for device in computing if device is not slow]))
    longest = slow.ms("gpu_compute")
    missing = breakdown.untold or (None if longest and others else "the other devices compute nothing")
    values = (None, None) if missing else (longest / others, (longest - others) / slow.step_ms)
    return [
        *(
            Signal(name=name, unit=unit, source=source, value=value, missing=missing, n=len(computing))
            for (name, unit), value in zip(names, values, strict=True)
        ),
        Signal(name="straggler_device", unit="", source=source, value=slow.name),
    ]


def exchanged(device: DeviceBreakdown) -> list[Signal]:
    """What the device's own exchanges cost, without its waiting for others; nothing where it has none."""
    facts, source = device.communication, "trace, exchanges between devices"
    if facts is None:
        return []
    unknown = None if facts.blocking_ms is not None else "too few launches are known"
    ahead = None if facts.ahead_ms is not None else "nothing adds gradients up"
    return [
        Signal(name="exchange_volume_ms", unit="ms", source=source, value=facts.volume_ms),
        Signal(name="exchange_exposed_ms", unit="ms", source=source, value=facts.exposed_ms),
        Signal(name="exchange_blocking_ms", unit="ms", source=source, value=facts.blocking_ms, missing=unknown),
        Signal(name="gradient_packs", unit="a step", source=source, value=facts.packs),
        Signal(name="exchange_ahead_ms", unit="ms", source=source, value=facts.ahead_ms, missing=ahead),
    ]


def peers(breakdown: TraceBreakdown, device: DeviceBreakdown) -> list[Signal]:
    """How long the other devices wait for the one that is judged, where their exchanges could be matched."""
    source = "trace, the exchanges matched over the devices"
    mine = next((peer for peer in breakdown.peers if breakdown.devices[peer.device] is device), None)
    kept = mine.kept_ms / max(one.step_ms for one in breakdown.devices) if mine else None
    missing = None if mine else breakdown.unmatched or "the trace holds no exchange between devices"
    count = mine.exchanges if mine else None
    return [
        Signal(name="kept_waiting_share", unit="of the step", source=source, value=kept, missing=missing, n=count),
        Signal(
            name="last_to_exchanges",
            unit=f"of {count} exchanges",
            source=source,
            value=float(mine.last) if mine else None,
            missing=missing,
        ),
    ]
