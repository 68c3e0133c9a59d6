"""Whatever is named, a timeline or one clear line: damaged, huge, nested, packed and misplaced traces."""

from __future__ import annotations

import gzip
import json
import os
import random
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gpuprobe.errors import InputError
from gpuprobe.traces.read import find, read
from gpuprobe.traces.xplane_pb2 import RawLine, RawPlane, RawSpace, XEvent, XPlane, XSpace
from tests.helpers.damaging import bytes_damaged

if TYPE_CHECKING:
    from gpuprobe.traces.timeline import Events, Timeline

CALLS = ("MemcpyH2D", "volta_sgemm", "train", "IteratorGetNext")


def space() -> XSpace:
    """A small trace with everything in it: two GPUs, two threads, stats of all kinds."""
    planes = []
    for name, lines in (
        ("/host:CPU", ("python", "tf_data")),
        ("/device:GPU:0", ("Stream #1(Compute)", "Steps")),
        ("/device:GPU:0", ("Stream #1(Compute)",)),
    ):
        plane = XPlane(name=name)
        for number, stat in enumerate(("correlation_id", "kernel_details", "step_num", "regs:3 grid:1,2,3", "_p"), 1):
            plane.stat_metadata[number].name = stat
        for number, call in enumerate(CALLS, 1):
            plane.event_metadata[number].name = call
        plane.stats.add(metadata_id=1, int64_value=5)
        for thread, line_name in enumerate(lines, 1):
            line = plane.lines.add(id=thread, name=line_name, timestamp_ns=1000)
            for number in range(6):
                event = line.events.add(metadata_id=1 + number % 4, offset_ps=number * 100, duration_ps=70)
                event.stats.add(metadata_id=1, uint64_value=number)
                event.stats.add(metadata_id=2, ref_value=4)
                event.stats.add(metadata_id=2, str_value="grid:1,1,1 block:2,2,2")
                event.stats.add(metadata_id=3, double_value=0.5)
                event.stats.add(metadata_id=5, uint64_value=2**63 + number)
        planes.append(plane)
    return XSpace(planes=planes, hostnames=["host"], warnings=["dropped events"])


def chrome() -> bytes:
    args = {"device": 0, "stream": 7, "correlation": 3, "grid": [1, 2, 3], "block": [4, 5, 6], "bytes": 7}
    events = [
        {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "/device:GPU:0"}},
        {"ph": "M", "name": "thread_name", "pid": 1, "tid": 2, "args": {"name": "Stream #2"}},
        *(
            {"ph": "X", "cat": cat, "name": name, "pid": pid, "tid": 2, "ts": 1.5 * pid, "dur": 2, "args": args}
            for cat, name, pid in (
                ("kernel", "k", 0),
                ("gpu_memcpy", "Memcpy HtoD", 0),
                ("", "op", 1),
                ("cpu_op", "x", 9),
            )
        ),
    ]
    return json.dumps({"deviceProperties": [{"id": 0, "numSms": 8}], "traceEvents": events}).encode()


def check(timeline: Timeline) -> None:
    """Check that the columns hold together."""
    every: list[Events] = [thread.events for thread in timeline.threads]
    every += [events for device in timeline.devices for events in (device.kernels, device.copies)]
    for events in every:
        count = len(events)
        for column in vars(events).values():
            assert len(column) == count
        assert (np.diff(events.start_ps) >= 0).all()
        assert (events.duration_ps >= 0).all()
        assert not count or 0 <= events.name.min() <= events.name.max() < len(timeline.names)


def attempt(path: Path) -> Timeline | None:
    """Read a file that may be damaged: a sound timeline, or an error that names it, in one line."""
    try:
        timeline = read(path)
    except InputError as error:
        said = str(error)
    else:
        check(timeline)
        return timeline
    assert str(path) in said
    assert "\n" not in said
    return None


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_xplane_file(tmp_path: Path, seed: int) -> None:
    chance, data = random.Random(seed), space().SerializeToString()
    path = tmp_path / "h.xplane.pb"
    outcomes = []
    for _ in range(400):
        path.write_bytes(bytes_damaged(data, chance))
        outcomes.append(attempt(path) is not None)
    assert any(outcomes)
    assert not all(outcomes)


@pytest.mark.parametrize("name", ["t.trace.json", "t.trace.json.gz"])
def test_a_damaged_chrome_trace(tmp_path: Path, name: str) -> None:
    chance, data = random.Random(7), chrome()
    path = tmp_path / name
    outcomes = []
    for turn in range(600):
        if name.endswith(".json"):
            path.write_bytes(bytes_damaged(data, chance))
        elif turn % 2:
            path.write_bytes(gzip.compress(bytes_damaged(data, chance)))
        else:
            path.write_bytes(bytes_damaged(gzip.compress(data), chance))
        outcomes.append(attempt(path) is not None)
    assert any(outcomes)
    assert not all(outcomes)


@pytest.mark.parametrize("field", ['"ts": "NaN"', '"ts": "Infinity"', '"ts": 1e400', '"dur": "NaN"'])
def test_a_time_that_is_no_number_is_no_crash(tmp_path: Path, field: str) -> None:
    path = tmp_path / "t.trace.json"
    # The digits of the first event make the exact reading of all of them necessary.
    exact = '{"ph": "X", "name": "a", "pid": 1, "tid": 1, "ts": 1700000000000000.25, "dur": 1}'
    path.write_text(f'[{exact}, {{"ph": "X", "name": "b", "pid": 1, "tid": 1, "ts": 1, {field}}}]')
    attempt(path)


def test_a_stream_whose_number_is_beyond_any_is_read(tmp_path: Path) -> None:
    plane = XPlane(name="/device:GPU:0")
    plane.event_metadata[1].name = "kernel"
    plane.lines.add(id=1, name="Stream #99999999999999999999999").events.add(metadata_id=1, duration_ps=5)
    path = tmp_path / "h.xplane.pb"
    path.write_bytes(XSpace(planes=[plane]).SerializeToString())
    assert len(read(path).devices[0].kernels) == 1


def test_a_file_that_is_cut_short_names_the_byte(tmp_path: Path) -> None:
    path, data = tmp_path / "h.xplane.pb", space().SerializeToString()
    whole = 0
    for length in range(0, len(data), 5):
        path.write_bytes(data[:length])
        whole += attempt(path) is not None
    # Cut between two planes or notes it is a whole file with less in it.
    assert whole <= len(space().planes) + 2
    path.write_bytes(data[:-20])
    with pytest.raises(InputError, match=r"h\.xplane\.pb: byte [\d,]+: .*cut short"):
        read(path)
    packed = gzip.compress(chrome())
    for length in range(0, len(packed), 7):
        (tmp_path / "t.trace.json.gz").write_bytes(packed[:length])
        assert attempt(tmp_path / "t.trace.json.gz") is None


def test_a_damaged_event_is_named(tmp_path: Path) -> None:
    good = XEvent(metadata_id=1, offset_ps=2).SerializeToString()
    plane = RawPlane(name=b"/host:CPU", lines=[RawLine(name=b"python", events=[good, b"\x22\x7f\x08"])])
    path = tmp_path / "h.xplane.pb"
    path.write_bytes(RawSpace(planes=[plane]).SerializeToString())
    with pytest.raises(InputError, match=r"h\.xplane\.pb: plane /host:CPU, line python: event 1 is damaged"):
        read(path)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("h.xplane.pb", b"", "empty"),
        ("t.trace.json", b"", "empty"),
        ("t.trace.json.gz", gzip.compress(b"", mtime=0), "empty"),
        ("h.xplane.pb", b"#!/bin/sh\necho hello\n", "not an XPlane file"),
        ("h.xplane.pb", b"\x0a\xff\xff\xff\xff\x07\x12\xfe\xff\xff\xff\x07", "byte 0: 2,147,483,647 bytes should"),
        ("notes.txt", b"nothing of the kind", "not an XPlane file"),
        ("t.trace.json", b'{"events": []}', "traceEvents"),
        ("t.trace.json", b'{"traceEvents": {}}', "traceEvents"),
        ("t.trace.json", b'{"traceEvents": [' + b'{"a":' * 100_000, "nested too deeply"),
        ("t.trace.json", b"[" * 100_000, "nested too deeply"),
        ("t.trace.json", b'[{"ph":"X","name":"a","ts":1e300,"dur":1}]', "beyond any clock"),
        ("t.trace.json", b'[{"ph":"X","name":"a","ts":1,"dur":1e17}]', "days"),
        ("t.trace.json", b'[{"ph":"X","name":"a","ts":1,"dur":-9223372036854775808}]', "days"),
        ("t.trace.json", b'[{"ph":"X","name":"a","ts":1},{"ph":"X","name":"a","ts":-100000000000000}]', "days apart"),
        ("t.trace.json.gz", b"\x1f\x8b\x08 not packed at all", "unpacked"),
    ],
)  # fmt: skip
def test_what_is_no_trace_says_so(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=says) as error:
        read(path)
    assert str(path) in str(error.value)


def test_a_packed_bomb_is_not_unpacked_to_its_end(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, wbits=31)
    piece = b" " * 2**20
    path = tmp_path / "t.trace.json.gz"
    path.write_bytes(b"[" + b"".join(packer.compress(piece) for _ in range(400)) + packer.flush())
    path.write_bytes(path.read_bytes()[1:])
    with pytest.raises(InputError, match="too large for a trace"):
        read(path)


def test_a_file_larger_than_protobuf_writes(tmp_path: Path) -> None:
    path = tmp_path / "h.xplane.pb"
    with path.open("wb") as file:
        file.truncate(2**31 + 1)
    with pytest.raises(InputError, match="larger than 2 GiB"):
        read(path)


def test_more_lines_than_any_trace_has(tmp_path: Path) -> None:
    path = tmp_path / "h.xplane.pb"
    path.write_bytes(XSpace(planes=[XPlane(name="/host:CPU", lines=[{}] * 30_000)]).SerializeToString())
    with pytest.raises(InputError, match="30,000 lines"):
        read(path)


def test_a_time_that_no_trace_can_have_names_plane_and_line(tmp_path: Path) -> None:
    path = tmp_path / "h.xplane.pb"
    for column in ("offset_ps", "duration_ps"):
        wrong = space()
        setattr(wrong.planes[1].lines[0].events[2], column, 2**62)
        path.write_bytes(wrong.SerializeToString())
        with pytest.raises(InputError, match=r"plane /device:GPU:0, line Stream #1\(Compute\): a time of"):
            read(path)


def test_events_that_end_before_they_begin_are_left_out_and_said(tmp_path: Path) -> None:
    path, wrong = tmp_path / "h.xplane.pb", space()
    wrong.planes[0].lines[0].events[2].duration_ps = -5
    wrong.planes[1].lines[0].events[1].duration_ps = -5
    path.write_bytes(wrong.SerializeToString())
    timeline = read(path)
    check(timeline)
    assert len(timeline.threads[0].events) == 5
    assert sum("1 event left out" in text for text in timeline.warnings) == 2


def test_a_name_of_a_hundred_megabytes_is_cut(tmp_path: Path) -> None:
    path, wrong = tmp_path / "h.xplane.pb", space()
    wrong.planes[0].event_metadata[1].name = "n" * 10**8
    path.write_bytes(wrong.SerializeToString())
    assert max(map(len, read(path).names)) == 4096


def test_names_that_are_no_utf8_are_read(tmp_path: Path) -> None:
    path, data = tmp_path / "h.xplane.pb", space().SerializeToString()
    path.write_bytes(data.replace(b"IteratorGetNext", b"Iterator\xff\xfe\xfdNext"))
    assert "Iterator\ufffd\ufffd\ufffdNext" in read(path).names
    (tmp_path / "t.trace.json").write_bytes(b'[{"ph":"X","name":"a\xff","pid":1,"tid":1,"ts":1,"dur":1}]')
    assert read(tmp_path / "t.trace.json").names == ("a\ufffd",)


def session(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(space().SerializeToString())
    return folder


@pytest.mark.parametrize("place", ["", "plugins/profile/r1", "train/plugins/profile/r1", "trace/plugins/profile/r1"])
def test_a_session_is_found_wherever_it_is_kept(tmp_path: Path, place: str) -> None:
    folder = session(tmp_path / "log" / place, "a.xplane.pb", "b.xplane.pb", "a.trace.json.gz")
    found = find(tmp_path / "log")
    files, warnings = found.files, found.warnings
    assert files == [folder / "a.xplane.pb", folder / "b.xplane.pb"]
    assert warnings == []
    assert find(folder).files == files
    if place.startswith("plugins"):
        assert find(folder.parent).files == find(folder.parent.parent).files == files
    assert find(files[0]).files == files[:1]


def test_what_is_neither_file_nor_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "h.xplane.pb")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        read(tmp_path / "h.xplane.pb")


def test_a_json_file_that_may_be_a_trace_is_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "rank0.json.gz").write_bytes(gzip.compress(chrome()))
    with pytest.raises(InputError, match=r"if \S+rank0\.json\.gz is a trace, name it"):
        read(tmp_path)
    assert read(tmp_path / "rank0.json.gz").devices


def test_a_folder_that_holds_itself_is_looked_through_once(tmp_path: Path) -> None:
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(InputError, match="no profile data was found"):
        read(tmp_path)


def test_of_several_sessions_the_newest_is_read(tmp_path: Path) -> None:
    session(tmp_path / "plugins/profile/2026_11_02_10_00_00", "a.xplane.pb")
    newest = session(tmp_path / "plugins/profile/2026_11_03_09_00_00", "a.xplane.pb")
    found = find(tmp_path)
    files, warnings = found.files, found.warnings
    assert files == [newest / "a.xplane.pb"]
    assert warnings == [f"{tmp_path} holds 2 profiles; the newest is read: {newest}"]
    assert read(tmp_path).warnings[0] == warnings[0]


def test_the_wrong_depth_says_what_to_name(tmp_path: Path) -> None:
    folder = session(tmp_path / "a" / "b" / "plugins" / "profile" / "r1", "h.xplane.pb")
    with pytest.raises(InputError, match="there is one below") as error:
        find(tmp_path)
    assert str(folder) in str(error.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="plugins/profile"):
        find(tmp_path / "empty")
    with pytest.raises(InputError, match="no such file"):
        find(tmp_path / "missing")
