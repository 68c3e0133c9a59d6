"""The exchanges of each device, by operation and communicator, before they are matched with those of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger import names
from gpuprobe.ledger.launches import NO_CALL, called_by
from gpuprobe.ledger.names import Kind
from gpuprobe.ledger.step_markers import marks_of
from gpuprobe.traces.names import distinct
from gpuprobe.traces.timeline import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.traces.timeline import Device, Int64s, Timeline

    # A device by its name and its host's.
    Member: TypeAlias = tuple[str, str]
    # The operation of an exchange, and its communicator, empty where the trace names none.
    Key: TypeAlias = tuple[str, str]
    # The exchanges of each device, (n, 4) of a kind and communicator.
    DeviceExchanges: TypeAlias = Mapping[Member, Mapping[Key, Int64s]]

PROCESSOR = "CPU"
# The columns of an exchange: its times (ps), its bytes, and the number of its step; the last two may be UNKNOWN.
START, END, SIZE, STEP = range(4)


def of_gpus(timeline: Timeline, hosts: Mapping[str, TracedHost]) -> DeviceExchanges:
    """Return the collectives of each GPU that takes part in any; their steps are known if the host is."""
    by_device = {
        (device.name, device.host): _of_device(timeline, device, hosts.get(device.host)) for device in timeline.devices
    }
    return {member: by_key for member, by_key in by_device.items() if by_key}


def of_processors(hosts: Mapping[str, TracedHost]) -> DeviceExchanges:
    """Return the collectives of the hosts' processors, which count if no GPU takes part in any."""
    by_device = {(PROCESSOR, name): _of_host(host) for name, host in hosts.items()}
    return {member: by_key for member, by_key in by_device.items() if by_key}


def _of_device(timeline: Timeline, device: Device, host: TracedHost | None) -> dict[Key, Int64s]:
    kernels = device.kernels
    chosen = np.flatnonzero(names.collective(timeline.names, kernels.name))
    group = kernels.group[chosen] if len(kernels.group) else np.full(len(chosen), UNKNOWN)
    size = kernels.bytes[chosen] if len(kernels.bytes) else np.full(len(chosen), UNKNOWN)
    step = _steps_of(host, _asked_ps(host, kernels.correlation[chosen])) if host else np.full(len(chosen), UNKNOWN)
    columns = np.stack([kernels.start_ps[chosen], kernels.end_ps[chosen], size, step], axis=1)
    return _by_key(timeline.names, kernels.name[chosen], group, columns)


def _of_host(host: TracedHost) -> dict[Key, Int64s]:
    """Return the collectives of all threads: an exchange runs on any free thread of the pool."""
    masks = [(kinds & Kind.EXCHANGE) != 0 for kinds in host.kinds]
    chosen = [(thread.events, mask) for thread, mask in zip(host.threads, masks, strict=True)]
    if not any(mask.any() for _, mask in chosen):
        return {}
    name = np.concatenate([events.name[mask] for events, mask in chosen])
    start = np.concatenate([events.start_ps[mask] for events, mask in chosen])
    end = np.concatenate([events.end_ps[mask] for events, mask in chosen])
    order = np.argsort(start, kind="stable")
    unknown = np.full(len(name), UNKNOWN, np.int64)
    columns = np.stack([start[order], end[order], unknown, _steps_of(host, start[order])], axis=1)
    return _by_key(host.names, name[order], unknown, columns)


def _by_key(
    texts: Sequence[str], name: NDArray[np.integer], group: NDArray[np.integer], columns: Int64s
) -> dict[Key, Int64s]:
    """Divide collectives by operation and communicator, (n, 4) each, in their order."""
    keys = [
        (names.collective_kind(texts[kernel_name]), "" if number == UNKNOWN else texts[number])
        for kernel_name, number in zip(name.tolist(), group.tolist(), strict=True)
    ]
    indices: dict[Key, list[int]] = {}
    for index, key in enumerate(keys):
        indices.setdefault(key, []).append(index)
    return {key: columns[rows] for key, rows in indices.items()}


def _steps_of(host: TracedHost, asked_ps: Int64s) -> Int64s:
    """Return the number of the step in which a host asked for each exchange, (n,); UNKNOWN without a marker."""
    unknown = np.full(len(asked_ps), UNKNOWN, np.int64)
    marks = marks_of(host)
    if marks is None or not len(asked_ps) or len(distinct(marks.number)[0]) < len(marks.number):
        return unknown
    begin = marks.spans.start
    # A step lasts until the next begins. A request after the end of the last marker may belong to a later step.
    end = np.append(begin[1:], marks.spans.end[-1])
    index = np.searchsorted(begin, asked_ps, side="right") - 1
    within = (index >= 0) & (asked_ps < end[index])
    return np.where(within, marks.number[index], unknown)


def _asked_ps(host: TracedHost, correlation: Int64s) -> Int64s:
    """Return when a host launched each of a GPU's exchanges, (n,) ps; the smallest int64 where that is not known."""
    never = np.full(len(correlation), np.iinfo(np.int64).min)
    if not len(correlation) or not len(host.calls.start_ps):
        return never
    calls = called_by(host, correlation)
    return np.where(calls != NO_CALL, host.calls.start_ps[calls], never)
