"""The arithmetic of readings over time, the control group's limits and the process tree, each by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe import telemetry
from gpuprobe.telemetry import cgroup, windows
from gpuprobe.telemetry.loop import Pace
from gpuprobe.telemetry.proctree import TreeScan, parse_stat
from gpuprobe.telemetry.writer import Writer
from tests.helpers.waiting import until

S = 1_000_000_000
SERIES = st.lists(st.tuples(st.integers(0, 20 * S), st.floats(0, 100)), min_size=1, max_size=40)


def arrays(series: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    ordered = sorted(series)
    return np.array([t for t, _ in ordered], np.int64), np.array([value for _, value in ordered])


@given(SERIES, st.integers(0, 15 * S), st.integers(1, 10 * S))
def test_readings_and_gaps_fill_the_window_once(series: list[tuple[int, float]], start: int, length: int) -> None:
    times, values = arrays(series)
    held = windows.hold_readings(times, values, start, start + length)
    gaps = sum(end - begin for begin, end in held.gaps)
    assert held.weights_ns.sum() + gaps <= length + 1
    assert all(start <= begin < end <= start + length for begin, end in held.gaps)
    assert all(before[1] <= after[0] for before, after in zip(held.gaps, held.gaps[1:], strict=False))
    if len(held.values):
        assert values.min() - 1e-9 <= held.mean() <= values.max() + 1e-9
        assert held.quantile(0.05) <= held.quantile(0.5) <= held.quantile(0.95)
        assert set(held.values) <= set(values)


@given(st.lists(st.integers(1, 3 * S), min_size=1, max_size=30), st.floats(0, 500))
def test_a_steady_power_gives_its_energy_whatever_the_intervals(steps: list[int], watts: float) -> None:
    times = np.cumsum([0, *steps]).astype(np.int64)
    joules, covered_s = windows.trapezoid(times, np.full(len(times), watts), 0, int(times[-1]))
    assert joules == pytest.approx(watts * covered_s)
    assert covered_s <= times[-1] / S + 1e-9


def test_a_gap_is_named_and_weighs_nothing() -> None:
    times = np.array([*range(0, 2 * S, S // 20), *range(8 * S, 10 * S, S // 20)], np.int64)
    held = windows.hold_readings(times, np.where(times < 5 * S, 0.0, 100.0), 0, 10 * S)
    assert held.mean() == pytest.approx(50)
    assert held.gaps == ((2 * S, 8 * S),)
    joules, covered_s = windows.trapezoid(times, np.full(len(times), 100.0), 0, 10 * S)
    assert joules == pytest.approx(100 * covered_s)
    assert covered_s == pytest.approx(3.9)


def test_a_pause_below_a_second_is_no_gap_and_one_above_is() -> None:
    for pause_ns, gaps in ((S, 0), (S + 1, 1)):
        times = np.array([0, S // 20, S // 10, S // 10 + pause_ns], np.int64)
        assert len(windows.hold_readings(times, np.zeros(4), 0, int(times[-1])).gaps) == gaps


def test_a_counter_that_was_reset_does_not_go_backwards() -> None:
    times = np.arange(0, 6 * S, S, dtype=np.int64)
    grown, seconds, readings = windows.growth(times, np.array([100.0, 110, 120, 0, 10, 20]), 0, 5 * S)
    assert (grown, seconds, readings) == (40, 4, 6)


def test_energy_is_not_guessed_over_a_long_gap(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "t.csv", ["gpu0_power_w"])
    for tick in (*range(20), *range(180, 200)):
        writer.row(tick * S // 20, {"gpu0_power_w": 50.0}, "")
    writer.row(S, {}, "gpu0: driver_hung: a call has not returned")
    summary = telemetry.summarize(telemetry.read(tmp_path / "t.csv"), 0, 10 * S)
    energy = summary.signal("energy_j", 0)
    assert energy is not None
    assert energy.value is None
    assert "only 19 %" in (energy.missing or "")
    assert [(gap.where, "driver_hung" in gap.reason) for gap in summary.gaps] == [("gpu0", True)]


def test_the_schedule_does_not_drift_and_makes_up_for_no_missed_tick_but_the_last() -> None:
    now = 100.0
    pace = Pace(0.05, lambda: now)
    due = []
    for late in (0.001, 0.013, 0.0, 0.17, 0.002, 0.0):
        now += late
        now += pace.next_in_s()
        due.append(round((now - 100) / 0.05, 6))
    assert due == [1, 2, 3, 6.4, 7, 8]


def folder(path: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


@pytest.mark.parametrize(
    ("files", "limits", "usage"),
    [
        (
            {
                "proc/7/cgroup": "0::/pod/box\n",
                "sys/fs/cgroup/cgroup.controllers": "cpu memory",
                "sys/fs/cgroup/pod/cpu.max": "150000 100000\n",
                "sys/fs/cgroup/pod/memory.max": "max\n",
                "sys/fs/cgroup/pod/box/cpu.max": "max 100000\n",
                "sys/fs/cgroup/pod/box/memory.max": "1073741824\n",
                "sys/fs/cgroup/pod/box/memory.current": "524288000\n",
                "sys/fs/cgroup/pod/box/cpu.stat": "usage_usec 2500000\nnr_throttled 3\nthrottled_usec 500000\n",
            },
            (1.5, 1024.0),
            {"cgroup_cpu_s": 2.5, "cgroup_throttled_s": 0.5, "cgroup_memory_mib": 500.0},
        ),
        (
            {
                "proc/7/cgroup": "5:memory:/box\n4:cpu,cpuacct:/box\n",
                "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "200000\n",
                "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/cpu/box/cpuacct.usage": "3000000000\n",
                "sys/fs/cgroup/cpu/box/cpu.stat": "nr_periods 5\nthrottled_time 250000000\n",
                "sys/fs/cgroup/memory/box/memory.limit_in_bytes": "2147483648\n",
                "sys/fs/cgroup/memory/box/memory.usage_in_bytes": "1048576\n",
            },
            (2.0, 2048.0),
            {"cgroup_cpu_s": 3.0, "cgroup_throttled_s": 0.25, "cgroup_memory_mib": 1.0},
        ),
        (
            {
                "proc/7/cgroup": "5:memory:/only/the/host/knows\n4:cpu,cpuacct:/only\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            (None, None),
            {},
        ),
    ],
)
def test_the_limits_of_a_container(
    tmp_path: Path, files: dict[str, str], limits: tuple[float | None, float | None], usage: dict[str, float]
) -> None:
    found = cgroup.cgroup_of(7, folder(tmp_path, files))
    assert found is not None
    assert found.limits() == limits
    assert found.usage() == usage


def test_no_control_group_is_no_error(tmp_path: Path) -> None:
    assert cgroup.cgroup_of(7, tmp_path) is None


@given(st.binary(max_size=40).filter(lambda name: b"\n" not in name))
def test_a_process_may_have_any_name(name: bytes) -> None:
    stat = b"7 (" + name + b") S 3 7 7 0 -1 4194304 10 20 30 40 100 50 5 5 20 0 9 0 8888 1000000 256 1 1 1\n"
    process = parse_stat(stat)
    assert (process.parent, process.threads, process.started) == (3, 9, 8888)
    assert (process.minor_faults, process.major_faults) == (30, 70)


def test_the_tree_is_followed_through_children_and_orphans() -> None:
    # The child, which sleeps, then belongs to no parent of ours but stays in the tree.
    inner = "import subprocess, sys; subprocess.Popen(['sleep', '600']); print('up', flush=True); sys.stdin.read()"
    root = subprocess.Popen([sys.executable, "-c", inner], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert root.stdin is not None
    assert root.stdout is not None
    root.stdout.readline()
    scan = TreeScan(root.pid)
    first = scan.scan()
    assert first["tree_processes"] == 2
    (child,) = scan.pids - {root.pid}
    assert scan.name(child) == "sleep"
    root.stdin.close()
    root.wait()
    after = scan.scan()
    assert scan.pids == {child}
    assert after["tree_cpu_s"] >= first["tree_cpu_s"], "a counter does not fall when a process ends"
    subprocess.run(["kill", str(child)], check=True)
    until(lambda: scan.scan() == {}, "an empty tree")
    assert scan.name(2**30) is None
