"""Runs a study: one fresh process for each planned run, in turns with one of the baseline; saves each run."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from gpuprobe.backends.known import TENSORFLOW
from gpuprobe.measure.group import GroupLauncher
from gpuprobe.measure.hosts import follow, host_of, in_order_of_hosts
from gpuprobe.measure.plan import Planned, forget_failed_end, plan_rounds
from gpuprobe.measure.process import ForkingLauncher, FreshLauncher, Launcher
from gpuprobe.measure.runner import Runner
from gpuprobe.measure.stage import Stage
from gpuprobe.recording import load_runs
from gpuprobe.scratch import scratch
from gpuprobe.workloads.arrays import save_arrays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gpuprobe.measure.hosts import Host
    from gpuprobe.measure.runner import Choose, Order
    from gpuprobe.measure.stage import Observer
    from gpuprobe.records import Run, Study
    from gpuprobe.workloads.arrays import Arrays


def carry_out(
    study: Study,
    folder: Path,
    arrays: Arrays | None,
    observer: Observer,
    choose: Choose,
    order: Order | None = None,
) -> list[Planned]:
    """Carry out all runs that the folder does not hold yet; return those for which the budget left no time.

    Once `order` can predict gains the runs follow it, so that those cut off by the budget promise least. Raises
    KeyboardInterrupt on Ctrl-C after the run in progress is saved, OutputError where the folder cannot be written.
    """
    runs = load_runs(folder).values()
    done = [run for run in runs if run.is_measured]
    skipped = {run.spec.strategy for run in runs if run.outcome.state == "skipped"}
    finished = {Planned(run.spec.round, run.spec.strategy) for run in done if not run.spec.step}
    host = host_of(study.request, os.environ)
    planned = in_order_of_hosts(study, skipped) if host else plan_rounds(study, skipped)
    waiting = [run for run in planned if run not in finished]
    searched = [info.name for info in study.strategies if info.combines and info.name not in skipped]
    for name in searched:
        forget_failed_end(folder, name)
    if not waiting and all(choose(folder, name) is None for name in searched):
        return []
    with _prepared(study, arrays, host) as (launcher, data_folder):
        stage = Stage(study, folder, launcher, observer)
        runner = Runner(study, folder, data_folder, stage, observer, choose, None if host else order)
        try:
            return runner.carry_out(waiting, searched, done)
        finally:
            stage.stop()


def take_part(study: Study, folder: Path, arrays: Arrays | None, tell: Callable[[Run], None]) -> list[Run]:
    """Train along in the runs of several workers that another host leads; return how each ended."""
    skipped = {run.spec.strategy for run in load_runs(folder).values() if run.outcome.state == "skipped"}
    with _prepared(study, arrays, host_of(study.request, os.environ)) as (launcher, data_folder):
        return follow(study, folder, launcher, data_folder, skipped, tell)


@contextmanager
def _prepared(study: Study, arrays: Arrays | None, host: Host | None) -> Iterator[tuple[Launcher, str]]:
    """Yield what starts the runs' processes, and the folder of their images."""
    # With an NVIDIA driver each worker is a new interpreter; `zygote` says why.
    forks = not study.environment.gpus and study.request.backend == TENSORFLOW
    launcher: Launcher = GroupLauncher(ForkingLauncher() if forks else FreshLauncher(), host)
    with closing(launcher), scratch() as data_folder:
        if arrays is not None:
            save_arrays(arrays, data_folder)
        yield launcher, str(data_folder)
