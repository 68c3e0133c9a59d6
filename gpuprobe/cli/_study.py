"""Starts or finishes a study, shows it, and writes its report; what `gpuprobe run` does once its options are read."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.cli._live import LiveView
from gpuprobe.cli._steps import write_step_pages
from gpuprobe.cli._terminal import Terminal
from gpuprobe.cli._verdict import print_verdict
from gpuprobe.errors import FAILED, INTERRUPTED, GpuprobeError
from gpuprobe.measure import faults, folder
from gpuprobe.measure.begin import begin, resume
from gpuprobe.measure.hosts import host_of, with_index
from gpuprobe.measure.study import carry_out, take_part
from gpuprobe.ranking.load import load
from gpuprobe.recording import PAGE_FILE, REPORT_FILE
from gpuprobe.report.backends import step_by_backend
from gpuprobe.report.verdict import verdict
from gpuprobe.report.write import write
from gpuprobe.search.next_run import by_predicted_gain, next_combination

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from gpuprobe.measure.plan import PlannedRun
    from gpuprobe.records import Request, Run, Study
    from gpuprobe.strategies.registry import Strategy
    from gpuprobe.workloads.arrays import Arrays


def start_study(request: Request, chosen: Sequence[Strategy], reports: Path, command_line: Sequence[str]) -> int:
    """Begin a new study and run it; return the exit code."""
    faults.parse(request.inject)
    request, index_from = with_index(request, os.environ, platform.node())
    host = host_of(request, os.environ, [strategy.name for strategy in chosen])
    console = Terminal()
    if index_from:
        _print_line(console, index_from)
    console.print("gpuprobe: examining the machine and the data", highlight=False)
    begun_study = begin(request, chosen, reports, shlex.join(command_line))
    with folder.locked(begun_study.folder):
        if host is not None and not host.leads:
            return _take_part(console, begun_study.study, begun_study.folder, begun_study.arrays)
        return _carry_out(console, begun_study.study, begun_study.folder, begun_study.arrays)


def finish_study(study_folder: Path, budget_s: float | None) -> int:
    """Run the remaining part of a study; return the exit code."""
    console = Terminal()
    resumed = resume(study_folder, budget_s)
    with folder.locked(study_folder):
        return _carry_out(console, resumed.study, study_folder, resumed.arrays)


def _take_part(console: Console, study: Study, study_folder: Path, arrays: Arrays | None) -> int:
    """Take part, as one worker, in the runs that worker 0 leads; it also writes the report."""
    _print_line(
        console, f"{study.workload}; worker {study.request.worker_index}, which worker 0 leads; into {study_folder}"
    )

    def print_run(run: Run) -> None:
        run_state = "done" if run.outcome.state == "done" else f"{run.outcome.state}, {run.outcome.message}"
        _print_line(console, f"{run.spec.strategy}, round {run.spec.round}: {run_state}")

    try:
        finished_runs = take_part(study, study_folder, arrays, print_run)
    except KeyboardInterrupt:
        return INTERRUPTED
    _print_line(
        console, "The report is at worker 0. To read all traces together, copy each worker's folder into one, then:"
    )
    _print_line(console, f"  {wording.command('gpuprobe', 'diagnose', 'FOLDER')}")
    return 0 if finished_runs and all(run.outcome.state == "done" for run in finished_runs) else FAILED


def _carry_out(console: Console, study: Study, study_folder: Path, arrays: Arrays | None) -> int:
    _introduce(console, study, study_folder)
    view = LiveView(
        console, study, study_folder, lambda: verdict(load(study_folder, traces=False), provisional=True).line
    )
    runs_left: list[PlannedRun] = []
    interrupted = False
    try:
        with view:
            runs_left = carry_out(study, study_folder, arrays, view, next_combination, by_predicted_gain)
    except KeyboardInterrupt:
        interrupted = True
        console.print("Stopped; reporting what was measured. Ctrl-C again leaves at once.", highlight=False)
    except GpuprobeError:
        # Write a report of what was measured before the error. If that fails too, the first error is shown.
        with contextlib.suppress(GpuprobeError):
            write(study_folder)
        raise
    return _conclude(console, study_folder, runs_left, interrupted=interrupted)


def _introduce(console: Console, study: Study, study_folder: Path) -> None:
    gpu_names = ", ".join(gpu.name for gpu in study.environment.gpus)
    device_words = (
        gpu_names or f"no GPU here ({study.environment.no_gpu}); ranking for the processor, {study.environment.cpu}"
    )
    _print_line(console, f"{study.workload}, batch {study.batch_size}; {device_words}")
    _print_line(console, study.data_source)
    for note in study.notes:
        _print_line(console, f"{note}.".replace("`", ""))
    strategies = wording.count(len(study.strategies), "strategy", "strategies")
    rounds = wording.count(study.request.rounds, "round")
    plan_words = f"{strategies}, {rounds}, within about {wording.clock(study.request.budget_s)}; into {study_folder}"
    _print_line(console, plan_words)
    searched_strategies = [info.name for info in study.strategies if info.combines]
    if searched_strategies and len(searched_strategies) < len(study.strategies):
        _print_line(
            console, f"{wording.listing(searched_strategies)}: searched for at the end, in time reserved for it"
        )


def _conclude(console: Console, study_folder: Path, runs_left: Sequence[PlannedRun], *, interrupted: bool) -> int:
    step_page_lines = write_step_pages(study_folder)
    loaded = write(study_folder)
    print_verdict(console, loaded)
    for printed_line in step_by_backend(loaded.ranking)[1]:
        _print_line(console, printed_line.replace("`", ""))
    for failure in loaded.ranking.failures:
        failure_state = failure.state.replace("_", " ")
        _print_line(console, f"{failure.strategy}, round {failure.round}: {failure_state}, {failure.message}")
    for skipped in loaded.ranking.skipped:
        _print_line(console, f"{skipped.strategy}: skipped, {skipped.message}")
    if runs_left:
        _print_line(console, f"The budget left no time for {_not_measured(runs_left)}.")
    if (runs_left or interrupted) and loaded.study.request.worker_index is None:
        _print_line(console, f"Finish it with: {wording.command('gpuprobe', 'run', '--resume', study_folder)}")
    _print_line(console, f"Report: {study_folder / PAGE_FILE} ({REPORT_FILE} holds the same)")
    for printed_line in step_page_lines:
        _print_line(console, printed_line)
    if interrupted:
        return INTERRUPTED
    return FAILED if loaded.ranking.failures or not loaded.ranking.rows else 0


def _not_measured(runs_left: Sequence[PlannedRun]) -> str:
    """Name the strategies and steps that were not measured; repeated runs are only counted."""
    run_names = [_run_name(planned) for planned in runs_left if planned.round == 1 or planned.step]
    repetitions = len(runs_left) - len(run_names)
    repetition_words = [wording.count(repetitions, "run") + " of a further round"] if repetitions else []
    return wording.listing([*run_names, *repetition_words])


def _run_name(planned: PlannedRun) -> str:
    return f"step {planned.step} of the search for {planned.strategy}" if planned.step else planned.strategy


def _print_line(console: Console, text: str) -> None:
    """Print a line, wrapped in a terminal."""
    console.print(text, markup=False, highlight=False, soft_wrap=not console.is_terminal)
