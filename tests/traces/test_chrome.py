"""Chrome-trace JSON written as TensorFlow and PyTorch write it, and read back as columns."""

from __future__ import annotations

import gzip
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe.foreign import visible
from gpuprobe.traces.read import read
from gpuprobe.traces.timeline import Direction, Timeline

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
KERNEL_ARGS = {
    "device": 0,
    "stream": 7,
    "correlation": 11,
    "registers per thread": 38,
    "shared memory": 1024,
    "grid": [50, 2, 1],
    "block": [256, 1, 1],
    "est. achieved occupancy %": 8,
}


def write(path: Path, events: list[dict[str, Any]], **top: Any) -> Path:
    text = json.dumps({"traceEvents": events, **top}).encode()
    path.write_bytes(gzip.compress(text) if path.name.endswith(".gz") else text)
    return path


def whole(name: str, ts: float, dur: float, **more: Any) -> dict[str, Any]:
    return {"ph": "X", "name": name, "pid": 100, "tid": 100, "ts": ts, "dur": dur, **more}


def kineto() -> list[dict[str, Any]]:
    """One step of PyTorch: an op, its launch, the kernel, a copy, a memset, and notes that repeat them."""
    return [
        {"ph": "M", "name": "process_labels", "pid": 0, "tid": 0, "args": {"labels": "GPU 0"}},
        {"ph": "M", "name": "thread_name", "pid": 100, "tid": "100", "args": {"name": "thread 100 (python)"}},
        whole("ProfilerStep#6", 1000, 500, cat="user_annotation"),
        whole("aten::mm", 1010, 40, cat="cpu_op"),
        whole("cudaLaunchKernel", 1020, 8.5, cat="cuda_runtime", args={"correlation": 11}),
        whole("volta_sgemm", 1030.25, 12, cat="kernel", pid=0, tid=7, args=KERNEL_ARGS),
        whole("memcpy32_post", 1043, 1, cat="kernel", pid=0, tid=7, args=KERNEL_ARGS | {"correlation": 12}),
        whole("Memcpy HtoD (Pageable -> Device)", 1005, 3, cat="gpu_memcpy", pid=0, tid=7,
              args={"device": 0, "stream": 7, "correlation": 9, "bytes": 4096}),
        whole("Memset (Device)", 1009, 1, cat="gpu_memset", pid=0, tid=7,
              args={"device": 0, "stream": 20, "bytes": 16}),
        whole("ProfilerStep#6", 1005, 40, cat="gpu_user_annotation", pid=0, tid=7),
        whole("Context Sync", 1005, 40, cat="cuda_sync", pid=0, tid=7, args={"stream": 7}),
        whole("PyTorch Profiler (0)", 900, 9000, cat="Trace", pid="Spans", tid="PyTorch Profiler"),
    ]  # fmt: skip


def host_names(timeline: Timeline) -> list[str]:
    return [timeline.names[place] for thread in timeline.threads for place in thread.events.name.tolist()]


def test_a_trace_of_pytorch(tmp_path: Path) -> None:
    card = {"id": 0, "name": "Tesla V100", "numSms": 80, "totalGlobalMem": 2**34, "computeMajor": 7, "computeMinor": 0}
    path = write(tmp_path / "w.pt.trace.json.gz", kineto(), deviceProperties=[card], baseTimeNanoseconds=10**18)
    timeline = read(path)
    assert (timeline.format, timeline.unix, timeline.origin_ns) == ("chrome", True, 10**18 + 900_000)
    (device,) = timeline.devices
    kernels, copies = device.kernels, device.copies
    assert device.facts == {"sm_count": 80, "memory_mib": 16384, "compute_capability": 7.0, "model": "Tesla V100"}
    assert [timeline.names[place] for place in kernels.name.tolist()] == ["volta_sgemm", "memcpy32_post"]
    assert kernels.start_ps.tolist() == [130_250_000, 143_000_000]
    assert kernels.correlation.tolist() == [11, 12]
    assert kernels.grid[0].tolist() == [50, 2, 1]
    assert kernels.block[0].tolist() == [256, 1, 1]
    assert (kernels.registers[0], kernels.shared_bytes[0], kernels.occupancy_percent[0]) == (38, 1024, 8)
    assert copies.direction.tolist() == [Direction.H2D, Direction.SET]
    assert copies.bytes.tolist() == [4096, 16]
    assert copies.stream.tolist() == [7, 20]
    (thread,) = timeline.threads
    assert thread.name == "thread 100 (python)"
    assert host_names(timeline) == ["ProfilerStep#6", "aten::mm", "cudaLaunchKernel"]
    assert thread.events.correlation.tolist() == [-1, -1, 11]
    assert timeline.steps.number.tolist() == [6]
    assert timeline.steps.duration_ps.tolist() == [500_000_000]


@pytest.mark.parametrize(
    ("told", "group", "size"),
    [
        ({"Process Group Name": "1", "Process Group Ranks": "[0, 2]", "In msg nelems": 100, "Out msg nelems": 50,
          "dtype": "BFloat16"}, "group 1 of ranks 0, 2", 200),
        ({"Process Group Name": "1", "Process Group Ranks": [0, 2], "In msg nelems": 3, "dtype": "Float8_e4m3fn"},
         "group 1 of ranks 0, 2", 3),
        ({"Process Group Name": 7, "In msg nelems": -4, "dtype": "Float"}, "group 7", -1),
        ({"Process Group Name": ["x"], "In msg nelems": "many", "dtype": {"a": 1}}, None, -1),
        ({}, None, -1),
    ],
)  # fmt: skip
def test_a_collective_of_pytorch_names_its_communicator(
    tmp_path: Path, told: dict[str, Any], group: str | None, size: int
) -> None:
    event = whole("ncclDevKernel_AllReduce", 5, 2, cat="kernel", pid=0, tid=7, args={**KERNEL_ARGS, **told})
    for ranks, expected in ((8, 8), ("8", 8), (-1, 0), (None, 0)):
        timeline = read(write(tmp_path / "t.json", [event], distributedInfo={"backend": "nccl", "world_size": ranks}))
        assert timeline.ranks == expected
    (place,) = timeline.devices[0].kernels.group.tolist()
    assert (timeline.names[place] if place >= 0 else None) == group
    assert timeline.devices[0].kernels.bytes.tolist() == [size]


@pytest.mark.parametrize(
    ("name", "category", "direction"),
    [
        ("CopyHostToDevice", "kernel", Direction.H2D),
        ("CopyDeviceToHost", "gpu_memcpy", Direction.D2H),
        ("FillBuffer", "kernel", Direction.SET),
        ("__amd_rocclr_copyBuffer", "gpu_memcpy", Direction.OTHER),
    ],
)
def test_a_copy_by_another_name(tmp_path: Path, name: str, category: str, direction: Direction) -> None:
    event = whole(name, 5, 2, cat=category, pid=0, tid=7, args={"device": 0, "stream": 7, "bytes": 64})
    (device,) = read(write(tmp_path / "t.json", [event])).devices
    assert (device.copies.direction.tolist(), len(device.kernels)) == ([direction], 0)


def test_a_version_of_amd_is_no_compute_capability(tmp_path: Path) -> None:
    card = {"id": 0, "name": "AMD Instinct MI300X", "numSms": 304, "computeMajor": 9, "computeMinor": 4}
    facts = read(write(tmp_path / "w.pt.trace.json", kineto(), deviceProperties=[card])).devices[0].facts
    assert facts == {"sm_count": 304, "model": "AMD Instinct MI300X"}


def test_work_of_another_accelerator_is_named(tmp_path: Path) -> None:
    event = whole("matmul", 5, 2, cat="mtia_ccp_events", pid=0, tid=7)
    assert read(write(tmp_path / "t.json", [event])).others == ("mtia_ccp_events",)


def test_a_card_as_the_first_versions_of_kineto_tell_it(tmp_path: Path) -> None:
    card = {"id": 0, "name": "Tesla V100", "multiProcessorCount": 80, "totalGlobalMem": 2**34, "major": 7, "minor": 0}
    timeline = read(write(tmp_path / "w.pt.trace.json", kineto(), computeProperties=[card]))
    told = {"sm_count": 80, "memory_mib": 16384, "compute_capability": 7.0, "model": "Tesla V100"}
    assert timeline.devices[0].facts == told


def tensorflow() -> list[dict[str, Any]]:
    def name(kind: str, pid: int, tid: int, text: str) -> dict[str, Any]:
        return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {"name": text}}

    launch = "regs:16 shm:8 grid:3,1,1 block:1024,1,1"
    kernel = {"correlation_id": "5", "kernel_details": launch, "annotation": "net/Cast:Cast#edge=x"}
    return [
        name("process_name", 1, 0, "/device:GPU:0 (pid 1)"),
        name("process_name", 701, 0, "/host:CPU"),
        name("thread_name", 1, 13, "Stream #13(Compute)"),
        name("thread_name", 1, 14, "Stream #14(MemcpyD2H)"),
        name("thread_name", 1, 15, "TensorFlow Ops"),
        name("thread_name", 1, 16, "Steps"),
        name("thread_name", 701, 9, "python3"),
        whole("train", 10, 90.5, pid=701, tid=9, args={"step_num": "3", "_r": "1"}),
        whole("EigenMetaKernel", 50.000001, 4.096, pid=1, tid=13, args=kernel),
        whole(
            "MemcpyD2H", 60, 2, pid=1, tid=14, args={"correlation_id": "6", "memcpy_details": "size:4 dest:0 async:1"}
        ),
        whole("Cast:Cast", 50.000001, 4.096, pid=1, tid=15),
        whole("EagerKernelExecute 2", 50, 12, pid=1, tid=16),
    ]


def test_a_trace_of_tensorflow(tmp_path: Path) -> None:
    timeline = read(write(tmp_path / "h.trace.json", tensorflow()))
    (device,) = timeline.devices
    assert (timeline.unix, device.name) == (False, "/device:GPU:0")
    assert device.kernels.start_ps.tolist() == [40_000_001]
    assert device.kernels.duration_ps.tolist() == [4_096_000]
    assert device.kernels.grid.tolist() == [[3, 1, 1]]
    assert device.kernels.stream.tolist() == [13]
    assert timeline.names[device.kernels.op[0]] == "net/Cast:Cast"
    assert (device.copies.direction.tolist(), device.copies.bytes.tolist()) == ([Direction.D2H], [4])
    assert device.steps.number.tolist() == [2]
    assert timeline.steps.number.tolist() == [3]
    assert host_names(timeline) == ["train"]


@settings(max_examples=200, deadline=None)
@given(
    times=st.lists(
        st.tuples(
            st.one_of(
                st.integers(0, 10**12).map(lambda ps: Fraction(ps, 10**6)),
                st.integers(0, 4 * 10**15).map(lambda ns: Fraction(ns, 10**3)),
            ),
            st.integers(0, 10**12).map(lambda ps: Fraction(ps, 10**6)),
        ),
        min_size=1,
        max_size=8,
    ),
    unix=st.booleans(),
)
def test_no_digit_of_a_time_is_lost(
    tmp_path_factory: pytest.TempPathFactory, times: list[tuple[Fraction, Fraction]], unix: bool
) -> None:
    """Of floats up to 48 days the nanosecond, up to 35 minutes the picosecond; with a Unix clock just as well."""
    base = 1_700_000_000_000_000 if unix else 0
    days = max(start for start, _ in times) - min(start for start, _ in times)
    if days > 2 * 10**12:
        times = times[:1]

    def text(value: Fraction) -> str:
        return f"{int(value)}.{int(value % 1 * 10**6):06d}"

    events = ",".join(
        f'{{"ph":"X","name":"{place}","pid":1,"tid":1,"ts":{text(start + base)},"dur":{text(length)}}}'
        for place, (start, length) in enumerate(times)
    )
    path = tmp_path_factory.mktemp("times") / "t.trace.json"
    path.write_text(f"[{events}]")
    timeline = read(path)
    (thread,) = timeline.threads
    found = {
        timeline.names[name]: (start + timeline.origin_ns * 1000, length)
        for name, start, length in zip(
            thread.events.name.tolist(),
            thread.events.start_ps.tolist(),
            thread.events.duration_ps.tolist(),
            strict=True,
        )
    }
    exact = {str(place): ((start + base) * 10**6, length * 10**6) for place, (start, length) in enumerate(times)}
    assert found == exact


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(st.tuples(NAMES, st.integers(0, 10**9), st.integers(0, 10**6), st.integers(0, 2**62)), max_size=30)
)
def test_what_a_thread_did_reads_as_written(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, int, int, int]]
) -> None:
    written = [whole(name, ts, dur, args={"correlation": number}) for name, ts, dur, number in events]
    timeline = read(write(tmp_path_factory.mktemp("names") / "t.json.gz", written))
    found = [
        (timeline.names[name], start // 1000 + timeline.origin_ns, length // 1000, number)
        for thread in timeline.threads
        for name, start, length, number in zip(
            thread.events.name.tolist(),
            thread.events.start_ps.tolist(),
            thread.events.duration_ps.tolist(),
            thread.events.correlation.tolist(),
            strict=True,
        )
    ]
    assert sorted(found) == sorted((visible(name), ts * 1000, dur * 1000, number) for name, ts, dur, number in events)


def test_what_is_no_event_is_left_out_and_said(tmp_path: Path) -> None:
    events: list[Any] = [whole("good", 1, 1), 5, whole("bad", "late", 1), {"ph": "B", "ts": 1}, whole("short", 3, -2)]  # type: ignore[arg-type]
    timeline = read(write(tmp_path / "t.trace.json", events))
    assert host_names(timeline) == ["good"]
    assert [text.partition(": ")[2] for text in timeline.warnings] == [
        "2 items left out: no trace event",
        "1 event left out: begin and end stand apart (B, E), and only whole ones (X) are read",
        "1 event left out: the end lies before the beginning",
    ]


def test_a_thread_written_as_number_and_as_text_is_one(tmp_path: Path) -> None:
    events = [whole("a", 1, 1), whole("b", 2, 1, tid="100"), whole("c", 3, 1, pid="100")]
    (thread,) = read(write(tmp_path / "t.trace.json", events)).threads
    assert len(thread.events) == 3


def test_what_c_prints_for_no_number_is_read(tmp_path: Path) -> None:
    text = b'{"traceEvents": [{"ph":"X","name":"a","pid":1,"tid":1,"ts":1,"dur":2,"args":{"x": -nan,"y":[inf, 1]}}]}'
    (tmp_path / "t.trace.json").write_bytes(text)
    assert host_names(read(tmp_path / "t.trace.json")) == ["a"]


def test_several_ranks_are_one_timeline(tmp_path: Path) -> None:
    for rank in range(2):
        write(tmp_path / f"rank{rank}.pt.trace.json", kineto(), baseTimeNanoseconds=10**18 + rank * 1000)
    timeline = read(tmp_path)
    assert [device.host for device in timeline.devices] == ["rank0", "rank1"]
    first, second = timeline.devices
    assert (second.kernels.start_ps - first.kernels.start_ps == 1_000_000).all()


def test_recorded_traces_of_pytorch(real_traces: Path) -> None:
    timeline = read(real_traces / "pytorch" / "h100-bert-small.trace.json.gz")
    (device,) = timeline.devices
    assert device.kernels.duration_ps.sum() / 1e9 == pytest.approx(0.307198, abs=0.000002)
    assert device.copies.duration_ps.sum() / 1e9 == pytest.approx(0.002240, abs=0.000001)
    ends = np.concatenate([device.kernels.end_ps, device.copies.end_ps])
    starts = np.concatenate([device.kernels.start_ps, device.copies.start_ps])
    assert (ends.max() - starts.min()) / 1e9 == pytest.approx(3.907825, abs=0.000001)
    timeline = read(real_traces / "pytorch" / "v100-resnet50-workers0.pt.trace.json.gz")
    (device,) = timeline.devices
    assert (len(device.kernels), len(device.copies), device.facts["sm_count"]) == (8772, 324, 80)
    assert timeline.steps.number.tolist() == [5, 6, 7, 8, 9, 10]
    launches = np.concatenate([thread.events.correlation for thread in timeline.threads])
    assert np.isin(device.kernels.correlation, launches).all()
