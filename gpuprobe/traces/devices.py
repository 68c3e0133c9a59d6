"""Turns a GPU's plane into a `Device`: kernels, copies, its own step markers, and facts of the card."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.traces.details import Launch, copy_direction, parse_bytes, parse_launch
from gpuprobe.traces.names import Names, distinct, each_once, places_of
from gpuprobe.traces.planes import NO_LINE
from gpuprobe.traces.timeline import NO_CORRELATION, UNKNOWN, Copies, Device, Int32s, Int64s, Kernels, Steps
from gpuprobe.units import MIB

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.traces.frame import Frame
    from gpuprobe.traces.planes import Line, Plane

PLANE = "/device:GPU:"
# The lines with the GPU's work. The other lines of its plane (`Steps`, `TensorFlow Ops`, `XLA Modules`, ...) repeat it.
STREAM = re.compile(r"Stream #(\d{1,18})")
STEPS = "Steps"
# The known lines that repeat it, and words that names of new ones probably begin with.
DERIVED = re.compile(r"Steps$|TensorFlow |Framework |XLA |Async |Source|Kernel Launch|CUPTI|Launch Stats|SparseCore|$")
# The stats that are read of each line, and the columns that they go to.
STREAM_STATS = {
    name: name
    for name in (
        "correlation_id",
        "kernel_details",
        "memcpy_details",
        "Memset_details",
        "theoretical_occupancy_pct",
        "tf_op",
        "level 0",
        "annotation",
    )
}
STEP_STATS = {"group_id": "group_id"}
# CUPTI's events on a stream that are neither a kernel nor a copy.
NOT_WORK = re.compile(r"(Memory(Alloc|Free|Residency|Pool)\w*|UnifiedMemory|Overhead)$")
KERNEL, NEITHER = -1, -2


@dataclass(frozen=True)
class _Work:
    """The events of all streams of a plane, (n,) each, sorted by start; texts are indices in the plane's `Texts`."""

    start_ps: Int64s
    duration_ps: Int64s
    name: Int32s
    stream: Int64s
    correlation: Int64s
    launch: Int32s
    copy: Int32s
    op: Int32s
    occupancy: NDArray[np.float64]

    def where(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> _Work:
        return _Work(**{name: column[chosen] for name, column in vars(self).items()})


def stats_read(line: str) -> dict[str, str] | None:
    """Return the stats to read from a line of that name, None where the line is not read."""
    if STREAM.match(line):
        return STREAM_STATS
    return STEP_STATS if line == STEPS else None


def is_unknown(plane: Plane) -> bool:
    """Return whether a GPU has work, but on no line whose name is that of a stream."""
    streams = any(STREAM.match(line.name) for line in plane.lines)
    return not streams and any(not DERIVED.match(line) for line in plane.unread)


def device_of(plane: Plane, frame: Frame) -> Device:
    """Return the device of a GPU's plane."""
    work = _work(plane, frame)
    marker = next((line for line in plane.lines if line.name == STEPS), None)
    directions = kinds_of(work.name, frame.names)
    return Device(
        name=plane.name,
        host=frame.host,
        kernels=_kernels(work.where(directions == KERNEL), plane.texts.all(), frame.names),
        copies=_copies(work.where(directions > KERNEL), directions[directions > KERNEL], plane.texts.all()),
        steps=Steps() if marker is None else _steps(plane, marker, frame),
        facts=_facts(plane),
    )


def _work(plane: Plane, frame: Frame) -> _Work:
    parts = [
        _of_stream(plane, int(stream[1]), line, frame) for line in plane.lines if (stream := STREAM.match(line.name))
    ]
    if not parts:
        return _of_stream(plane, 0, NO_LINE, frame)
    joined = _Work(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})
    forwards = joined.duration_ps >= 0
    frame.backwards(plane, int(len(forwards) - forwards.sum()))
    order = np.argsort(joined.start_ps, kind="stable")
    return joined.where(order[forwards[order]])


def _of_stream(plane: Plane, stream: int, line: Line, frame: Frame) -> _Work:
    events = line.events
    copy = events.texts("memcpy_details")
    op = events.texts("tf_op")
    for other in ("level 0", "annotation"):
        op = np.where(op == UNKNOWN, events.texts(other), op)
    return _Work(
        start_ps=frame.starts(plane, line),
        duration_ps=events.duration_ps,
        name=places_of(events.metadata, plane.names, frame.names),
        stream=np.full(len(events), stream, np.int64),
        correlation=events.numbers("correlation_id", NO_CORRELATION),
        launch=events.texts("kernel_details"),
        copy=np.where(copy == UNKNOWN, events.texts("Memset_details"), copy),
        op=op,
        occupancy=events.doubles("theoretical_occupancy_pct"),
    )


def kinds_of(name: Int64s | Int32s, names: Names) -> NDArray[np.int8]:
    """Sort a device's events (n,) by name: KERNEL, NEITHER, or a copy's `Direction`, (n,) int8."""
    unique, row = distinct(name.astype(np.int64))
    all_names = names.all()
    kinds: NDArray[np.int8] = np.array([_kind(all_names[index]) for index in unique.tolist()], np.int8)[row]
    return kinds


def _kind(name: str) -> int:
    direction = copy_direction(name)
    if direction is not None:
        return int(direction)
    return NEITHER if NOT_WORK.match(name) else KERNEL


def _kernels(work: _Work, texts: tuple[str, ...], names: Names) -> Kernels:
    launches, row = each_once(work.launch, texts, parse_launch, Launch())
    occupancy = np.array([launch.occupancy_percent for launch in launches], np.float64)[row]
    beside = np.where((work.occupancy >= 0) & (work.occupancy <= 100), work.occupancy, np.nan)
    return Kernels(
        start_ps=work.start_ps,
        duration_ps=work.duration_ps,
        name=work.name,
        correlation=work.correlation,
        stream=work.stream,
        op=_ops(work.op, texts, names),
        grid=np.array([launch.grid for launch in launches], np.int32)[row],
        block=np.array([launch.block for launch in launches], np.int32)[row],
        registers=np.array([launch.registers for launch in launches], np.int32)[row],
        shared_bytes=np.array([launch.shared_bytes for launch in launches], np.int64)[row],
        occupancy_percent=np.where(np.isnan(occupancy), beside, occupancy),
        # TensorFlow and JAX name neither the communicator of a collective nor its size.
        group=np.full(len(work.name), UNKNOWN, np.int32),
        bytes=np.full(len(work.name), UNKNOWN, np.int64),
    )


def _copies(work: _Work, direction: NDArray[np.int8], texts: tuple[str, ...]) -> Copies:
    sizes, row = each_once(work.copy, texts, parse_bytes, UNKNOWN)
    return Copies(
        start_ps=work.start_ps,
        duration_ps=work.duration_ps,
        name=work.name,
        correlation=work.correlation,
        stream=work.stream,
        direction=direction,
        bytes=np.array(sizes, np.int64)[row],
    )


def _ops(op: Int32s, texts: tuple[str, ...], names: Names) -> Int32s:
    """Return the indices of the ops' names, (n,) int32: TensorFlow writes `name:type`, then `#` and annotations."""

    indices, row = each_once(op, texts, lambda text: place_of_op(text, names), UNKNOWN)
    return np.array(indices, np.int32)[row]


def place_of_op(text: str, names: Names) -> int:
    """Return the index of an op's name, UNKNOWN where the text holds only annotations."""
    name = text.partition("#")[0]
    return names.index(name) if name else UNKNOWN


def _steps(plane: Plane, line: Line, frame: Frame) -> Steps:
    start_ps = frame.starts(plane, line)
    order = np.argsort(start_ps, kind="stable")
    order = order[line.events.duration_ps[order] >= 0]
    numbers = [_step_number(plane.names.get(number, "")) for number in line.events.metadata[order].tolist()]
    group = line.events.numbers("group_id")[order]
    number = np.array(numbers, np.int64).reshape(-1)
    return Steps(start_ps[order], line.events.duration_ps[order], np.where(number == UNKNOWN, group, number))


def _step_number(name: str) -> int:
    return int(name) if name.isascii() and name.isdigit() and len(name) < 19 else UNKNOWN


def _facts(plane: Plane) -> dict[str, float | str]:
    """Return the facts of the card in the plane's stats, with the names and units of `Device.facts`."""
    facts: dict[str, float | str] = {}
    for stat, fact, unit in _FACTS:
        value = plane.stats.get(stat)
        # Values below 1 or beyond 10^9 are damage.
        if isinstance(value, (int, float)) and 1 <= value / unit < 1e9:
            facts[fact] = value / unit
    major, minor = plane.stats.get("compute_cap_major"), plane.stats.get("compute_cap_minor", 0)
    # AMD's version numbers look like compute capabilities and are none.
    of_amd = plane.stats.get("device_vendor") == "AMD"
    if isinstance(major, int) and isinstance(minor, int) and major > 0 and not of_amd:
        facts["compute_capability"] = major + minor / 10
    model = next((value for stat in _MODELS if isinstance(value := plane.stats.get(stat), str)), "")
    return facts | ({"model": model} if model else {})


# XPlane's stat, our name for it, and how many of its units (kHz, bytes, bytes per second) make one of ours.
_FACTS = (
    ("core_count", "sm_count", 1),
    ("clock_rate", "clock_mhz", 1e3),
    ("memory_size", "memory_mib", MIB),
    ("memory_bandwidth", "memory_bandwidth_gb_per_s", 1e9),
)
_MODELS = ("gpu_device_name", "device_name", "device_type_string", "gpu_model")
