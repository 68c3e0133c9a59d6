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


def build(workings: Workings, device: DeviceBreakdown) -> Graph | None:
    """Return the graph of the host that feeds this device of a breakdown, with all its devices; None without kernels.

    The warm-up steps of the breakdown are left out.
    """
    judged = workings.made_of(device)
    own = Own(judged.held, judged.once)
    if device.kind == "cpu":
        return _graph(judged.host, judged.windows, [], device, own)
    gpus = [gpu for gpu in workings.timeline.devices if gpu.host == device.host and len(gpu.kernels)]
    main = next((gpu for gpu in gpus if gpu.name == device.name), None)
    if main is None:
        return None
    # The breakdown's device comes first.
    return _graph(judged.host, judged.windows, [main, *(gpu for gpu in gpus if gpu is not main)], device, own)


def _graph(host: TracedHost, windows: Windows, devices: list[Device], device: DeviceBreakdown, own: Own) -> Graph:
    begin = int(windows.start_ps[device.warmup])
    every_op = operations(devices, host)
    launched = np.where(every_op.joined, every_op.call_start, every_op.start)
    ops = every_op.where(launched >= begin)
    chain = chain_of(host, windows, ops, begin, own)
    feeding = feeding_of(
        host, chain.waits, between(begin, int(chain.end[-1])), bool(ops.sized[ops.work == Work.H2D].any())
    )
    whole = Assembly()
    queue = dependencies.queue_of(ops)
    nodes = _add_host(whole, chain, feeding, _unblocked(chain, ops, queue), gpu=bool(devices))
    taken = nodes[chain.at(chain.waits.end)] if len(chain.waits) else np.empty(0, np.int64)
    _add_feed(whole, chain, feeding, taken)
    _add_tail(whole, chain, windows, begin)
    if len(ops):
        _add_devices(whole, chain, ops, nodes, queue)
    facts = {"compute_capability": _number(device.facts.get("compute_capability"))}
    steps = len(windows) - device.warmup
    ends = every_op.end[every_op.device == 0]
    until = int(ends.max()) if len(ends) else int(chain.end[-1])
    graph = whole.graph(
        steps=steps,
        measured_ms=(until - begin) / steps / PS_PER_MS,
        gpu=bool(devices),
        eager=_runs_eagerly(host, ops),
        feed=_batch_supply(feeding, taken),
        facts=facts,
    )
    carried = graph.carried_us.copy()
    carried[PRODUCER] = -feeding.begun_us
    return replace(graph, carried_us=_carried(carried, every_op, ops, begin))


def _batch_supply(feeding: Feeding, taken: Ints) -> BatchSupply:
    return BatchSupply(
        kind=feeding.kind,
        taken=taken,
        ready=feeding.ready,
        buffer=feeding.buffer,
        map_share=feeding.map_share,
        map_threads=feeding.map_threads,
        computing=feeding.computing,
        unknown=feeding.unknown,
    )


def _runs_eagerly(host: TracedHost, ops: Operations) -> bool:
    """Return whether Python calls most operations one by one (eager execution)."""
    called = np.array([is_called_by_python(name) for name in host.names], np.bool_)
    calls = sum(int(called[thread.events.name].sum()) for thread in host.threads)
    operations_run = len(ops) or sum(int(((kind & Kind.OP) != 0).sum()) for kind in host.kinds)
    return calls > fixed.EAGER_FRACTION * max(operations_run, 1)


def _number(value: float | str | None) -> float | None:
    return value if isinstance(value, float) else None


def _carried(carried: np.ndarray, every_op: Operations, ops: Operations, begin: int) -> np.ndarray:
    """Add the work that each stream still has left from steps before the first."""
    if not len(every_op) or not len(ops):
        return carried
    number, _ = resources(every_op.device, every_op.stream, FIRST_STREAM)
    launched = np.where(every_op.joined, every_op.call_start, every_op.start)
    early = (launched < begin) & (every_op.end > begin)
    left = np.bincount(number[early], (every_op.end - np.maximum(every_op.start, begin))[early] / PS_PER_US)
    known = min(len(left), len(carried))
    carried[:known] += left[:known]
    return carried


def _unblocked(chain: Chain, ops: Operations, queue: dependencies.Queue) -> Ints:
    """Return the length of each node of the chain without waits for room in the launch queue, (n,) ps."""
    lasted: Ints = chain.lasted.copy()
    blocked = np.flatnonzero(ops.joined & (ops.call_end - ops.call_start > queue.lasts))
    node = chain.at(ops.call_end[blocked])
    excess = (ops.call_end - ops.call_start - queue.lasts)[blocked]
    right = chain.work[node] == Work.LAUNCH
    lasted[node[right]] = np.maximum(lasted[node[right]] - excess[right], 0)
    return lasted


def _add_host(whole: Assembly, chain: Chain, feeding: Feeding, lasted: Ints, *, gpu: bool) -> Ints:
    """Add the host's chain; where batches are made ahead, only the part of a wait after the batch was ready is work."""
    lasted = lasted.copy()
    if len(chain.waits) and len(feeding.ended):
        inside = np.flatnonzero((chain.work == Work.INPUT) & (chain.lasted > 0))
        wait = np.searchsorted(chain.waits.start, chain.end[inside] - 1, side="right") - 1
        batch = wait - feeding.ready
        known = (batch >= 0) & (batch < len(feeding.ended))
        done = feeding.ended[np.clip(batch, 0, len(feeding.ended) - 1)]
        since = np.maximum(chain.end[inside] - chain.lasted[inside], done)
        lasted[inside] = np.where(known, np.maximum(chain.end[inside] - since, 0), lasted[inside])
    ours = np.full(len(chain.end), not gpu)
    return whole.add(chain.end, HOSTING, HOST, chain.work, lasted / PS_PER_US, ours=ours)


def _add_feed(whole: Assembly, chain: Chain, feeding: Feeding, taken: Ints) -> None:
    """Add the making of batches ahead: one for each batch taken, at most as many ahead as the buffer holds."""
    count = len(taken)
    if not len(feeding.service_us) or not count:
        return
    service = np.resize(feeding.service_us, count)
    service[len(feeding.service_us) :] = feeding.service_us.mean()
    batch = np.arange(count)
    key = np.append(chain.waits.end, np.full(feeding.ready, np.iinfo(np.int64).max))[batch + feeding.ready]
    makers = whole.add(key, MAKING, PRODUCER, int(Work.PRODUCE), service)
    source = batch - feeding.ready
    whole.wait(taken, makers[source % count], Edge.BATCH, back=-(source // count))
    room = batch + feeding.ready - feeding.buffer
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


def _add_devices(whole: Assembly, chain: Chain, ops: Operations, nodes: Ints, queue: dependencies.Queue) -> None:
    """Add the devices' work, and the edges to and from it."""
    stream, ours = resources(ops.device, ops.stream, FIRST_STREAM)
    groups = _collectives(ops)
    together = np.isin(np.arange(len(ops)), groups)
    us = np.where(together, 0, ops.end - ops.start) / PS_PER_US
    more = {"fill": ops.fill, "matrix": ops.matrix, "sized": ops.sized, "ours": ours}
    begun = whole.add(ops.start, RUNNING, stream, ops.work, us, **more)
    ended = begun.copy()
    if groups.size:
        key = np.broadcast_to(ops.start[groups].max(axis=0), groups.shape).reshape(-1)
        lasts = np.broadcast_to((ops.end - ops.start)[groups].min(axis=0), groups.shape).reshape(-1) / PS_PER_US
        every = groups.reshape(-1)
        ended[every] = whole.add(key, JOINING, stream[every], int(Work.COLLECTIVE), lasts, ours=ours[every])
        for first in groups:
            for second in groups:
                whole.wait(ended[first], begun[second], Edge.JOINED)
    _add_launches(whole, chain, ops, nodes, begun, queue)
    target, source, after = dependencies.for_devices(chain, ops)
    copying = chain.work[target] == Work.COPYING
    for chosen, reason in ((copying, Edge.COPIED), (~copying, Edge.READ)):
        whole.wait(nodes[target[chosen]], ended[source[chosen]], reason)
    whole.columns[0]["us"][target] = after / PS_PER_US
    free = dependencies.starts(ops)
    later, earlier = dependencies.across_streams(ops, free, (dependencies.lags(ops, free) * PS_PER_US).astype(np.int64))
    whole.wait(begun[later], ended[earlier], Edge.STREAM)
    for copies, kernels, back in dependencies.copies_after_kernels(ops):
        whole.wait(begun[copies], ended[kernels], Edge.ORDER, back=back)


def _add_launches(
    whole: Assembly, chain: Chain, ops: Operations, nodes: Ints, begun: Ints, queue: dependencies.Queue
) -> None:
    joined = np.flatnonzero(ops.joined)
    free = dependencies.starts(ops)
    held = dependencies.held_until(ops, free)[joined]
    handed = np.where(held >= 0, ops.call_end[held], ops.call_start[joined])
    node = chain.at(handed)
    kept = node >= 0
    usual = dependencies.lags(ops, free)[joined]
    lag = np.where(held >= 0, np.minimum((ops.start[joined] - handed) / PS_PER_US, usual), usual)
    whole.wait(begun[joined[kept]], nodes[node[kept]], Edge.LAUNCHED, lag_us=lag[kept])
    for device in distinct(ops.device)[0].tolist():
        mine = joined[ops.device[joined] == device]
        mine = mine[np.argsort(ops.call_start[mine], kind="stable")]
        call = nodes[chain.at(ops.call_end[mine])]
        earlier = np.arange(len(mine)) - queue.depth
        count = max(len(mine), 1)
        whole.wait(call, begun[mine[earlier % count]], Edge.QUEUE, back=-(earlier // count))


def _collectives(ops: Operations) -> Ints:
    """Return the collectives that belong together, (devices, c): the first of each device, then the second, ..."""
    count = len(distinct(ops.device)[0])
    each = [np.flatnonzero((ops.work == Work.COLLECTIVE) & (ops.device == device)) for device in range(count)]
    if count < 2 or len({len(indices) for indices in each}) != 1:
        return np.empty((0, 0), np.int64)
    return np.stack(each)
