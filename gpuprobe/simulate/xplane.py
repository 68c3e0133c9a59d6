"""Writes a session as an XPlane file like that of TensorFlow's profiler today, or of 2020.

Today times count from the `profile_start_time` (Unix ns) of the plane `Task Environment`. In 2020 they counted from a
moment not recorded, each device had a `Steps` line, and Keras profiled one step.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from gpuprobe.simulate import names
from gpuprobe.simulate.gpu import COLLECTIVE
from gpuprobe.simulate.noise import Noise, Source
from gpuprobe.simulate.progress import PYTHON
from gpuprobe.simulate.session import DeviceOp, HostEvent, Kind, Session
from gpuprobe.traces import xplane_pb2
from gpuprobe.units import MIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from gpuprobe.simulate.spec import Spec

HOST = "simulated"
# The time (ns) from the trace's start to its first step, and from its last event to its end.
LEAD_NS, TAIL_NS = 200_000, 200_000
# The time on the clock of 2020 when the trace starts.
OLD_CLOCK_NS = 338_063_094
# Ids of the lines that TensorFlow derived from the others (tsl/profiler/utils/xplane_schema.h).
OPS_LINE, STEPS_LINE = 0xDEADBEF2 - 2**32, 0xDEADBEEF - 2**32
# The context type that joins events of different threads: the executor's run (tsl/profiler/lib/context_types.h).
EXECUTOR_TODAY, EXECUTOR_2020 = 2, 1
_COPIES = {
    Kind.H2D: ("MemcpyH2D", "cuMemcpyHtoDAsync_v2", "kind_src:{} kind_dst:device"),
    Kind.D2H: ("MemcpyD2H", "cuMemcpyDtoHAsync_v2", "kind_src:device kind_dst:{}"),
    Kind.D2D: ("MemcpyD2D", "cuMemcpyDtoDAsync_v2", "kind_src:device kind_dst:device"),
}
_UNSIGNED = frozenset({"correlation_id", "_p", "_c", "profile_start_time", "profile_stop_time"})
# Events that only the profiler's Python tracer sees, which is off by default.
_UNSEEN = frozenset({"on_train_batch_end", "next_batch"})


class _Plane:
    """A plane while it is written: names of events and stats are numbered in order of occurrence."""

    def __init__(self, space: xplane_pb2.XSpace, name: str, number: int) -> None:
        self.plane = space.planes.add(name=name, id=number)
        self._events: dict[str, int] = {}
        self._stats: dict[str, int] = {}

    def line(self, number: int, name: str, timestamp_ns: int) -> xplane_pb2.XLine:
        return self.plane.lines.add(id=number, name=name, display_name=name, timestamp_ns=timestamp_ns)

    def event(
        self, line: xplane_pb2.XLine, name: str, span_ns: tuple[int, int], stats: Iterable[tuple[str, int | str]]
    ) -> None:
        if name not in self._events:
            self._events[name] = len(self._events) + 1
            metadata = self.plane.event_metadata[self._events[name]]
            metadata.id, metadata.name = self._events[name], name
        event = line.events.add(
            metadata_id=self._events[name],
            offset_ps=1000 * (span_ns[0] - line.timestamp_ns),
            duration_ps=1000 * (span_ns[1] - span_ns[0]),
        )
        for key, value in stats:
            self._set(event.stats.add(), key, value)

    def stat(self, key: str, value: int | str) -> None:
        self._set(self.plane.stats.add(), key, value)

    def _set(self, stat: xplane_pb2.XStat, key: str, value: int | str) -> None:
        stat.metadata_id = self._name(key)
        if isinstance(value, str):
            stat.ref_value = self._name(value)
        elif value >= 2**63 or key in _UNSIGNED:
            stat.uint64_value = value
        else:
            stat.int64_value = value

    def _name(self, key: str) -> int:
        if key not in self._stats:
            self._stats[key] = len(self._stats) + 1
            metadata = self.plane.stat_metadata[self._stats[key]]
            metadata.id, metadata.name = self._stats[key], key
        return self._stats[key]


def write(session: Session, folder: Path, start_ns: int, host: str = HOST) -> Path:
    """Write `plugins/profile/<time>/<host>.xplane.pb` in a folder; the first step begins at `start_ns` (Unix)."""
    place = folder / "plugins" / "profile" / "simulated"
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{host}.xplane.pb"
    path.write_bytes(encode(session, start_ns, host).SerializeToString(deterministic=True))
    return path


def encode(session: Session, start_ns: int, host: str = HOST) -> xplane_pb2.XSpace:
    """Return the trace as a message; the first traced step begins at `start_ns` (Unix)."""
    space = xplane_pb2.XSpace(hostnames=[host])
    old = session.spec.recording.style == "2020"
    session = session.recorded
    shift_ns = (OLD_CLOCK_NS if old else LEAD_NS) - session.calls[0].start_ns
    if session.spec.recording.host_events:
        _host_plane(space, session, shift_ns)
    if session.spec.card.on_gpu:
        for device in range(session.devices):
            _device_plane(space, session, device, shift_ns)
    if not old:
        environment = _Plane(space, "Task Environment", 0)
        end_ns = max([session.calls[-1].end_ns, *(op.end_ns for op in session.ops)])
        environment.stat("profile_start_time", start_ns - LEAD_NS)
        environment.stat("profile_stop_time", start_ns + end_ns - session.calls[0].start_ns + TAIL_NS)
    return space


def _host_plane(space: xplane_pb2.XSpace, session: Session, shift_ns: int) -> None:
    plane = _Plane(space, "/host:CPU", 0)
    old = session.spec.recording.style == "2020"
    by_thread: dict[str, list[HostEvent]] = {PYTHON: []}
    if session.spec.recording.step_markers and not old:
        by_thread[PYTHON] = [
            HostEvent(PYTHON, "train", call.start_ns, call.end_ns, (("step_num", call.number), ("_r", 1)))
            for call in session.calls
        ]
    for event in session.host:
        if event.name not in _UNSEEN:
            by_thread.setdefault(event.thread, []).append(event)
    if session.spec.card.on_gpu:
        for op in session.ops:
            by_thread.setdefault(op.thread, []).append(_launch(session.spec, op, old=old))
    for thread, events in by_thread.items():
        # Names of threads are cut as on Linux, and all but the main thread's end in an id.
        number = zlib.crc32(thread.encode())
        name = (
            thread if thread == PYTHON else f"{thread.rpartition('_')[0] if thread[-1].isdigit() else thread}/{number}"
        )
        line = plane.line(number, name, 0)
        for event in sorted(events, key=lambda event: (event.start_ns, -event.end_ns)):
            span = (max(0, event.start_ns + shift_ns), event.end_ns + shift_ns)
            for title, stats in _named(session.spec, event, old=old):
                plane.event(line, title, span, stats)


Named = tuple[str, tuple[tuple[str, int | str], ...]]


def _named(spec: Spec, event: HostEvent, *, old: bool) -> list[Named]:
    """Return the nested events, outer first, in which a profiler of that style shows an event of the host."""
    stats = tuple((key, value) for key, value in event.stats if key != "place")
    executor = EXECUTOR_2020 if old else EXECUTOR_TODAY
    stats = tuple((key, executor if key in {"_pt", "_ct"} else value) for key, value in stats)
    if event.name in {"op", "host_op"}:
        op = names.kernel(spec, int(event.stats[0][1])).op if event.name == "op" else names.HOST_OP
        if spec.host.eager:
            kind = op.rpartition(":")[2]
            outer = () if old else (("EagerExecute", (("eager_op", kind), ("is_func", 0))),)
            return [*outer, (f"EagerLocalExecute: {kind}", ())]
        return [(op, ())]
    if event.name == "train_function" and not old:
        # The name of the train function in Keras 3; in Keras 2 it is the other.
        return [("multi_step_on_iterator", stats)]
    return [(event.name, stats)]


def _launch(spec: Spec, op: DeviceOp, *, old: bool) -> HostEvent:
    """Return the event of a launch call; in 2020 it had the name of the kernel."""
    name = (_copy_name(op) if op.kind in _COPIES else _kernel(spec, op).name) if old else "cuLaunchKernel"
    if not old and op.kind in _COPIES:
        name = _COPIES[op.kind][1]
    stats = (("correlation_id", op.id), ("context_id", f"$${op.device + 1}")) if spec.recording.correlated else ()
    return HostEvent(op.thread, name, *op.call, stats)


def _device_plane(space: xplane_pb2.XSpace, session: Session, device: int, shift_ns: int) -> None:
    spec, old = session.spec, session.spec.recording.style == "2020"
    plane = _Plane(space, f"/device:GPU:{device}", device + 1)
    _facts(plane, spec)
    ops = [op for op in session.ops if op.device == device]
    kept = Noise(spec.seed, 0.0).generator(Source.DROPPED, device).random(len(ops)) >= spec.recording.dropped_share
    seen = [op for op, keep in zip(ops, kept.tolist(), strict=True) if keep]
    if len(seen) < len(ops):
        space.warnings.append(
            f"Detected GPU events dropped on {HOST}: {len(ops) - len(seen)} of {len(ops)} are missing."
        )
    for stream in sorted({op.stream for op in seen}):
        own = sorted((op for op in seen if op.stream == stream), key=lambda op: op.start_ns)
        kinds = ",".join(sorted({_copy_name(op) if op.kind in _COPIES else "Compute" for op in own}))
        line = plane.line(stream, f"Stream #{stream}({kinds})", 0)
        for op in own:
            name, stats = _described(spec, op, old=old)
            plane.event(line, name, (op.start_ns + shift_ns, op.end_ns + shift_ns), stats)
    if old and seen:
        _derived(plane, spec, seen, shift_ns)


def _facts(plane: _Plane, spec: Spec) -> None:
    card = spec.card
    major, minor = card.compute_capability.split(".")
    plane.stat("clock_rate", round(1000 * card.clock_mhz))
    plane.stat("core_count", card.sm_count)
    plane.stat("memory_bandwidth", round(1e9 * card.memory_gb_per_s))
    plane.stat("memory_size", round(MIB * card.memory_mib))
    plane.stat("compute_cap_major", int(major))
    plane.stat("compute_cap_minor", int(minor))
    if spec.recording.style == "current":
        plane.stat("device_vendor", "Nvidia")


def _described(spec: Spec, op: DeviceOp, *, old: bool) -> Named:
    stats: list[tuple[str, int | str]] = [("correlation_id", op.id)] if spec.recording.correlated else []
    stats.append(("context_id", f"$${op.device + 1}"))
    if op.kind in _COPIES:
        pinned = "pinned" if spec.copies.pinned or op.kind is Kind.D2H else "pageable"
        size = f"size:{op.bytes} dest:{op.device} async:{int(pinned == 'pinned')}"
        details = size if old else f"{_COPIES[op.kind][2].format(pinned)} {size}"
        return _copy_name(op), (*stats, ("memcpy_details", details))
    described = _kernel(spec, op)
    shape = f"grid:{described.grid},1,1 block:{names.THREADS_PER_BLOCK},1,1"
    if old:
        details = f"regs:{described.registers} shm:{described.shared_bytes} {shape}"
        return described.name, (*stats, ("annotation", described.op), ("kernel_details", details), ("group_id", 0))
    memory = f"static_shared:{described.shared_bytes} dynamic_shared:0"
    details = f"regs:{described.registers} {memory} {shape} occ_pct:{described.occupancy_percent}"
    return described.name, (*stats, ("tf_op", described.op), ("kernel_details", details))


def _kernel(spec: Spec, op: DeviceOp) -> names.Described:
    if op.stream == COLLECTIVE:
        return names.Described(names.COLLECTIVE, "CollectiveReduceV2:CollectiveReduceV2", 2, 96, 0, 25)
    return names.kernel(spec, op.place)


def _copy_name(op: DeviceOp) -> str:
    return _COPIES[op.kind][0]


def _derived(plane: _Plane, spec: Spec, ops: Sequence[DeviceOp], shift_ns: int) -> None:
    """Add the derived lines of 2020: one of operations, and one with each step from its first to its last event."""
    line = plane.line(OPS_LINE, "TensorFlow Ops", 0)
    for op in sorted(ops, key=lambda op: op.start_ns):
        if op.kind is Kind.KERNEL:
            plane.event(line, _kernel(spec, op).op, (op.start_ns + shift_ns, op.end_ns + shift_ns), (("group_id", 0),))
    span = (min(op.start_ns for op in ops) + shift_ns, max(op.end_ns for op in ops) + shift_ns)
    plane.event(plane.line(STEPS_LINE, "Steps", 0), "0", span, (("group_id", 0), ("step_name", "0")))
