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
_TRAINING_KINDS = Kind.FUNCTION | Kind.CALL | Kind.EXECUTION
_INPUT_KINDS = Kind.INPUT | Kind.ITERATOR_ROOT | Kind.ITERATOR | Kind.FEED
# Events nested deeper than this are not shown.
DEEPEST_LEVEL = 255
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

    `depth` is the number of other events open when an event began. `name` and `op` are indices in `Timeline.names`,
    UNKNOWN for none. `launch_ps` is when the launch call of an operation began (NO_LAUNCH: unknown), `launched_by` the
    index of its thread. `count` is the number of events merged into one, and `busy_ps` their total length. `thread` is
    the index of the thread that the lane shows, UNKNOWN for a stream.
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
    hosts_with_breakdown = {device.host.name: device.host for device in workings.devices}
    other_hosts = [
        TracedHost(timeline, host_name) for host_name in host_names(timeline) if host_name not in hosts_with_breakdown
    ]
    lanes = []
    for host in (*hosts_with_breakdown.values(), *other_hosts):
        devices = [device for device in timeline.devices if device.host == host.name]
        lanes += [lane for device in devices for lane in _stream_lanes(device, host)]
        lanes += _thread_lanes(host, devices)
    return lanes


def depth_of(start: Int64s, end: Int64s) -> Int32s:
    """Return how many events were open when each began, (n,): earlier ones that had not ended.

    An event of length zero is open at its own instant.
    """
    ended = np.searchsorted(np.sort(np.maximum(end, start + 1)), start, side="right")
    depth: Int32s = np.clip(np.arange(len(start)) - ended, 0, DEEPEST_LEVEL).astype(np.int32)
    return depth


def _stream_lanes(device: Device, host: TracedHost) -> list[Lane]:
    kernels, copies = device.kernels, device.copies
    columns = {
        column: np.concatenate([getattr(kernels, column), getattr(copies, column)])
        for column in ("start_ps", "end_ps", "name", "correlation", "stream")
    }
    op = np.concatenate([kernels.op, np.full(len(copies), UNKNOWN, np.int32)])
    order = np.argsort(columns["start_ps"], kind="stable")
    call_of_work = called_by(host, columns["correlation"])
    has_call, calls = call_of_work != NO_CALL, host.calls
    launch_ps = np.full(len(call_of_work), NO_LAUNCH)
    launch_ps[has_call] = calls.start_ps[call_of_work[has_call]]
    launching_thread = np.where(has_call, calls.thread[call_of_work] if len(calls.thread) else UNKNOWN, UNKNOWN)
    lanes = []
    for stream in distinct(columns["stream"])[0].tolist():
        stream_order = order[columns["stream"][order] == stream]
        start, end = columns["start_ps"][stream_order], columns["end_ps"][stream_order]
        lanes.append(
            Lane(
                kind=STREAM,
                title=f"stream {stream}: {_stream_work(device, stream)}",
                host=host.name,
                device=device.name,
                start_ps=start,
                end_ps=end,
                name=columns["name"][stream_order],
                depth=depth_of(start, end),
                op=op[stream_order],
                launch_ps=launch_ps[stream_order],
                launched_by=launching_thread[stream_order],
            )
        )
    return lanes


def _stream_work(device: Device, stream: int) -> str:
    """Return the kinds of work of a stream, the most common first."""
    kernels = int((device.kernels.stream == stream).sum())
    copy_directions = device.copies.direction[device.copies.stream == stream]
    count_by_work = {"kernels": kernels} | {
        work_kind: int((copy_directions == direction).sum()) for direction, work_kind in _WORK_OF_DIRECTION.items()
    }
    return ", ".join(
        sorted(
            (work_kind for work_kind, count in count_by_work.items() if count),
            key=lambda work_kind: -count_by_work[work_kind],
        )
    )


def _thread_lanes(host: TracedHost, devices: list[Device]) -> list[Lane]:
    correlations = [device.kernels.correlation for device in devices] + [
        device.copies.correlation for device in devices
    ]
    call_of_work = called_by(host, np.concatenate(correlations)) if correlations else np.empty(0, np.int64)
    launching = set(distinct(host.calls.thread[call_of_work[call_of_work != NO_CALL]])[0].tolist())
    kinds = [_lane_kind(host, number, launching) for number in range(len(host.threads))]
    lanes = [_thread_lane(host, number, kind) for number, kind in enumerate(kinds)]
    kind_order = (LAUNCHING, INPUT, OTHER)
    return sorted(lanes, key=lambda lane: (kind_order.index(lane.kind), -int((lane.end_ps - lane.start_ps).sum())))


def _lane_kind(host: TracedHost, thread_number: int, launching: set[int]) -> str:
    event_kinds = host.kinds[thread_number]
    if host.threads[thread_number].name.startswith(THREADS):
        return INPUT
    if thread_number in launching or np.any(event_kinds & _TRAINING_KINDS):
        return LAUNCHING
    return INPUT if np.any(event_kinds & _INPUT_KINDS) else OTHER


def _thread_lane(host: TracedHost, thread_number: int, kind: str) -> Lane:
    thread = host.threads[thread_number]
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
        thread=thread_number,
    )
