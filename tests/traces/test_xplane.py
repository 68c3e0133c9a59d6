"""XPlane files written with protobuf and read back as columns, and real ones against their recorded facts."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe.traces.read import read
from gpuprobe.traces.timeline import NO_CORRELATION, UNKNOWN, Direction, Events, Timeline
from gpuprobe.traces.xplane_pb2 import RawLine, XEvent, XPlane, XSpace, XStat

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
INT64 = st.integers(-(2**63), 2**63 - 1)
# The stats of a test plane by metadata id: what is read, one name of the values that refer to it, and what is not.
STATS = {1: "correlation_id", 2: "step_num", 3: "_p", 4: "_c", 5: "kernel_details", 6: "something else", 7: "tf_op"}
DETAILS = "regs:32 static_shared:16 dynamic_shared:48 grid:5,6,7 block:32,2,1 occ_pct:62.5"


def plane_of(name: str, events: dict[int, str], texts: dict[int, str] | None = None) -> XPlane:
    plane = XPlane(name=name)
    for number, event in events.items():
        plane.event_metadata[number].id = number
        plane.event_metadata[number].name = event
    for number, stat in (STATS | (texts or {})).items():
        plane.stat_metadata[number].id = number
        plane.stat_metadata[number].name = stat
    return plane


def write(folder: Path, *planes: XPlane, host: str = "h", name: str = "h.xplane.pb") -> Path:
    path = folder / name
    path.write_bytes(XSpace(planes=planes, hostnames=[host]).SerializeToString())
    return path


def rows(timeline: Timeline, events: Events) -> list[tuple[int, int, str, int]]:
    named = [timeline.names[place] for place in events.name.tolist()]
    columns = (events.start_ps.tolist(), events.duration_ps.tolist(), named, events.correlation.tolist())
    return list(zip(*columns, strict=True))


def check_order(events: Events) -> None:
    assert (np.diff(events.start_ps) >= 0).all()
    together = np.diff(events.start_ps) == 0
    assert (np.diff(events.duration_ps)[together] <= 0).all(), "an outer event comes before one within it"


@st.composite
def stats(draw: st.DrawFn) -> list[XStat]:
    number = draw(st.sampled_from([1, 2, 3, 4, 6]))
    value = draw(
        st.one_of(
            INT64.map(lambda value: XStat(int64_value=value)),
            st.integers(0, 2**64 - 1).map(lambda value: XStat(uint64_value=value)),
            st.floats(allow_nan=False).map(lambda value: XStat(double_value=value)),
            NAMES.map(lambda value: XStat(str_value=value)),
            st.binary(max_size=9).map(lambda value: XStat(bytes_value=value)),
            st.sampled_from([*STATS, 99]).map(lambda value: XStat(ref_value=value)),
            st.just(XStat()),
        )
    )
    value.metadata_id = number
    return [value]


@st.composite
def wire_events(draw: st.DrawFn) -> bytes:
    """One event as bytes: its fields as writers order them, or shuffled, repeated, and with unknown ones."""
    fields = [
        XEvent(metadata_id=draw(st.integers(0, 5))),
        XEvent(offset_ps=draw(st.integers(-(2**60), 2**60))),
        XEvent(duration_ps=draw(st.integers(0, 2**60))),
        *(XEvent(stats=draw(stats())) for _ in range(draw(st.integers(0, 4)))),
    ]
    parts = [field.SerializeToString() for field in fields]
    if draw(st.booleans()):
        parts += draw(st.lists(st.sampled_from([b"\x7a\x02ab", b"\x70\x05", b"\x7d1234", XEvent(num_occurrences=3)
                                                .SerializeToString()]), max_size=2))  # fmt: skip
        parts = draw(st.permutations(parts))
    return b"".join(parts)


def whole(event: XEvent, number: int) -> int:
    """Return what protobuf says of a whole-number stat: the last one counts."""
    for stat in reversed(event.stats):
        kind = stat.WhichOneof("value")
        if stat.metadata_id == number and kind in {"int64_value", "uint64_value"}:
            value: int = getattr(stat, kind)
            return value - 2**64 if value >= 2**63 else value
    return -1


@settings(max_examples=150, deadline=None)
@given(events=st.lists(wire_events(), max_size=12), start_ns=st.integers(0, 10**15))
def test_a_thread_reads_as_protobuf_says(
    tmp_path_factory: pytest.TempPathFactory, events: list[bytes], start_ns: int
) -> None:
    folder = tmp_path_factory.mktemp("thread")
    plane = plane_of("/host:CPU", {number: f"call {number}" for number in range(1, 5)})
    plane.lines.add().ParseFromString(
        RawLine(id=7, name=b"python", timestamp_ns=start_ns, events=events).SerializeToString()
    )
    timeline = read(write(folder, plane))
    parsed = [XEvent.FromString(event) for event in events]
    expected = Counter(
        (
            event.offset_ps,
            event.duration_ps,
            f"call {event.metadata_id}" if 1 <= event.metadata_id < 5 else f"unnamed {event.metadata_id}",
            whole(event, 1),
            whole(event, 2),
            whole(event, 3),
            whole(event, 4),
        )
        for event in parsed
    )
    assert sum(len(thread.events) for thread in timeline.threads) == len(events)
    assert timeline.origin_ns == (start_ns if events else 0)
    for thread in timeline.threads:
        check_order(thread.events)
        count = len(thread.events)
        none = [-1] * count
        carried = [column.tolist() or none for column in (thread.step, thread.producer, thread.consumer)]
        found = [(*row, *rest) for row, *rest in zip(rows(timeline, thread.events), *carried, strict=True)]
        assert Counter(found) == expected


@st.composite
def kernels(draw: st.DrawFn) -> XEvent:
    event = XEvent(
        metadata_id=draw(st.integers(1, 4)),
        offset_ps=draw(st.integers(0, 10**9)),
        duration_ps=draw(st.integers(0, 10**6)),
        stats=[XStat(metadata_id=1, uint64_value=draw(st.integers(0, 2**40)))],
    )
    if draw(st.booleans()):
        event.stats.add(metadata_id=5, ref_value=50)
    else:
        event.stats.add(metadata_id=5, str_value=DETAILS)
    event.stats.add(metadata_id=7, ref_value=51)
    return event


@settings(max_examples=60, deadline=None)
@given(events=st.lists(kernels(), max_size=40))
def test_a_device_reads_as_written(tmp_path_factory: pytest.TempPathFactory, events: list[XEvent]) -> None:
    names = {1: "volta_gemm", 2: "MemcpyH2D", 3: "Memset", 4: "MemoryAlloc"}
    plane = plane_of("/device:GPU:0", names, {50: DETAILS, 51: "net/conv:Conv2D#note=1#"})
    plane.lines.add(id=13, name="Stream #13(Compute)", timestamp_ns=10, events=events)
    plane.lines.add(id=14, name="TensorFlow Ops", timestamp_ns=10, events=events)
    timeline = read(write(tmp_path_factory.mktemp("device"), plane))
    (device,) = timeline.devices
    kinds = Counter(names[event.metadata_id] for event in events)
    assert len(device.kernels) == kinds["volta_gemm"]
    assert Counter(device.copies.direction.tolist()) == Counter(
        {Direction.H2D: kinds["MemcpyH2D"], Direction.SET: kinds["Memset"]}
    )
    kept = [event for event in events if event.metadata_id < 4]
    expected = [(e.offset_ps, e.duration_ps, names[e.metadata_id], e.stats[0].uint64_value) for e in kept]
    found = rows(timeline, device.kernels) + rows(timeline, device.copies)
    assert Counter(found) == Counter(expected)
    for kernel in range(len(device.kernels)):
        assert device.kernels.grid[kernel].tolist() == [5, 6, 7]
        assert device.kernels.block[kernel].tolist() == [32, 2, 1]
        assert device.kernels.registers[kernel] == 32
        assert device.kernels.shared_bytes[kernel] == 64
        assert device.kernels.occupancy_percent[kernel] == 62.5
        assert device.kernels.stream[kernel] == 13
        assert timeline.names[device.kernels.op[kernel]] == "net/conv:Conv2D"
    check_sorted = (device.kernels, device.copies)
    assert all((np.diff(part.start_ps) >= 0).all() for part in check_sorted)


def test_a_fill_gives_its_size(tmp_path: Path) -> None:
    plane = XPlane(name="/device:GPU:0")
    plane.event_metadata[1].name = "Memset"
    plane.stat_metadata[1].name = "Memset_details"
    fill = XEvent(
        metadata_id=1, duration_ps=5, stats=[XStat(metadata_id=1, str_value="kind:device num_bytes:48 async:1")]
    )
    plane.lines.add(id=13, name="Stream #13(Memset)", events=[fill])
    copies = read(write(tmp_path, plane)).devices[0].copies
    assert (copies.direction.tolist(), copies.bytes.tolist()) == ([Direction.SET], [48])


def test_many_events_read_as_few_do(tmp_path: Path) -> None:
    """More than are decoded at a time, with stats that need every way of reading one."""
    count = 70_000
    plane = plane_of("/host:CPU", {1: "call"})
    line = plane.lines.add(id=1, name="python")
    for number in range(count):
        event = line.events.add(metadata_id=1, offset_ps=number * 1000, duration_ps=500)
        if number % 3 == 0:
            event.stats.add(metadata_id=1, uint64_value=number)
        if number % 5 == 0:
            event.stats.add(metadata_id=6, double_value=0.5)
            event.stats.add(metadata_id=2, int64_value=number)
    (thread,) = read(write(tmp_path, plane)).threads
    place = np.arange(count)
    assert (thread.events.start_ps == place * 1000).all()
    assert (thread.events.correlation == np.where(place % 3 == 0, place, NO_CORRELATION)).all()
    assert (thread.step == np.where(place % 5 == 0, place, UNKNOWN)).all()


def test_the_clock_is_unix_where_the_file_says_when_profiling_began(tmp_path: Path) -> None:
    host = plane_of("/host:CPU", {1: "call"})
    host.lines.add(id=1, timestamp_ns=500, events=[XEvent(metadata_id=1, offset_ps=3)])
    environment = XPlane(name="Task Environment")
    environment.stat_metadata[1].name = "profile_start_time"
    environment.stats.add(metadata_id=1, uint64_value=1_700_000_000_000_000_000)
    relative = read(write(tmp_path, host, environment))
    assert (relative.origin_ns, relative.unix) == (1_700_000_000_000_000_500, True)
    host.lines[0].timestamp_ns = 1_700_000_000_000_000_500
    absolute = read(write(tmp_path, host))
    assert (absolute.origin_ns, absolute.unix) == (1_700_000_000_000_000_500, True)
    host.lines[0].timestamp_ns = 500
    own = read(write(tmp_path, host))
    assert (own.origin_ns, own.unix) == (500, False)
    assert own.threads[0].events.start_ps.tolist() == [3]


def test_hosts_share_one_clock(tmp_path: Path) -> None:
    run = tmp_path / "log" / "plugins" / "profile" / "2026_01_01"
    run.mkdir(parents=True)
    for number, start_ns in enumerate((2 * 10**18, 2 * 10**18 + 250)):
        plane = plane_of("/host:CPU", {1: "train"})
        event = XEvent(metadata_id=1, duration_ps=9, stats=[XStat(metadata_id=2, int64_value=number)])
        plane.lines.add(id=5, timestamp_ns=start_ns, events=[event])
        write(run, plane, host=f"h{number}", name=f"h{number}.xplane.pb")
    timeline = read(tmp_path / "log")
    assert [thread.host for thread in timeline.threads] == ["h0", "h1"]
    assert [thread.events.start_ps.tolist() for thread in timeline.threads] == [[0], [250_000]]
    assert timeline.steps.number.tolist() == [0], "each host marks the same steps; the first one's count"
    assert timeline.warnings == ()


def test_producer_and_consumer_are_told_apart_by_type(tmp_path: Path) -> None:
    plane = plane_of("/host:CPU", {1: "call"}, {8: "_pt", 9: "_ct"})
    pair = [XStat(metadata_id=8, int64_value=1), XStat(metadata_id=3, uint64_value=5)]
    taker = [XStat(metadata_id=9, int64_value=1), XStat(metadata_id=4, uint64_value=5)]
    other = [XStat(metadata_id=9, int64_value=2), XStat(metadata_id=4, uint64_value=5)]
    events = [XEvent(metadata_id=1, offset_ps=n, stats=found) for n, found in enumerate((pair, taker, other))]
    plane.lines.add(id=1, events=events)
    (thread,) = read(write(tmp_path, plane)).threads
    assert thread.producer[0] == thread.consumer[1] != thread.consumer[2]


def test_a_marker_within_one_of_the_same_step_is_no_step_of_its_own(tmp_path: Path) -> None:
    plane = plane_of("/host:CPU", {1: "train"})
    times = [(0, 100, 4), (10, 50, 4), (120, 80, 5), (210, 10, 5)]
    plane.lines.add(
        id=1,
        events=[
            XEvent(metadata_id=1, offset_ps=at, duration_ps=ps, stats=[XStat(metadata_id=2, int64_value=number)])
            for at, ps, number in times
        ],
    )
    steps = read(write(tmp_path, plane)).steps
    assert steps.start_ps.tolist() == [0, 120, 210]
    assert steps.number.tolist() == [4, 5, 5]


def test_lines_of_one_thread_are_joined(tmp_path: Path) -> None:
    host, cupti = plane_of("/host:CPU", {1: "outer"}), plane_of("/host:CUPTI", {1: "cuLaunchKernel"})
    host.lines.add(id=9, name="python", timestamp_ns=1, events=[XEvent(metadata_id=1, duration_ps=5000)])
    cupti.lines.add(id=9, timestamp_ns=2, events=[XEvent(metadata_id=1, duration_ps=100)])
    timeline = read(write(tmp_path, host, cupti))
    (thread,) = timeline.threads
    assert thread.name == "python"
    assert [row[:3] for row in rows(timeline, thread.events)] == [(0, 5000, "outer"), (1000, 100, "cuLaunchKernel")]


def union_ps(start: np.ndarray, end: np.ndarray) -> int:
    covered, until = 0, None
    for at, to in sorted(zip(start.tolist(), end.tolist(), strict=True)):
        since = at if until is None else max(at, until)
        covered += max(0, to - since)
        until = to if until is None else max(until, to)
    return covered


def test_recorded_traces_hold_what_is_known_of_them(real_traces: Path) -> None:
    with (real_traces / "INDEX.csv").open() as file:
        index = list(csv.DictReader(file))
    assert index
    for known in index:
        timeline = read(real_traces / known["file"])
        (device,) = [device for device in timeline.devices if len(device.kernels)]
        kernels, copies = device.kernels, device.copies
        start, end = (np.concatenate([getattr(p, name) for p in (kernels, copies)]) for name in ("start_ps", "end_ps"))
        span_ps = int(end.max() - start.min())
        kernel_ps = union_ps(kernels.start_ps, kernels.end_ps)
        copy_ps = union_ps(start, end) - kernel_ps
        launches = np.concatenate([thread.events.correlation for thread in timeline.threads])
        assert len(kernels) == int(known["kernels"]), known["file"]
        assert kernel_ps / span_ps == pytest.approx(float(known["kernel_fraction"]), abs=0.0002), known["file"]
        assert copy_ps / span_ps == pytest.approx(float(known["exposed_copy_fraction"]), abs=0.0002), known["file"]
        assert device.steps.duration_ps.sum() / 1e9 == pytest.approx(float(known["xprof_step_ms"]), abs=0.001)
        assert np.isin(kernels.correlation, launches).all(), f"{known['file']}: every kernel joins its launch"
        assert min(kernels.grid.min(), kernels.block.min(), kernels.registers.min()) > 0
        assert {"sm_count", "clock_mhz", "memory_mib", "compute_capability"} <= device.facts.keys()


def test_a_worker_with_eight_planes_of_which_five_are_empty(real_traces: Path) -> None:
    timeline = read(real_traces / "tensorflow" / "v100x8-multi-worker.xplane.pb")
    assert [device.name for device in timeline.devices] == [f"/device:GPU:{number}" for number in range(8)]
    assert [len(device.kernels) for device in timeline.devices] == [0, 0, 0, 0, 665, 0, 665, 0]
    assert [len(device.copies) for device in timeline.devices] == [0, 19, 0, 0, 94, 0, 113, 0]
