"""Which device the others wait for, as signals: the one that computes longest, and the waits in exchanges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.peers import device_label
from gpuprobe.ledger.pipeline_pace import steps_fed_from_before
from gpuprobe.ledger.step_waits import in_words, is_beyond_chance, is_the_same
from gpuprobe.quantiles import median
from gpuprobe.records import Signal
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from gpuprobe.ledger.exchange_records import PeerFacts
    from gpuprobe.ledger.records import DeviceBreakdown, TraceBreakdown


def straggler(breakdown: TraceBreakdown) -> list[Signal]:
    """Return as signals how much longer than the median of the others the slowest device computes, and its name."""
    devices = breakdown.devices
    computing = [index for index, device in enumerate(devices) if device.kernels is not None]
    source = "ledger, longest gpu_compute over the median of the other devices"
    names = (("straggler_ratio", "times"), ("straggler_share", "of the step"))
    if len(computing) < 2:
        too_few = "the trace shows fewer than two devices that compute"
        return [Signal(name=name, unit=unit, source=source, missing=too_few) for name, unit in names]
    slow = max(computing, key=lambda index: devices[index].ms("gpu_compute"))
    others_ms = median(np.array([devices[index].ms("gpu_compute") for index in computing if index != slow]))
    longest_ms = devices[slow].ms("gpu_compute")
    missing = breakdown.untold or (None if longest_ms and others_ms else "the other devices compute nothing")
    values = (None, None) if missing else (longest_ms / others_ms, (longest_ms - others_ms) / devices[slow].step_ms)
    return [
        *(
            Signal(name=name, unit=unit, source=source, value=value, missing=missing, n=len(computing))
            for (name, unit), value in zip(names, values, strict=True)
        ),
        Signal(name="straggler_device", unit="", source=source, value=device_label(devices, slow)),
    ]


def exchanged(device: DeviceBreakdown) -> list[Signal]:
    """Return what the device's exchanges cost, its waits for other devices left out; nothing where it has none."""
    facts, source = device.communication, "trace, exchanges between devices"
    if facts is None:
        return []
    no_blocking = None if facts.blocking_ms is not None else "too few launches are known"
    no_ahead = None if facts.ahead_ms is not None else "no exchange adds gradients up"
    return [
        Signal(name="exchange_volume_ms", unit="ms", source=source, value=facts.volume_ms),
        Signal(name="exchange_exposed_ms", unit="ms", source=source, value=facts.exposed_ms),
        Signal(name="exchange_blocking_ms", unit="ms", source=source, value=facts.blocking_ms, missing=no_blocking),
        Signal(name="gradient_packs", unit="a step", source=source, value=facts.packs),
        Signal(name="exchange_ahead_ms", unit="ms", source=source, value=facts.ahead_ms, missing=no_ahead),
    ]


def _by_step(breakdown: TraceBreakdown, device: DeviceBreakdown, source: str) -> list[Signal]:
    """Return as signals whether the others wait for the same device in all steps, and how they wait for `device`.

    The latter is in how many steps, for how long, and whether beyond chance.
    """
    same = is_the_same(breakdown.waits)
    sure = is_beyond_chance(breakdown.waits, breakdown.devices.index(device), _fed_from_before(breakdown, device))
    beyond = Signal(name="late_beyond_chance", unit="", source=source, value=sure, n=len(breakdown.waits))
    if same is None:
        return [] if sure is None else [beyond]
    waits = [wait for wait in breakdown.waits if wait.device is not None and breakdown.devices[wait.device] is device]
    kept = sorted(wait.kept_ms for wait in waits)
    return [
        beyond,
        Signal(name="waited_for_always", unit="", source=source, value=same, n=len(breakdown.waits)),
        Signal(
            name="waited_for_steps",
            unit=f"of {len(breakdown.waits)} steps",
            source=source,
            value=float(len(waits)),
            n=len(breakdown.waits),
        ),
        Signal(
            name="waited_for_ms",
            unit="ms",
            source=source,
            value=median(np.array(kept)) if kept else None,
            low=kept[0] if kept else None,
            high=kept[-1] if kept else None,
            n=len(kept),
            missing=None if kept else "no step waits for it",
        ),
        Signal(name="waited_for", unit="", source=source, value=in_words(breakdown.waits, breakdown.devices)),
    ]


def _fed_from_before(breakdown: TraceBreakdown, device: DeviceBreakdown) -> int:
    """Return how many of the first compared steps lived on batches made before; 0 where steps cannot be told apart."""
    host = next((host for host in breakdown.hosts if host.host == device.host), None)
    alike = len(device.each_step) == len(breakdown.waits)
    return steps_fed_from_before(host, device) if host is not None and alike else 0


def peers(breakdown: TraceBreakdown, device: DeviceBreakdown) -> list[Signal]:
    """Return as signals how long the other devices wait for `device`, where their exchanges could be matched."""
    source = "trace, the exchanges matched over the devices"
    facts = next((peer for peer in breakdown.peers if breakdown.devices[peer.device] is device), None)
    kept_share = facts.kept_ms / max(other.step_ms for other in breakdown.devices) if facts else None
    missing = None if facts else breakdown.unmatched or "the trace holds no exchange between devices"
    count = facts.exchanges if facts else None
    return [
        *_by_step(breakdown, device, source),
        *(_late_by(breakdown, device, facts) if facts else ()),
        Signal(
            name="kept_waiting_share", unit="of the step", source=source, value=kept_share, missing=missing, n=count
        ),
        Signal(
            name="last_to_exchanges",
            unit=f"of {count} exchanges",
            source=source,
            value=float(facts.last) if facts else None,
            missing=missing,
        ),
    ]


def _late_by(breakdown: TraceBreakdown, device: DeviceBreakdown, facts: PeerFacts) -> list[Signal]:
    """Return as a signal the category of which the device has more than the others, if that is most of their wait.

    Work that all devices have alike delays none of them against the others.
    """
    others = [breakdown.devices[peer.device] for peer in breakdown.peers if peer.device != facts.device]
    more = {
        name: own_ms - median(np.array([other.ms(name) for other in others]))
        for name, own_ms in device.ledger_ms.items()
        if name != "idle_peer"
    }
    name = max(more, key=more.__getitem__)
    if more[name] < fixed.MOST_OF_A_WAIT * facts.kept_ms:
        return []
    return [Signal(name="late_by", unit="", source="ledger, compared with the other devices", value=name)]
