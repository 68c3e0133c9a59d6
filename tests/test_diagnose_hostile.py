"""The whole way from a damaged trace to the printed diagnosis: sound figures, or one clear line."""

from __future__ import annotations

import io
import json
import random
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from simulated import SMALL

from gpuprobe.cli._diagnosis import show
from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.recorded import recorded
from gpuprobe.errors import InputError
from gpuprobe.records import to_json
from gpuprobe.simulate import xplane
from gpuprobe.simulate.engine import simulate
from gpuprobe.simulate.spec import Card, Host, Recording, Spec
from gpuprobe.traces.xplane_pb2 import XPlane, XSpace

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = (0, 1, -1, 2**31, 2**40, 2**53, 2**61, 2**63 - 1, -(2**63), 10**15)
REALS = (float("nan"), float("inf"), -1.0, 1e308, 5e-324)
CALLS = (
    "train_function",
    "train",
    "IteratorGetNextOp::DoCompute",
    "cuLaunchKernel",
    "MemcpyD2H",
    "nccl",
    "",
    "\x1b[1m[red]",
)
STATS = ("step_num", "correlation_id", "kernel_details", "core_count", "grid:0,0,0 block:99999999999,1,1 regs:-1")
LINES = ("Stream #1", "Stream #99999999999999999999", "Steps", "python", "")
SESSIONS = (
    Spec(kernels=SMALL, steps=3),
    Spec(kernels=SMALL, steps=3, recording=Recording(style="2020")),
    Spec(kernels=SMALL, steps=3, host=Host(eager=True, compile_every=2, compile_ms=5.0), card=Card(on_gpu=False)),
)


def can_be_read(path: Path) -> bool:
    """Diagnose a file that may be damaged, all the way; tell whether it could be read."""
    try:
        found = recorded(path)
    except InputError as error:
        said = str(error)
    else:
        check(found)
        return True
    assert str(path) in said
    assert "\n" not in said
    return False


def check(found: Case) -> None:
    """Check that a diagnosis prints, and that its figures can be true."""
    diagnosis = diagnose(found)
    show(Console(file=io.StringIO(), width=100), diagnosis)
    told = json.loads(to_json(diagnosis))
    assert [finding["primary"] for finding in told["findings"]].count(True) == 1
    for device in told["devices"]:
        assert sum(device["ledger_ms"].values()) == pytest.approx(device["step_ms"], rel=1e-9, abs=1e-3)
        assert min(device["ledger_ms"].values()) >= 0
        shares = [device[name] for name in ("kernel_fraction", "exposed_copy_fraction", "sm_efficiency", "occupancy")]
        assert all(share is None or 0 <= share <= 1 + 1e-9 for share in shares)


def damage(plane: XPlane, chance: random.Random) -> None:
    """Change one thing in a plane to what no profiler would write there."""
    line = chance.choice(plane.lines)
    event = chance.choice(line.events) if line.events else line.events.add()
    stat = chance.choice(event.stats) if event.stats else event.stats.add()
    way = chance.randrange(9)
    if way == 0:
        plane.event_metadata[chance.choice([*plane.event_metadata, 1])].name = chance.choice(CALLS)
    elif way == 1:
        plane.stat_metadata[chance.choice([*plane.stat_metadata, 1])].name = chance.choice(STATS)
    elif way == 2:
        line.name = chance.choice(LINES)
    elif way == 3:
        line.timestamp_ns = chance.choice(NUMBERS)
    elif way == 4:
        event.offset_ps = chance.choice(NUMBERS)
    elif way == 5:
        event.duration_ps = chance.choice(NUMBERS)
    elif way == 6:
        stat.int64_value = chance.choice(NUMBERS)
    elif way == 7:
        stat.double_value = chance.choice(REALS)
    else:
        del line.events[: chance.randrange(len(line.events) + 1)]


@pytest.mark.parametrize("seed", range(len(SESSIONS)))
def test_a_damaged_trace_is_diagnosed_soundly(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    written = xplane.write(simulate(SESSIONS[seed]), tmp_path / "session", 10**18)
    data = next(written.rglob("*.xplane.pb")).read_bytes() if written.is_dir() else written.read_bytes()
    outcomes = []
    with warnings.catch_warnings():
        # A division by nothing that numpy only warns of is a figure that nobody should print.
        warnings.simplefilter("error")
        for _ in range(50):
            space = XSpace.FromString(data)
            for _ in range(chance.choice((1, 4, 30))):
                damage(chance.choice([plane for plane in space.planes if plane.lines]), chance)
            path = tmp_path / "h.xplane.pb"
            path.write_bytes(space.SerializeToString())
            outcomes.append(can_be_read(path))
    assert any(outcomes)
    assert not all(outcomes)


def kineto(chance: random.Random) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    for step in range(4):
        at = 1000.0 * step
        events.append({"ph": "X", "name": f"ProfilerStep#{step}", "pid": 1, "tid": 1, "ts": at, "dur": 1000.0})
        for number in range(5):
            id_ = {"correlation": 10 * step + number}
            launch, run = at + 20 * number, at + 100 + 100 * number
            events.append({"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 1, "tid": 1} | {
                "ts": launch, "dur": 5.0, "args": id_})  # fmt: skip
            work = id_ | {"device": 0, "stream": 7, "grid": [8, 1, 1], "block": [64, 1, 1], "bytes": 100}
            kind = chance.choice((("kernel", "gemm"), ("gpu_memcpy", "Memcpy HtoD (Pageable -> Device)")))
            events.append({"ph": "X", "cat": kind[0], "name": kind[1], "pid": 0, "tid": 7} | {
                "ts": run, "dur": 80.0, "args": work})  # fmt: skip
    return events


VALUES: tuple[Any, ...] = (None, 0, -1, 2**53, 2**63, -(2**63), 1e300, 1.5, "", "x", "7", [], [1, 2], {}, True)


def test_a_damaged_chrome_trace_is_diagnosed_soundly(tmp_path: Path) -> None:
    chance = random.Random(5)
    path = tmp_path / "t.trace.json"
    outcomes = []
    for _ in range(100):
        events = kineto(chance)
        for _ in range(chance.choice((0, 1, 5, 40))):
            event = chance.choice(events)
            of = event["args"] if isinstance(event.get("args"), dict) and chance.random() < 0.4 else event
            of[chance.choice([*of, "ts"])] = chance.choice(VALUES)
        path.write_text(json.dumps({"traceEvents": events}, default=str))
        outcomes.append(can_be_read(path))
    assert any(outcomes)
    assert not all(outcomes)
