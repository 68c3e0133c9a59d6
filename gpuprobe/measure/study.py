"""Runs a study: plans the rounds, starts one fresh process per run, and saves each run as it ends."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gpuprobe import telemetry
from gpuprobe.errors import OutputError
from gpuprobe.measure.budget import Budget
from gpuprobe.measure.events import EventReader, RunInProgress
from gpuprobe.measure.process import ForkingLauncher, FreshLauncher, Launcher, Worker
from gpuprobe.recording import RUN_FILE, TELEMETRY_FILE, load_runs, run_folder
from gpuprobe.records import Outcome, Run, RunSpec, Study, save
from gpuprobe.workloads.arrays import save_arrays

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gpuprobe.workloads.arrays import Arrays

LOOK_EVERY_S = 0.1


class Observer(Protocol):
    """Told what happens in a study, for the live view."""

    def run_started(self, spec: RunSpec, index: int, total: int) -> None:
        """Run `index` (from 0) of `total` begins."""

    def run_progress(self, progress: RunInProgress) -> None:
        """Some time has passed, and events may have come in."""

    def run_finished(self, run: Run) -> None:
        """The run has ended, well or not, and is saved."""


@dataclass(frozen=True)
class Planned:
    """One run of the plan: its round, from 1, and its strategy's name."""

    round: int
    strategy: str


def plan_rounds(study: Study) -> list[Planned]:
    """Return all runs in order: every second round reversed, so that drift of the machine falls on all alike.

    In the first round a strategy that combines others comes last, since it needs their results.
    """
    names = [strategy.name for strategy in study.strategies]
    first = sorted(names, key=lambda name: next(s.combines for s in study.strategies if s.name == name))
    return [
        Planned(number, name)
        for number in range(1, study.request.rounds + 1)
        for name in (first if number % 2 else reversed(first))
    ]


def carry_out(
    study: Study, folder: Path, arrays: Arrays, observer: Observer, choose: Callable[[Path], Sequence[str]]
) -> list[Planned]:
    """Carry out all runs that the folder does not hold yet; return those that the budget left no time for.

    `choose` is asked once, given the study's folder, which strategies a combining one shall combine. Raises
    KeyboardInterrupt on Ctrl-C after the run in progress is saved, OutputError where the folder cannot be written.
    """
    done = [run for run in load_runs(folder).values() if run.outcome.state == "done"]
    finished = {Planned(run.spec.round, run.spec.strategy) for run in done}
    waiting = [planned for planned in plan_rounds(study) if planned not in finished]
    if not waiting:
        return []
    # On a machine with a driver each worker starts afresh; see the zygote for the reason.
    launcher: Launcher = FreshLauncher() if study.environment.gpus else ForkingLauncher()
    with closing(launcher), tempfile.TemporaryDirectory(prefix="gpuprobe-", ignore_cleanup_errors=True) as scratch:
        save_arrays(arrays, Path(scratch))
        runner = _Runner(study, folder, scratch, launcher, observer, choose)
        runner.combines = next((run.spec.combines for run in done if run.spec.combines), None)
        return runner.carry_out(waiting)


class _Runner:
    """The study in progress: what it has spent, and what a combining strategy combines."""

    def __init__(
        self,
        study: Study,
        folder: Path,
        data_folder: str,
        launcher: Launcher,
        observer: Observer,
        choose: Callable[[Path], Sequence[str]],
    ) -> None:
        self._study, self._folder, self._data_folder = study, folder, data_folder
        self._launcher, self._observer, self._choose = launcher, observer, choose
        self._budget = Budget(study.request.budget_s, time.monotonic())
        self.combines: tuple[str, ...] | None = None

    def carry_out(self, waiting: list[Planned]) -> list[Planned]:
        for index, planned in enumerate(waiting):
            if not self._budget.allows_another(time.monotonic()):
                return waiting[index:]
            spec = self._spec(planned, runs_left=len(waiting) - index)
            self._observer.run_started(spec, index, len(waiting))
            run = self._run(spec)
            self._budget.learn(_span_s(run), _window_s(run))
            self._observer.run_finished(run)
        return []

    def _spec(self, planned: Planned, runs_left: int) -> RunSpec:
        request = self._study.request
        steps = request.steps
        if request.epochs is not None:
            steps = request.epochs * (self._study.train_samples // request.batch_size)
        return RunSpec(
            strategy=planned.strategy,
            round=planned.round,
            seed=request.seed,
            batch_size=request.batch_size,
            depth=request.depth,
            window_s=self._budget.window_s(time.monotonic(), runs_left),
            steps=steps,
            trace_steps=request.trace_steps,
            data=self._data_folder,
            combines=self._combined(planned.strategy),
            inject=request.inject,
        )

    def _combined(self, strategy: str) -> tuple[str, ...]:
        if not next(s.combines for s in self._study.strategies if s.name == strategy):
            return ()
        if self.combines is None:
            self.combines = tuple(self._choose(self._folder))
        return self.combines

    def _run(self, spec: RunSpec) -> Run:
        folder = run_folder(self._folder, spec.round, spec.strategy)
        _make_empty(folder)
        progress = RunInProgress(spec)
        worker = self._launcher.start(folder, spec)
        try:
            with telemetry.sampling(folder / TELEMETRY_FILE, worker.pid):
                outcome = self._watch(worker, EventReader(folder), progress)
        except BaseException:
            worker.kill()
            save(progress.finished(Outcome(state="interrupted", message="stopped by the user")), folder / RUN_FILE)
            raise
        run = progress.finished(outcome)
        save(run, folder / RUN_FILE)
        return run

    def _watch(self, worker: Worker, reader: EventReader, progress: RunInProgress) -> Outcome:
        alive_s, limit_s = time.monotonic(), self._study.request.limit_s
        while True:
            code = worker.exit_code()
            for event in reader.new():
                alive_s = time.monotonic()
                progress.take(event)
            self._observer.run_progress(progress)
            if code is not None:
                return outcome_of(progress, code)
            if time.monotonic() - alive_s > limit_s:
                worker.kill()
                message = f"showed no sign of life for {limit_s:.0f} s and was ended (--limit sets this time)"
                return Outcome(state="timeout", message=message)
            time.sleep(LOOK_EVERY_S)


def outcome_of(progress: RunInProgress, exit_code: int) -> Outcome:
    """Say how a run ended, from its last events and the exit code of its process (minus the signal's number)."""
    if progress.error is not None:
        return Outcome(state=progress.error.state, message=progress.error.message, exit_code=exit_code)
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        # Linux ends a process by SIGKILL when memory runs out, and tells nobody but its own log.
        hint = "; if nobody did that, the machine ran out of memory (see dmesg)" if name == "SIGKILL" else ""
        return Outcome(state="killed", message=f"ended by {name}{hint}", exit_code=exit_code)
    if progress.done and exit_code == 0:
        return Outcome(state="done", exit_code=0)
    return Outcome(state="failed", message="the process ended early; see log.txt", exit_code=exit_code)


def _span_s(run: Run) -> float:
    return (run.phases[-1].end_ns - run.phases[0].start_ns) / 1e9 if run.phases else 0.0


def _window_s(run: Run) -> float:
    window = run.phase("window")
    return (window.end_ns - window.start_ns) / 1e9 if window else 0.0


def _make_empty(folder: Path) -> None:
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error
