"""Builds the graph of a timeline: the host's chain, the making of batches, the devices, and their dependencies."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.intervals import between
from gpuprobe.ledger.names import Kind, is_called_by_python
from gpuprobe.thresholds import fixed
from gpuprobe.traces.names import distinct
from gpuprobe.units import PS_PER_MS, PS_PER_US
from gpuprobe.whatif import dependencies
from gpuprobe.whatif.assembly import HOSTING, JOINING, MAKING, RUNNING, Assembly, resources
from gpuprobe.whatif.feeding import Feeding, feeding_of
from gpuprobe.whatif.graph import FIRST_STREAM, HOST, PRODUCER, BatchSupply, Edge, Graph, Work
from gpuprobe.whatif.host_chain import Chain, Own, chain_of
from gpuprobe.whatif.operations import Operations, operations

if TYPE_CHECKING:
    from gpuprobe.ledger.breakdown import Workings
    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.records import DeviceBreakdown
    from gpuprobe.ledger.steps import Windows
    from gpuprobe.traces.timeline import Device
    from gpuprobe.whatif.graph import Ints


def build(made: Workings, device: DeviceBreakdown) -> Graph | None:
    """Return the graph of the host that feeds this device of a breakdown, with all its devices; None without kernels.

    The warm-up steps of the breakdown are left out.
    """
    of = made.made_of(device)
    own = Own(of.held, of.once)
    if device.kind == "cpu":
        return _graph(of.host, of.windows, [], device, own)
    devices = [found for found in made.timeline.devices if found.host == device.host and len(found.kernels)]
    main = next((found for found in devices if found.name == device.name), None)
    if main is None:
        return None
    # The breakdown's device comes first.
    return _graph(of.host, of.windows, [main, *(found for found in devices if found is not main)], device, own)


def _graph(host: TracedHost, windows: Windows, devices: list[Device], device: DeviceBreakdown, working: Own) -> Graph:
    begin = int(windows.start_ps[device.warmup])
    everything = operations(devices, host)
    launched = np.where(everything.joined, everything.call_start, everything.start)
    found = everything.where(launched >= begin)
    chain = chain_of(host, windows, found, begin, working)
    made = feeding_of(
        host, chain.waits, between(begin, int(chain.end[-1])), bool(found.sized[found.work == Work.H2D].any())
    )
    whole = Assembly()
    queue = dependencies.queue_of(found)
    nodes = _add_host(whole, chain, made, _unblocked(chain, found, queue), gpu=bool(devices))
    taken = nodes[chain.at(chain.waits.end)] if len(chain.waits) else np.empty(0, np.int64)
    _add_feed(whole, chain, made, taken)
    _add_tail(whole, chain, windows, begin)
    if len(found):
        _add_devices(whole, chain, found, nodes, queue)
    facts = {"compute_capability": _number(device.facts.get("compute_capability"))}
    steps = len(windows) - device.warmup
    own = everything.end[everything.device == 0]
    until = int(own.max()) if len(own) else int(chain.end[-1])
    graph = whole.graph(
        steps=steps,
        measured_ms=(until - begin) / steps / PS_PER_MS,
        gpu=bool(devices),
        eager=_eager(host, found),
        feed=_feed(made, taken),
        facts=facts,
    )
    carried = graph.carried_us.copy()
    carried[PRODUCER] = -made.begun_us
    return replace(graph, carried_us=_carried(carried, everything, found, begin))


def _feed(made: Feeding, taken: Ints) -> BatchSupply:
    return BatchSupply(
        kind=made.kind,
        taken=taken,
        ready=made.ready,
        buffer=made.buffer,
        map_share=made.map_share,
        map_threads=made.map_threads,
        computing=made.computing,
        unknown=made.unknown,
    )


def _eager(host: TracedHost, found: Operations) -> bool:
    """Return whether Python calls most operations one by one (eager execution)."""
    called = np.array([is_called_by_python(name) for name in host.names], np.bool_)
    calls = sum(int(called[thread.events.name].sum()) for thread in host.threads)
    operations_run = len(found) or sum(int(((kind & Kind.OP) != 0).sum()) for kind in host.kinds)
    return calls > fixed.EAGER_FRACTION * max(operations_run, 1)


def _number(value: float | str | None) -> float | None:
    return value if isinstance(value, float) else None


def _carried(carried: np.ndarray, everything: Operations, found: Operations, begin: int) -> np.ndarray:
    """Add the work that each stream still has left from steps before the first."""
    if not len(everything) or not len(found):
        return carried
    number, _ = resources(everything.device, everything.stream, FIRST_STREAM)
    launched = np.where(everything.joined, everything.call_start, everything.start)
    early = (launched < begin) & (everything.end > begin)
    left = np.bincount(number[early], (everything.end - np.maximum(everything.start, begin))[early] / PS_PER_US)
    known = min(len(left), len(carried))
    carried[:known] += left[:known]
    return carried


def _unblocked(chain: Chain, found: Operations, queue: dependencies.Queue) -> Ints:
    """Return the length of each node of the chain without waits for room in the launch queue, (n,) ps."""
    lasted: Ints = chain.lasted.copy()
    blocked = np.flatnonzero(found.joined & (found.call_end - found.call_start > queue.lasts))
    node = chain.at(found.call_end[blocked])
    excess = (found.call_end - found.call_start - queue.lasts)[blocked]
    right = chain.work[node] == Work.LAUNCH
    lasted[node[right]] = np.maximum(lasted[node[right]] - excess[right], 0)
    return lasted


def _add_host(whole: Assembly, chain: Chain, made: Feeding, lasted: Ints, *, gpu: bool) -> Ints:
    """Add the host's chain; where batches are made ahead, only the part of a wait after the batch was ready is work."""
    lasted = lasted.copy()
    if len(chain.waits) and len(made.ended):
        inside = np.flatnonzero((chain.work == Work.INPUT) & (chain.lasted > 0))
        wait = np.searchsorted(chain.waits.start, chain.end[inside] - 1, side="right") - 1
        batch = wait - made.ready
        known = (batch >= 0) & (batch < len(made.ended))
        done = made.ended[np.clip(batch, 0, len(made.ended) - 1)]
        since = np.maximum(chain.end[inside] - chain.lasted[inside], done)
        lasted[inside] = np.where(known, np.maximum(chain.end[inside] - since, 0), lasted[inside])
    ours = np.full(len(chain.end), not gpu)
    return whole.add(chain.end, HOSTING, HOST, chain.work, lasted / PS_PER_US, ours=ours)


def _add_feed(whole: Assembly, chain: Chain, made: Feeding, taken: Ints) -> None:
    """Add the making of batches ahead: one for each batch taken, at most as many ahead as the buffer holds."""
    count = len(taken)
    if not len(made.service_us) or not count:
        return
    service = np.resize(made.service_us, count)
    service[len(made.service_us) :] = made.service_us.mean()
    batch = np.arange(count)
    key = np.append(chain.waits.end, np.full(made.ready, np.iinfo(np.int64).max))[batch + made.ready]
    makers = whole.add(key, MAKING, PRODUCER, int(Work.PRODUCE), service)
    source = batch - made.ready
    whole.wait(taken, makers[source % count], Edge.BATCH, back=-(source // count))
    room = batch + made.ready - made.buffer
    whole.wait(makers, taken[room % count], Edge.SLOT, back=-(room // count))


def _add_tail(whole: Assembly, chain: Chain, windows: Windows, begin: int) -> None:
    """Add the host's work after the last step, before it would begin another one."""
    if windows.inside is None:
        return
    starts = windows.start_ps[windows.start_ps >= begin]
    if len(starts) < 2:
        return
    outside, last = chain.work == Work.BETWEEN, chain.end > starts[-1]
    usual = chain.lasted[outside & ~last].sum() / (len(starts) - 1)
    left = max(0.0, float(usual - chain.lasted[outside & last].sum()))
    whole.add(chain.end[-1:], HOSTING, HOST, int(Work.BETWEEN), np.array([left / PS_PER_US]))


def _add_devices(whole: Assembly, chain: Chain, found: Operations, nodes: Ints, queue: dependencies.Queue) -> None:
    """Add the devices' work, and the edges to and from it."""
    stream, ours = resources(found.device, found.stream, FIRST_STREAM)
    groups = _collectives(found)
    together = np.isin(np.arange(len(found)), groups)
    us = np.where(together, 0, found.end - found.start) / PS_PER_US
    more = {"fill": found.fill, "matrix": found.matrix, "sized": found.sized, "ours": ours}
    begun = whole.add(found.start, RUNNING, stream, found.work, us, **more)
    ended = begun.copy()
    if groups.size:
        key = np.broadcast_to(found.start[groups].max(axis=0), groups.shape).reshape(-1)
        lasts = np.broadcast_to((found.end - found.start)[groups].min(axis=0), groups.shape).reshape(-1) / PS_PER_US
        every = groups.reshape(-1)
        ended[every] = whole.add(key, JOINING, stream[every], int(Work.COLLECTIVE), lasts, ours=ours[every])
        for first in groups:
            for second in groups:
                whole.wait(ended[first], begun[second], Edge.JOINED)
    _add_launches(whole, chain, found, nodes, begun, queue)
    target, source, after = dependencies.for_devices(chain, found)
    copying = chain.work[target] == Work.COPYING
    for chosen, reason in ((copying, Edge.COPIED), (~copying, Edge.READ)):
        whole.wait(nodes[target[chosen]], ended[source[chosen]], reason)
    whole.columns[0]["us"][target] = after / PS_PER_US
    free = dependencies.starts(found)
    later, earlier = dependencies.across_streams(
        found, free, (dependencies.lags(found, free) * PS_PER_US).astype(np.int64)
    )
    whole.wait(begun[later], ended[earlier], Edge.STREAM)
    for copies, kernels, back in dependencies.copies_after_kernels(found):
        whole.wait(begun[copies], ended[kernels], Edge.ORDER, back=back)


def _add_launches(
    whole: Assembly, chain: Chain, found: Operations, nodes: Ints, begun: Ints, queue: dependencies.Queue
) -> None:
    joined = np.flatnonzero(found.joined)
    free = dependencies.starts(found)
    held = dependencies.held_until(found, free)[joined]
    handed = np.where(held >= 0, found.call_end[held], found.call_start[joined])
    node = chain.at(handed)
    kept = node >= 0
    usual = dependencies.lags(found, free)[joined]
    lag = np.where(held >= 0, np.minimum((found.start[joined] - handed) / PS_PER_US, usual), usual)
    whole.wait(begun[joined[kept]], nodes[node[kept]], Edge.LAUNCHED, lag_us=lag[kept])
    for device in distinct(found.device)[0].tolist():
        mine = joined[found.device[joined] == device]
        mine = mine[np.argsort(found.call_start[mine], kind="stable")]
        call = nodes[chain.at(found.call_end[mine])]
        earlier = np.arange(len(mine)) - queue.depth
        count = max(len(mine), 1)
        whole.wait(call, begun[mine[earlier % count]], Edge.QUEUE, back=-(earlier // count))


def _collectives(found: Operations) -> Ints:
    """Return the collectives that belong together, (devices, c): the first of each device, then the second, ..."""
    count = len(distinct(found.device)[0])
    each = [np.flatnonzero((found.work == Work.COLLECTIVE) & (found.device == device)) for device in range(count)]
    if count < 2 or len({len(places) for places in each}) != 1:
        return np.empty((0, 0), np.int64)
    return np.stack(each)
