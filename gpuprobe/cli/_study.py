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
from gpuprobe.cli._steps import write_steps
from gpuprobe.cli._terminal import Terminal
from gpuprobe.cli._verdict import show
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
from gpuprobe.search.next_run import by_predicted_gain, following

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from gpuprobe.measure.plan import Planned
    from gpuprobe.records import Request, Run, Study
    from gpuprobe.strategies.registry import Strategy
    from gpuprobe.workloads.arrays import Arrays


def start(request: Request, chosen: Sequence[Strategy], out: Path, words: Sequence[str]) -> int:
    """Begin a new study and run it; return the exit code."""
    faults.parse(request.inject)
    request, index_from = with_index(request, os.environ, platform.node())
    host = host_of(request, os.environ)
    console = Terminal()
    if index_from:
        _say(console, index_from)
    console.print("gpuprobe: looking at the machine and its data", highlight=False)
    begun = begin(request, chosen, out, shlex.join(words))
    with folder.locked(begun.folder):
        if host is not None and not host.leads:
            return _take_part(console, begun.study, begun.folder, begun.arrays)
        return _carry_out(console, begun.study, begun.folder, begun.arrays)


def finish(where: Path, budget_s: float | None) -> int:
    """Run the remaining part of a study; return the exit code."""
    console = Terminal()
    resumed = resume(where, budget_s)
    with folder.locked(where):
        return _carry_out(console, resumed.study, where, resumed.arrays)


def _take_part(console: Console, study: Study, where: Path, arrays: Arrays | None) -> int:
    """Take part in the runs that the first host leads, and whose report it writes."""
    _say(console, f"{study.workload}; worker {study.request.worker_index}, which worker 0 leads; into {where}")

    def tell(run: Run) -> None:
        state = "done" if run.outcome.state == "done" else f"{run.outcome.state}, {run.outcome.message}"
        _say(console, f"{run.spec.strategy}, round {run.spec.round}: {state}")

    try:
        ended = take_part(study, where, arrays, tell)
    except KeyboardInterrupt:
        return INTERRUPTED
    _say(console, "The report is at worker 0. To read all traces together, copy each worker's folder into one, then:")
    _say(console, f"  {wording.command('gpuprobe', 'diagnose', 'FOLDER')}")
    return 0 if ended and all(run.outcome.state == "done" for run in ended) else FAILED


def _carry_out(console: Console, study: Study, where: Path, arrays: Arrays | None) -> int:
    _introduce(console, study, where)
    view = LiveView(console, study, where, lambda: verdict(load(where, traces=False), provisional=True).line)
    left: list[Planned] = []
    interrupted = False
    try:
        with view:
            left = carry_out(study, where, arrays, view, following, by_predicted_gain)
    except KeyboardInterrupt:
        interrupted = True
        console.print("Stopped; reporting what was measured. Ctrl-C again leaves at once.", highlight=False)
    except GpuprobeError:
        # Write a report of what was measured before the error; if that fails too, the first error is reported.
        with contextlib.suppress(GpuprobeError):
            write(where)
        raise
    return _conclude(console, where, left, interrupted=interrupted)


def _introduce(console: Console, study: Study, where: Path) -> None:
    gpus = ", ".join(gpu.name for gpu in study.environment.gpus)
    device = gpus or f"no GPU here ({study.environment.no_gpu}); ranking for the processor, {study.environment.cpu}"
    _say(console, f"{study.workload}, batch {study.batch_size}; {device}")
    _say(console, study.data_source)
    for note in study.notes:
        _say(console, f"{note}.".replace("`", ""))
    strategies = wording.count(len(study.strategies), "strategy", "strategies")
    rounds = wording.count(study.request.rounds, "round")
    plan = f"{strategies}, {rounds}, within about {wording.clock(study.request.budget_s)}; into {where}"
    _say(console, plan)
    searched = [info.name for info in study.strategies if info.combines]
    if searched and len(searched) < len(study.strategies):
        _say(console, f"{wording.listing(searched)}: searched for at the end, in time reserved for it")


def _conclude(console: Console, where: Path, left: Sequence[Planned], *, interrupted: bool) -> int:
    steps = write_steps(where)
    loaded = write(where)
    show(console, loaded)
    for line in step_by_backend(loaded.ranking)[1]:
        _say(console, line.replace("`", ""))
    for failure in loaded.ranking.failures:
        state = failure.state.replace("_", " ")
        _say(console, f"{failure.strategy}, round {failure.round}: {state}, {failure.message}")
    for skipped in loaded.ranking.skipped:
        _say(console, f"{skipped.strategy}: skipped, {skipped.message}")
    if left:
        _say(console, f"The budget left no time for {_not_measured(left)}.")
    if left or interrupted:
        _say(console, f"Finish it with: {wording.command('gpuprobe', 'run', '--resume', where)}")
    _say(console, f"Report: {where / PAGE_FILE} ({REPORT_FILE} holds the same)")
    for line in steps:
        _say(console, line)
    if interrupted:
        return INTERRUPTED
    return FAILED if loaded.ranking.failures or not loaded.ranking.rows else 0


def _not_measured(left: Sequence[Planned]) -> str:
    """Name the strategies and steps that were not measured; repeated runs are only counted."""
    named = [_run_name(planned) for planned in left if planned.round == 1 or planned.step]
    repetitions = len(left) - len(named)
    counted = [wording.count(repetitions, "run") + " of a further round"] if repetitions else []
    return wording.listing([*named, *counted])


def _run_name(planned: Planned) -> str:
    return f"step {planned.step} of the search for {planned.strategy}" if planned.step else planned.strategy


def _say(console: Console, text: str) -> None:
    """Print a line, wrapped in a terminal."""
    console.print(text, markup=False, highlight=False, soft_wrap=not console.is_terminal)
