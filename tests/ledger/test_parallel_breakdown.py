"""A job's traces read side by side say what they say when read at once, and one that fails costs only itself."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from gpuprobe.errors import InputError
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.ledger.parallel_breakdown import CHILD, break_down_in_parallel
from gpuprobe.ledger.reader_messages import AskBreakdown, AskExchanges, TraceOverview
from gpuprobe.ledger.timeline_breakdown import TimelineBreakdown
from gpuprobe.process_pool import Failed, ProcessPool
from gpuprobe.records import Job, RunSpec, save
from gpuprobe.simulate.job import write_job
from gpuprobe.traces.read import find, read
from tests.helpers.waiting import until
from tests.lab.jobs import drawn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

# Seeds of jobs of three workers: with a culprit, and with clocks that are far apart.
THREE = next(seed for seed in range(0, 50, 5) if len(drawn(seed).job.workers) == 3)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job")
    write_job(drawn(THREE).job, folder)
    return folder


def traces(job: Path) -> list[Path]:
    return find(job).files


def test_two_processes_say_of_three_workers_what_one_says(job: Path) -> None:
    at_once = breakdown_of(read(job))
    assert len(at_once.peers) == 3
    assert break_down_in_parallel(job, 2) == at_once


@pytest.mark.parametrize(
    ("told", "few"),
    [
        ({}, ""),
        ({"ranks": 3}, ""),
        ({"ranks": 4}, "3 of the job's 4 ranks"),
        ({"job": Job(workers=("a:1", "b:1", "c:1", "d:1"))}, "3 of the job's 4 ranks"),
    ],
)
def test_recordings_say_how_many_workers_the_job_has(job: Path, tmp_path: Path, told: dict[str, Any], few: str) -> None:
    for number, file in enumerate(traces(job)):
        run = tmp_path / f"of-{number}" / "trainings" / "job" / "runs" / "1-fit"
        taken = run / "trace" / "plugins" / "profile" / "2026_01_31_10_00_00"
        taken.mkdir(parents=True)
        (taken / "box.xplane.pb").write_bytes(file.read_bytes())
        save(RunSpec(strategy="fit", round=1, seed=0, batch_size=0, task=f"worker{number}", **told), run / "spec.json")
    breakdown = breakdown_of(read(tmp_path))
    assert few in breakdown.untold
    assert bool(breakdown.untold) is bool(few)
    assert break_down_in_parallel(tmp_path, 2) == breakdown


def test_real_ranks_of_pytorch_too(real_traces: Path) -> None:
    ranks = real_traces / "pytorch" / "dlrm-8-ranks"
    assert break_down_in_parallel(ranks, 2) == breakdown_of(read(ranks))


def test_a_broken_file_is_one_line_and_the_others_go_on(job: Path, tmp_path: Path) -> None:
    place = tmp_path / "plugins" / "profile" / "one"
    place.mkdir(parents=True)
    for file in traces(job):
        (place / file.name).write_bytes(file.read_bytes())
    broken = place / "worker1.xplane.pb"
    broken.write_bytes(broken.read_bytes()[:1000])
    apart = break_down_in_parallel(tmp_path, 2)
    assert apart == breakdown_of(read(tmp_path))
    (line,) = (warning for warning in apart.warnings if warning.startswith("Left out: "))
    assert str(broken) in line
    assert "\n" not in line
    assert [device.host for device in apart.devices] == ["worker0", "worker2"]
    # Two of three ranks are fewer than four fifths: the one that is waited for may be the one that is missing.
    assert "2 of the job's 3 ranks" in apart.untold
    for file in traces(tmp_path):
        file.write_bytes(b"")
    with pytest.raises(InputError, match="empty"):
        break_down_in_parallel(tmp_path, 2)


def test_a_trace_is_decoded_once_unless_its_columns_cannot_be_kept(job: Path, tmp_path: Path) -> None:
    files = [tmp_path / file.name for file in traces(job)]
    for file, whole in zip(files, traces(job), strict=True):
        file.write_bytes(whole.read_bytes())
    decoded = [tmp_path / "first", tmp_path / "no folder" / "second", tmp_path / "third"]
    with ProcessPool[AskExchanges | AskBreakdown](CHILD, 1) as pool:
        assert all(isinstance(of, TraceOverview) for of in pool.run(list(map(AskExchanges, files, decoded)), files))
        again = [AskBreakdown(*of, "host", 0.0) for of in zip(files, decoded, strict=True)]
        # The last is in hand.
        for file in files:
            file.write_bytes(b"")
        third, first, second = pool.run([again[2], *again[:2]], files)
    assert isinstance(third, TimelineBreakdown)
    assert isinstance(first, TimelineBreakdown)
    assert isinstance(second, Failed)
    assert "empty" in second.reason


def while_held_up(pipes: Sequence[Path], do: Callable[[], object]) -> threading.Thread:
    """Do something once children wait for what these pipes hold; then nothing comes."""

    def wait() -> None:
        held = [pipe.open("wb") for pipe in pipes]
        do()
        for pipe in held:
            pipe.close()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def children() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if CHILD in one.cmdline()]


def pipe(folder: Path, name: str) -> Path:
    made = folder / name
    os.mkfifo(made)
    return made


def test_a_child_that_is_killed_costs_only_what_it_had_in_hand(job: Path, tmp_path: Path) -> None:
    stuck = pipe(tmp_path, "stuck.xplane.pb")

    def kill() -> None:
        (one,) = children()
        one.kill()

    with ProcessPool[AskExchanges | AskBreakdown](CHILD, 1) as pool:
        killing = while_held_up([stuck], kill)
        asked = [AskExchanges(file, tmp_path / "decoded") for file in (stuck, traces(job)[0])]
        first, second = pool.run(asked, ["stuck", "whole"])
        killing.join()
    assert first == Failed("the process that read it was ended by SIGKILL", died=True)
    assert isinstance(second, TraceOverview)


def test_no_child_outlives_an_interrupt(tmp_path: Path) -> None:
    pipes = [pipe(tmp_path, f"{number}.xplane.pb") for number in range(2)]
    started: list[psutil.Process] = []

    def interrupt() -> None:
        started.extend(children())
        os.kill(os.getpid(), signal.SIGINT)
        until(lambda: not any(one.is_running() for one in started))

    def ask() -> None:
        with ProcessPool[AskExchanges | AskBreakdown](CHILD, 2) as pool:
            pool.run([AskExchanges(one, one.with_suffix(".decoded")) for one in pipes], pipes)

    interrupting = while_held_up(pipes, interrupt)
    with pytest.raises(KeyboardInterrupt):
        ask()
    interrupting.join()
    assert len(started) == 2
    assert not any(one.is_running() for one in started)
