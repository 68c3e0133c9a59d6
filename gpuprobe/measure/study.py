"""Carries out a study: the runs that its folder does not hold yet, each in a fresh process."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from gpuprobe.backends.known import TENSORFLOW
from gpuprobe.measure.group import GroupLauncher
from gpuprobe.measure.hosts import follow_first_host, host_of, in_order_of_hosts, jobs_of
from gpuprobe.measure.live_runs import LiveRuns
from gpuprobe.measure.plan import PlannedRun, plan_rounds, remove_failed_last_steps
from gpuprobe.measure.process import ForkingLauncher, FreshLauncher, Launcher
from gpuprobe.measure.runner import Runner
from gpuprobe.recording import load_runs
from gpuprobe.scratch import scratch
from gpuprobe.workloads.arrays import save_arrays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gpuprobe.measure.hosts import JobHost
    from gpuprobe.measure.live_runs import Observer
    from gpuprobe.measure.plan import Choose, Order
    from gpuprobe.records import Run, Study
    from gpuprobe.workloads.arrays import Arrays


def carry_out(
    study: Study,
    folder: Path,
    arrays: Arrays | None,
    observer: Observer,
    choose: Choose,
    order: Order | None = None,
) -> list[PlannedRun]:
    """Carry out all runs that the folder does not hold yet; return those for which the budget left no time.

    Once `order` can predict gains the runs are ordered by it, so that those for which there is no time are the least
    promising. Raises KeyboardInterrupt on Ctrl-C after the run in progress is saved, OutputError where the folder
    cannot be written.
    """
    runs = load_runs(folder).values()
    measured_runs = [run for run in runs if run.is_measured]
    skipped = {run.spec.strategy for run in runs if run.outcome.state == "skipped"}
    finished_runs = {PlannedRun(run.spec.round, run.spec.strategy) for run in measured_runs if not run.spec.step}
    host = _host(study)
    planned_runs = in_order_of_hosts(study, skipped) if host else plan_rounds(study, skipped)
    waiting_runs = [run for run in planned_runs if run not in finished_runs]
    searched_strategies = [info.name for info in study.strategies if info.combines and info.name not in skipped]
    for strategy in searched_strategies:
        remove_failed_last_steps(folder, strategy)
    if not waiting_runs and all(choose(folder, strategy) is None for strategy in searched_strategies):
        return []
    with _prepared_launcher(study, arrays, host) as (launcher, data_folder):
        live_runs = LiveRuns(study, folder, launcher, observer)
        runner = Runner(study, folder, data_folder, live_runs, observer, choose, None if host else order, skipped)
        try:
            return runner.carry_out(waiting_runs, searched_strategies, measured_runs)
        finally:
            live_runs.stop()


def take_part(study: Study, folder: Path, arrays: Arrays | None, report_run: Callable[[Run], None]) -> list[Run]:
    """Take part in the runs of several workers that another host leads; return the record of each."""
    skipped = {run.spec.strategy for run in load_runs(folder).values() if run.outcome.state == "skipped"}
    with _prepared_launcher(study, arrays, _host(study)) as (launcher, data_folder):
        return follow_first_host(study, folder, launcher, data_folder, skipped, report_run)


def _host(study: Study) -> JobHost | None:
    return host_of(study.request, os.environ, [info.name for info in study.strategies])


@contextmanager
def _prepared_launcher(study: Study, arrays: Arrays | None, host: JobHost | None) -> Iterator[tuple[Launcher, str]]:
    """Yield what starts the runs' processes, and the folder of their images."""
    # With an NVIDIA driver each worker is a new interpreter: see `zygote`.
    may_fork = not study.environment.gpus and study.request.backend == TENSORFLOW
    job_here = jobs_of(host, study) if host else None
    launcher: Launcher = GroupLauncher(ForkingLauncher() if may_fork else FreshLauncher(), job_here)
    with closing(launcher), scratch() as data_folder:
        if arrays is not None:
            save_arrays(arrays, data_folder)
        yield launcher, str(data_folder)
