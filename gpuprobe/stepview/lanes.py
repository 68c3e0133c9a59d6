"""The lanes of events: one for each stream of the devices and each thread of the hosts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.device_breakdown import host_names
from gpuprobe.ledger.host import TracedHost
from gpuprobe.ledger.launches import NO_CALL, NO_LAUNCH, called_by
from gpuprobe.ledger.names import Kind
from gpuprobe.ledger.stages import THREADS
from gpuprobe.traces.names import distinct
from gpuprobe.traces.timeline import UNKNOWN, Direction

if TYPE_CHECKING:
    from gpuprobe.ledger.breakdown import Workings
    from gpuprobe.traces.timeline import Device, Int32s, Int64s

# The kinds of lanes: a device's stream, a thread that launches or calls the training, one that makes batches, any
# other.
STREAM, LAUNCHING, INPUT, OTHER = "stream", "launching", "input", "other"
_TRAINS = Kind.FUNCTION | Kind.CALL | Kind.EXECUTION
_FEEDS = Kind.INPUT | Kind.ITERATOR_ROOT | Kind.ITERATOR | Kind.FEED
# Events nested deeper than this are not shown.
DEEPEST = 255
_WORK_OF_DIRECTION = {
    Direction.H2D: "copies to the GPU",
    Direction.D2H: "copies to the host",
    Direction.D2D: "copies on the GPU",
    Direction.P2P: "copies between GPUs",
    Direction.SET: "fills",
    Direction.OTHER: "copies",
}


@dataclass(frozen=True)
class Lane:
    """Events of one stream or thread, (n,) each, sorted by start; `device` is empty for a thread.

    `depth` is how many others were open when an event began; `name` and `op` are indices in `Timeline.names`, UNKNOWN
    for none. `launch_ps` is when the launch call of an operation began (NO_LAUNCH: unknown), `launched_by` the index of
    its thread. `count` is the number of events that one stands for, more than one where short ones were merged, and
    `busy_ps` their total length. `thread` is the index of a thread's own lane.
    """

    kind: str
    title: str
    host: str
    device: str
    start_ps: Int64s
    end_ps: Int64s
    name: Int32s
    depth: Int32s
    op: Int32s = field(default_factory=lambda: np.empty(0, np.int32))
    launch_ps: Int64s = field(default_factory=lambda: np.empty(0, np.int64))
    launched_by: Int64s = field(default_factory=lambda: np.empty(0, np.int64))
    count: Int64s = field(default_factory=lambda: np.empty(0, np.int64))
    busy_ps: Int64s = field(default_factory=lambda: np.empty(0, np.int64))
    thread: int = UNKNOWN

    def __len__(self) -> int:
        """Count the events."""
        return len(self.start_ps)


def lanes_of(workings: Workings) -> list[Lane]:
    """Return the lanes of a trace, host by host: those of the breakdown first, then those without a step."""
    timeline = workings.timeline
    accounted = {device.host.name: device.host for device in workings.devices}
    others = [TracedHost(timeline, name) for name in host_names(timeline) if name not in accounted]
    lanes = []
    for host in (*accounted.values(), *others):
        devices = [device for device in timeline.devices if device.host == host.name]
        lanes += [lane for device in devices for lane in _streams(device, host)]
        lanes += _threads(host, devices)
    return lanes


def depth_of(start: Int64s, end: Int64s) -> Int32s:
    """Return how many events were open when each began, (n,): earlier ones that had not ended.

    An event of length zero is open at its own instant.
    """
    ended = np.searchsorted(np.sort(np.maximum(end, start + 1)), start, side="right")
    depth: Int32s = np.clip(np.arange(len(start)) - ended, 0, DEEPEST).astype(np.int32)
    return depth


def _streams(device: Device, host: TracedHost) -> list[Lane]:
    kernels, copies = device.kernels, device.copies
    columns = {
        name: np.concatenate([getattr(kernels, name), getattr(copies, name)])
        for name in ("start_ps", "end_ps", "name", "correlation", "stream")
    }
    op = np.concatenate([kernels.op, np.full(len(copies), UNKNOWN, np.int32)])
    order = np.argsort(columns["start_ps"], kind="stable")
    index = called_by(host, columns["correlation"])
    known, calls = index != NO_CALL, host.calls
    launch = np.full(len(index), NO_LAUNCH)
    launch[known] = calls.start_ps[index[known]]
    thread = np.where(known, calls.thread[index] if len(calls.thread) else UNKNOWN, UNKNOWN)
    lanes = []
    for stream in distinct(columns["stream"])[0].tolist():
        mine = order[columns["stream"][order] == stream]
        start, end = columns["start_ps"][mine], columns["end_ps"][mine]
        lanes.append(
            Lane(
                kind=STREAM,
                title=f"stream {stream}: {_work_of(device, stream)}",
                host=host.name,
                device=device.name,
                start_ps=start,
                end_ps=end,
                name=columns["name"][mine],
                depth=depth_of(start, end),
                op=op[mine],
                launch_ps=launch[mine],
                launched_by=thread[mine],
            )
        )
    return lanes


def _work_of(device: Device, stream: int) -> str:
    """Return the kinds of work of a stream, the most common first."""
    kernels = int((device.kernels.stream == stream).sum())
    mine = device.copies.direction[device.copies.stream == stream]
    counts = {"kernels": kernels} | {
        words: int((mine == direction).sum()) for direction, words in _WORK_OF_DIRECTION.items()
    }
    return ", ".join(sorted((words for words, count in counts.items() if count), key=lambda words: -counts[words]))


def _threads(host: TracedHost, devices: list[Device]) -> list[Lane]:
    work = [device.kernels.correlation for device in devices] + [device.copies.correlation for device in devices]
    index = called_by(host, np.concatenate(work)) if work else np.empty(0, np.int64)
    launching = set(distinct(host.calls.thread[index[index != NO_CALL]])[0].tolist())
    kinds = [_kind_of(host, number, launching) for number in range(len(host.threads))]
    lanes = [_thread(host, number, kind) for number, kind in enumerate(kinds)]
    rank = (LAUNCHING, INPUT, OTHER)
    return sorted(lanes, key=lambda lane: (rank.index(lane.kind), -int((lane.end_ps - lane.start_ps).sum())))


def _kind_of(host: TracedHost, number: int, launching: set[int]) -> str:
    kinds = host.kinds[number]
    if host.threads[number].name.startswith(THREADS):
        return INPUT
    if number in launching or np.any(kinds & _TRAINS):
        return LAUNCHING
    return INPUT if np.any(kinds & _FEEDS) else OTHER


def _thread(host: TracedHost, number: int, kind: str) -> Lane:
    thread = host.threads[number]
    start, end = thread.events.start_ps, thread.events.end_ps
    return Lane(
        kind=kind,
        title=thread.name,
        host=host.name,
        device="",
        start_ps=start,
        end_ps=end,
        name=thread.events.name,
        depth=depth_of(start, end),
        thread=number,
    )
