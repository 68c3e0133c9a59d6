"""What surrounds the steps of a simulated run, as its recording tells it: breakdown, calls, and readings."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import pytest
from msgspec.structs import replace

from gpuprobe.evidence.whole_run import breakdown_of_run
from gpuprobe.recording import RUN_FILE, TELEMETRY_FILE, run_folder
from gpuprobe.records import Run, load
from gpuprobe.simulate.engine import steady_ms
from gpuprobe.simulate.savings import time_ms
from gpuprobe.simulate.sessions import write_session
from gpuprobe.simulate.spec import Recording, Spec, WholeRun
from tests.helpers.simulated import SMALL

SURROUNDED = Spec(
    kernels=SMALL,
    noise=0.0,
    recording=Recording(window_s=3.0),
    run=WholeRun(
        steps_per_epoch=100, epochs=10, startup_s=4.0, epoch_start_ms=400.0, validation_ms=300.0, checkpoint_ms=100.0
    ),
)


def written(spec: Spec, folder: Path) -> tuple[Run, Path]:
    write_session(spec, folder)
    run = run_folder(folder, 1, spec.name)
    return load(Run, run / RUN_FILE), run


def test_the_account_of_the_run_adds_up_to_its_wall_time(tmp_path: Path) -> None:
    run, _ = written(SURROUNDED, tmp_path)
    wall = run.wall
    assert wall is not None
    whole_ns = sum(part.total_ns for part in wall.parts)
    assert whole_ns == wall.ended_ns - wall.started_ns
    steps = SURROUNDED.run.steps_per_epoch * SURROUNDED.run.epochs
    assert whole_ns / 1e6 / steps == pytest.approx(time_ms(SURROUNDED, traced=False))


def test_its_breakdown_says_what_was_put_in(tmp_path: Path) -> None:
    run, _ = written(SURROUNDED, tmp_path)
    told = breakdown_of_run(run)
    assert told is not None
    assert told.epochs == 10
    assert told.seconds("build") == pytest.approx(4.0)
    assert told.seconds("validation") == pytest.approx(3.0)
    assert told.seconds("checkpoint") == pytest.approx(1.0)
    # The very first epoch's start lies in the call that traces.
    assert told.seconds("epoch_start") == pytest.approx(9 * 0.4)


def test_a_run_of_steps_alone_has_no_account_of_its_own(tmp_path: Path) -> None:
    run, _ = written(replace(SURROUNDED, run=WholeRun()), tmp_path)
    assert run.wall is None


def test_the_calls_and_the_readings_pause_between_the_epochs(tmp_path: Path) -> None:
    run, folder = written(SURROUNDED, tmp_path)
    window = run.phase("window")
    assert window is not None
    ends = (window.start_ns, *window.call_ends_ns)
    call_ms = [(then - now) / 1e6 for now, then in itertools.pairwise(ends)]
    late = [place for place, lasted in enumerate(call_ms) if lasted > 400]
    assert late == [place for place in range(len(call_ms)) if place and place % 100 == 0]
    assert call_ms[late[0]] == pytest.approx(800 + steady_ms(SURROUNDED), rel=0.01)
    with (folder / TELEMETRY_FILE).open() as lines:
        rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    loads = [
        (int(row["t_ns"]), float(row["gpu0_utilization_percent"])) for row in rows if row["gpu0_utilization_percent"]
    ]
    # NVML tells of the last whole sixth of a second.
    pause = (ends[late[0]] + 350_000_000, ends[late[0] + 1] - steady_ms(SURROUNDED) * 1e6)
    assert {load for at, load in loads if pause[0] < at < pause[1]} == {0.0}
    assert {load for at, load in loads if at < window.start_ns} == {0.0}
    assert max(load for at, load in loads if at > window.start_ns) > 90
