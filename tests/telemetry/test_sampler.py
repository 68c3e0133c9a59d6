"""The sampler as a real process, against a fake driver that the real pynvml loads, and the figures drawn from it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe import telemetry
from gpuprobe.errors import InputError
from gpuprobe.telemetry.writer import Writer
from tests.helpers.waiting import until_gone, until_recorded, until_rows

S = 1_000_000_000


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield process
    process.kill()
    process.wait()


def sample(path: Path, pid: int, seconds: float) -> telemetry.Telemetry:
    with telemetry.sampling(path, pid):
        until_recorded(path, seconds)
    return telemetry.read(path)


def summary(recording: telemetry.Telemetry) -> telemetry.TelemetrySummary:
    return telemetry.summarize(recording, int(recording.t_ns[0]), int(recording.t_ns[-1]))


def value(of: telemetry.TelemetrySummary, name: str, gpu: int | None = None) -> float:
    signal_ = of.signal(name, gpu)
    assert signal_ is not None
    assert isinstance(signal_.value, float), signal_
    return signal_.value


FORKS = """
import os, signal, sys, time
from pathlib import Path
from gpuprobe import telemetry

with telemetry.sampling(Path(sys.argv[1]), os.getpid()) as sampler:
    while not Path(sys.argv[1]).exists():
        time.sleep(0.01)
    forked = os.fork()
    if not forked:
        signal.pause()
os.kill(forked, signal.SIGKILL)
print(sampler.poll())
"""


def test_children_that_a_training_forks_do_not_keep_the_sampler_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.csv"
    done = subprocess.run([sys.executable, "-c", FORKS, path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0"], "it ended by itself, and was not killed after some seconds"
    assert len(telemetry.read(path).t_ns)


def test_the_inventory_is_what_the_driver_says(driver: Path) -> None:
    found = telemetry.inventory()
    assert found.missing is None
    assert [(gpu.name, gpu.compute_capability, gpu.memory_mib) for gpu in found.gpus] == [
        ("NVIDIA GeForce GTX 1060 3GB", "6.1", 3072.0)
    ]
    assert (found.driver, found.cuda) == ("550.54.14", "12.4")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("init 9\n", "not loaded"),
        ("init 18\n", "differ in version"),
        ("init 4\n", "permission"),
        ("devices 0\n", "no GPU"),
    ],
)
def test_a_driver_that_cannot_be_used_is_one_reason(driver: Path, script: str, reason: str) -> None:
    driver.write_text(script)
    found = telemetry.inventory()
    assert found.gpus == ()
    assert reason in (found.missing or "")


def test_no_driver_is_one_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    if telemetry.inventory().gpus:
        pytest.skip("this machine has a GPU")
    assert "no NVIDIA driver" in (telemetry.inventory().missing or "")


def test_a_gpu_is_sampled(driver: Path, tmp_path: Path) -> None:
    recording = sample(tmp_path / "t.csv", os.getpid(), 2.0)
    of = summary(recording)
    assert recording.gpus == (0,)
    assert value(of, "utilization_percent", 0) == 19
    assert value(of, "power_w", 0) == 61.5
    assert value(of, "sm_clock_mhz", 0) == 1708
    assert value(of, "memory_used_mib", 0) == 900
    assert value(of, "throttled_fraction", 0) == 0
    # This card has no energy counter: power over time stands in, and says so.
    energy = of.signal("energy_j", 0)
    assert energy is not None
    times, _ = recording.series("gpu0_power_w")
    assert value(of, "energy_j", 0) == pytest.approx(61.5 * (times[-1] - times[0]) / S, rel=0.02)
    assert "power" in energy.source


def test_a_field_that_the_card_lacks_is_said_once_and_costs_no_other(driver: Path, tmp_path: Path) -> None:
    driver.write_text("fail.power 3\n")
    recording = sample(tmp_path / "t.csv", os.getpid(), 1.5)
    said = [words for _, words in recording.said if "gpu0.power_w:" in words]
    assert len(said) == 1
    assert "does not offer" in said[0]
    power = summary(recording).signal("power_w", 0)
    assert power is not None
    assert power.value is None
    assert "does not offer" in (power.missing or "")
    assert value(summary(recording), "utilization_percent", 0) == 19


def test_a_gpu_that_is_lost_is_named_and_the_host_goes_on(driver: Path, tmp_path: Path) -> None:
    driver.write_text("fail.all 15@0.8\n")
    recording = sample(tmp_path / "t.csv", os.getpid(), 2.0)
    lost = [t_ns for t_ns, words in recording.said if "gpu0: gpu_lost" in words]
    assert len(lost) == 1
    times, _ = recording.series("gpu0_utilization_percent")
    assert times.max() <= lost[0]
    assert recording.series("tree_cpu_s")[0].max() > lost[0]


def test_several_gpus(driver: Path, tmp_path: Path) -> None:
    driver.write_text("devices 8\n")
    assert sample(tmp_path / "t.csv", os.getpid(), 1.0).gpus == tuple(range(8))


def test_throttling_is_seen(driver: Path, tmp_path: Path) -> None:
    driver.write_text("throttle 64\n")
    assert value(summary(sample(tmp_path / "t.csv", os.getpid(), 1.2)), "throttled_fraction", 0) == 1


def test_a_busy_process_shows_as_one_core(busy: subprocess.Popen[bytes], tmp_path: Path) -> None:
    recording = sample(tmp_path / "t.csv", busy.pid, 3.0)
    cores = value(summary(recording), "cpu_cores")
    assert 0.1 < cores < 1.1
    gap = np.diff(recording.t_ns) / S
    assert np.median(gap) > 0.8, "without a GPU only the slow fields are there to read"


@pytest.mark.parametrize("forked", ["", "if os.fork() == 0: time.sleep(600)"], ids=["alone", "a child holds the pipe"])
def test_the_sampler_ends_with_its_parent_and_the_file_is_whole(driver: Path, tmp_path: Path, forked: str) -> None:
    path = tmp_path / "t.csv"
    program = f"""
import os, threading, time
from pathlib import Path
from gpuprobe import telemetry
def watch():
    global sampling
    sampling = telemetry.sampling(Path({str(path)!r}), os.getpid())
    print(sampling.__enter__().pid, flush=True)
# The thread that starts the sampler may end before the process does.
thread = threading.Thread(target=watch)
thread.start()
thread.join()
{forked}
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)
    assert parent.stdout is not None
    sampler = int(parent.stdout.readline())
    until_rows(path, 15)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until_gone(sampler)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(parent.pid, signal.SIGKILL)
    assert len(telemetry.read(path).t_ns) >= 15, "the file is readable to the last tick"


def test_a_sampler_that_is_killed_does_not_disturb(tmp_path: Path) -> None:
    with telemetry.sampling(tmp_path / "t.csv", os.getpid()) as sampler:
        until_rows(tmp_path / "t.csv")
        sampler.kill()
    assert len(telemetry.read(tmp_path / "t.csv").t_ns) >= 1


def write(path: Path, rows: list[tuple[int, dict[str, float], str]]) -> telemetry.Telemetry:
    writer = Writer(path, ["tree_cpu_s", "gpu0_utilization_percent", "gpu0_power_w", "gpu0_energy_j"])
    for row in rows:
        writer.row(*row)
    return telemetry.read(path)


def test_levels_are_weighted_by_time(tmp_path: Path) -> None:
    busy = "gpu0_utilization_percent"
    recording = write(
        tmp_path / "t.csv", [(0, {busy: 0.0}, ""), (1 * S, {busy: 100.0}, ""), (10 * S, {busy: 100.0}, "")]
    )
    assert value(telemetry.summarize(recording, 0, 10 * S), "utilization_percent", 0) == pytest.approx(90.0)


def test_energy_prefers_the_counter(tmp_path: Path) -> None:
    rows = [(n * S, {"gpu0_power_w": 50.0, "gpu0_energy_j": 1000.0 + 70 * n}, "") for n in range(11)]
    recording = write(tmp_path / "t.csv", rows)
    assert value(telemetry.summarize(recording, 0, 10 * S), "energy_j", 0) == pytest.approx(700)


@pytest.mark.parametrize(("until", "known"), [(9, True), (8, False)])
def test_a_counter_that_ends_early_does_not_tell_the_energy_of_the_rest(
    until: int, known: bool, tmp_path: Path
) -> None:
    rows = [(n * S, {"gpu0_energy_j": 70.0 * n} if n <= until else {"tree_cpu_s": 1.0}, "") for n in range(11)]
    energy = telemetry.summarize(write(tmp_path / "t.csv", rows), 0, 10 * S).signal("energy_j", 0)
    assert energy is not None
    assert energy.value == (pytest.approx(700) if known else None)


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write(path, [(S, {"tree_cpu_s": 1.0}, ""), (2 * S, {"tree_cpu_s": 2.0}, 'said, with "quotes"')])
    with path.open("ab") as file:
        file.write(b"3000000000,3.")
    recording = telemetry.read(path)
    assert recording.t_ns.tolist() == [S, 2 * S]
    assert recording.said == ((2 * S, "said, with 'quotes'"),)


@settings(deadline=None)
@given(content=st.binary(max_size=300))
def test_no_bytes_crash_the_reader(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("t") / "t.csv"
    for whole in (content, b"t_ns,tree_cpu_s,said\n" + content):
        path.write_bytes(whole)
        try:
            recording = telemetry.read(path)
        except InputError:
            continue
        telemetry.summarize(recording, 0, S)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**10), st.floats(0, 100)), min_size=2, max_size=40))
def test_a_mean_lies_within_its_values(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, float]]
) -> None:
    now, rows = 0, []
    for gap, level in steps:
        now += gap
        rows.append((now, {"gpu0_utilization_percent": level}, ""))
    recording = write(tmp_path_factory.mktemp("t") / "t.csv", rows)
    mean = value(telemetry.summarize(recording, 0, now), "utilization_percent", 0)
    levels = [level for _, level in steps]
    assert min(levels) - 1e-6 <= mean <= max(levels) + 1e-6
