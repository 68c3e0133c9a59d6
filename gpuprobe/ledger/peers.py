"""Which device the others wait for, and how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe import wording
from gpuprobe.ledger.exchange_records import PeerFacts
from gpuprobe.thresholds import DEFAULTS
from gpuprobe.traces.names import distinct
from gpuprobe.traces.timeline import UNKNOWN
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gpuprobe.ledger.exchanges import Exchanges
    from gpuprobe.ledger.records import DeviceBreakdown


def peers_of(exchanged: Exchanges | None, devices: Sequence[DeviceBreakdown]) -> tuple[PeerFacts, ...]:
    """Return for each device in matched exchanges how long it waited for others, and how long others waited for it.

    The first of several compared steps does not count: see `_after_start`.
    """
    if exchanged is None:
        return ()
    counts, compared = _after_start(exchanged, devices)
    waited, last = exchanged.waited_ps[:, counts] / PS_PER_MS, exchanged.last[counts]
    took = exchanged.took[:, counts]
    others = took.sum(axis=0) - 1
    index = {(device.name, device.host): index for index, device in enumerate(devices)}
    return tuple(
        PeerFacts(
            device=index[member],
            waited_ms=float(waited[row].sum() / _counted_steps(devices[index[member]], compared)),
            kept_ms=float((waited / others)[:, last == row].sum() / _counted_steps(devices[index[member]], compared)),
            last=int(np.count_nonzero(last == row)),
            exchanges=int(took[row].sum()),
        )
        for row, member in enumerate(exchanged.members)
        if member in index and took[row].any()
    )


def steps_of(exchanged: Exchanges, devices: Sequence[DeviceBreakdown]) -> NDArray[np.int64] | None:
    """Return the step of each exchange, (k,): by its number, else by equal counts per step; None if neither works."""
    if (exchanged.step != UNKNOWN).all():
        return exchanged.step
    members = set(exchanged.members)
    every, counts = len(exchanged.step), {one.steps for one in devices if (one.name, one.host) in members}
    steps = counts.pop() if len(counts) == 1 else 0
    return np.arange(every) // (every // steps) if steps and every and every % steps == 0 else None


def _after_start(exchanged: Exchanges, devices: Sequence[DeviceBreakdown]) -> tuple[NDArray[np.bool_], int]:
    """Return which exchanges tell who is late, (k,), and how many steps are compared (1 where steps are not known).

    Workers do not start to trace at the same moment: in the first compared step the one whose profiler took longest
    comes late. That step is left out if others remain.
    """
    step = steps_of(exchanged, devices)
    if step is None:
        return np.ones(len(exchanged.step), np.bool_), 1
    numbers = distinct(step)[0]
    return (step != numbers[0]) | (len(numbers) == 1), len(numbers)


def _counted_steps(device: DeviceBreakdown, compared: int) -> int:
    """Return over how many of a device's steps its waits are counted: without the first of those compared."""
    # Where gradients are accumulated, an exchange comes every few steps.
    return max(compared - 1, 1) * max(round(device.steps / compared), 1)


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
