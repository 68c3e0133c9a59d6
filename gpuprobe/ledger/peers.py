"""Which device the others wait for, and how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe import wording
from gpuprobe.ledger.exchange_records import PeerFacts
from gpuprobe.thresholds import DEFAULTS
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.exchanges import Exchanges
    from gpuprobe.ledger.records import DeviceBreakdown


def peers_of(exchanged: Exchanges | None, devices: Sequence[DeviceBreakdown]) -> tuple[PeerFacts, ...]:
    """Return for each device in matched exchanges how long it waited for others, and how long others waited for it."""
    if exchanged is None:
        return ()
    waited, last = exchanged.waited_ps / PS_PER_MS, exchanged.last
    others = exchanged.took.sum(axis=0) - 1
    index = {(device.name, device.host): index for index, device in enumerate(devices)}
    return tuple(
        PeerFacts(
            device=index[member],
            waited_ms=float(waited[row].sum() / devices[index[member]].steps),
            kept_ms=float((waited / others)[:, last == row].sum() / devices[index[member]].steps),
            last=int(np.count_nonzero(last == row)),
            exchanges=int(exchanged.took[row].sum()),
        )
        for row, member in enumerate(exchanged.members)
        if member in index and exchanged.took[row].any()
    )


def waited_for(devices: Sequence[DeviceBreakdown], peers: Sequence[PeerFacts]) -> tuple[int, str] | None:
    """Return the index of the device that the others wait for most, and a sentence; None where no wait is long."""
    worst = max(peers, key=lambda peer: peer.kept_ms, default=None)
    if worst is None or worst.kept_ms < DEFAULTS.kept_waiting_share * devices[worst.device].step_ms:
        return None
    return worst.device, (
        f"the others wait {wording.milliseconds(worst.kept_ms)} a step for {device_label(devices, worst.device)}, "
        f"which comes last to {worst.last} of {wording.count(worst.exchanges, 'exchange')}"
    )


def slowest_of(devices: Sequence[DeviceBreakdown]) -> tuple[int | None, str]:
    """Return the index of the device with the longest step, and a sentence that tells why; None for a single device."""
    worked = [index for index, device in enumerate(devices) if device.kernels or device.kind == "cpu"]
    if len(worked) < 2:
        return None, ""
    slow = max(worked, key=lambda index: devices[index].step_ms)
    fast = min(worked, key=lambda index: devices[index].step_ms)
    more = {name: value - devices[fast].ledger_ms[name] for name, value in devices[slow].ledger_ms.items()}
    name = max(more, key=more.__getitem__)
    return slow, (
        f"{device_label(devices, slow)} takes {wording.milliseconds(devices[slow].step_ms)} a step, "
        f"{device_label(devices, fast)} {wording.milliseconds(devices[fast].step_ms)}: "
        f"{wording.milliseconds(more[name])} more of {name}"
    )


def device_label(devices: Sequence[DeviceBreakdown], index: int) -> str:
    """Return a device's name, with its host's name if there are several hosts."""
    device = devices[index]
    several = len({other.host for other in devices}) > 1
    return f"{device.name} of {device.host}" if several else device.name
