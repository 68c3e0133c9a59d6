"""Runs a study: starts one fresh process per run as planned, and saves each run as it ends."""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, Protocol

from gpuprobe import telemetry
from gpuprobe.errors import GpuprobeError, OutputError
from gpuprobe.measure.active import ActiveRun
from gpuprobe.measure.budget import LONGEST_QUICK_WINDOW_S, LONGEST_WINDOW_S, Budget
from gpuprobe.measure.folder import Place
from gpuprobe.measure.plan import Planned, expected_runs, forget_failed_end, in_order, plan_rounds
from gpuprobe.measure.process import ForkingLauncher, FreshLauncher, Launcher
from gpuprobe.recording import RUN_FILE, TELEMETRY_FILE, TRACE_FOLDER, load_runs, run_folder
from gpuprobe.records import Combination, Outcome, Run, RunSpec, Study, save
from gpuprobe.scratch import scratch
from gpuprobe.units import NS_PER_S
from gpuprobe.workloads.arrays import save_arrays

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gpuprobe.measure.events import RunInProgress
    from gpuprobe.workloads.arrays import Arrays

LOOK_EVERY_S = 0.1
# More would gain little; each holds a whole TensorFlow with its training set.
MOST_LANES = 3
LANE_MIB = 4096
# A search that cannot try a change and measure it has nothing to tell.
KEPT_FOR_A_SEARCH = 2


class Observer(Protocol):
    """Told what happens in a study, for the live view."""

    def run_started(self, spec: RunSpec, index: int, total: int) -> None:
        """Run `index` (from 0) of `total` begins."""

    def run_progress(self, progress: RunInProgress) -> None:
        """Some time has passed, and events may have come in."""

    def run_finished(self, run: Run) -> None:
        """The run has ended, well or not, and is saved."""


class Choose(Protocol):
    """Asked what the search for a combining strategy measures next."""

    def __call__(self, folder: Path, strategy: str) -> Combination | None:
        """Return what to combine, from what the study's folder holds; None where the search has ended."""


class Order(Protocol):
    """Asked, once the baseline was measured, in which order the others are worth measuring."""

    def __call__(self, folder: Path, strategies: Sequence[str]) -> Sequence[str] | None:
        """Return the strategies, the most promising first; None where nothing tells."""


def carry_out(
    study: Study,
    folder: Path,
    arrays: Arrays | None,
    observer: Observer,
    choose: Choose,
    order: Order | None = None,
) -> list[Planned]:
    """Carry out all runs that the folder does not hold yet; return those that the budget left no time for.

    They are in the study's order until `order` knows a better one, so that what the budget cuts off promises least.
    Raises KeyboardInterrupt on Ctrl-C after the run in progress is saved, OutputError where the folder cannot be
    written.
    """
    runs = load_runs(folder).values()
    done = [run for run in runs if run.outcome.state == "done"]
    skipped = {run.spec.strategy for run in runs if run.outcome.state == "skipped"}
    finished = {Planned(run.spec.round, run.spec.strategy) for run in done}
    waiting = [planned for planned in plan_rounds(study, skipped) if planned not in finished]
    searched = [info.name for info in study.strategies if info.combines and info.name not in skipped]
    for name in searched:
        forget_failed_end(folder, name)
    if not waiting and all(choose(folder, name) is None for name in searched):
        return []
    # On a machine with a driver each worker starts afresh; see the zygote for the reason.
    launcher: Launcher = FreshLauncher() if study.environment.gpus else ForkingLauncher()
    with closing(launcher), scratch() as data_folder:
        if arrays is not None:
            save_arrays(arrays, data_folder)
        runner = _Runner(study, folder, str(data_folder), launcher, observer, choose, order)
        return runner.carry_out(waiting, searched)


class _Runner:
    """The study in progress, and what it has spent."""

    def __init__(
        self,
        study: Study,
        folder: Path,
        data_folder: str,
        launcher: Launcher,
        observer: Observer,
        choose: Choose,
        order: Order | None,
    ) -> None:
        self._study, self._folder, self._data_folder = study, folder, data_folder
        self._place = Place(folder)
        self._launcher, self._observer, self._choose, self._order = launcher, observer, choose, order
        self._lanes = _lanes(study)
        longest_s = LONGEST_QUICK_WINDOW_S if study.request.quick else LONGEST_WINDOW_S
        self._budget = Budget(study.request.budget_s, time.monotonic(), longest_s)
        self._waiting: list[Planned] = []
        self._done = 0

    def carry_out(self, waiting: list[Planned], searched: Sequence[str]) -> list[Planned]:
        """Measure all that the time lasts for; return what is left of the plan, and of the searches."""
        self._waiting = waiting
        # The searches begin where the baseline is, with what promises most: that comes before what promises least.
        self._rounds(len(searched), kept_back=KEPT_FOR_A_SEARCH * len(searched))
        left = self._searches(searched)
        if self._waiting and not left:
            # They took less than was kept for them; what is measured now may tell them more.
            self._rounds(0, kept_back=0)
            left = self._searches(searched)
        return [*self._waiting, *left]

    def _rounds(self, searches: int, kept_back: int) -> None:
        """Measure what the plan holds while the time lasts; it is kept back for so many runs of `searches` to come."""
        while self._waiting:
            self._waiting = self._by_promise(self._waiting)
            if not self._budget.allows(time.monotonic(), 1 + kept_back * self._lanes):
                return
            runs_left = len(self._waiting) + searches * expected_runs(self._study, 0)
            group = self._waiting[: self._lanes]
            self._measure([self._spec(planned, runs_left) for planned in group], runs_left)
            del self._waiting[: len(group)]

    def _searches(self, searched: Sequence[str]) -> list[Planned]:
        """Measure run after run of each search until it has ended, or the time; return what is left."""
        left = []
        for name in searched:
            taken = 0
            while (chosen := self._choose(self._folder, name)) is not None:
                planned = Planned(self._study.request.rounds, name, chosen.step)
                if not self._budget.allows(time.monotonic(), self._lanes):
                    left.append(planned)
                    break
                runs_left = expected_runs(self._study, taken)
                self._measure([self._spec(planned, runs_left, sharing=self._lanes, chosen=chosen)], runs_left)
                taken += 1
        return left

    def _by_promise(self, waiting: list[Planned]) -> list[Planned]:
        """Ask for a better order until there is one; a baseline that cannot be replayed is no reason to stop."""
        if self._order is None:
            return waiting
        with suppress(GpuprobeError):
            names = self._order(self._folder, list(dict.fromkeys(planned.strategy for planned in waiting)))
            if names is not None:
                self._order = None
                return in_order(waiting, names)
        return waiting

    def _measure(self, specs: list[RunSpec], runs_left: int) -> None:
        """Carry out runs that warm up together, of so many that are left, and learn what they cost."""
        started = time.monotonic()
        runs = self._run_group(specs, self._done, self._done + runs_left)
        self._done += len(runs)
        spent_s = time.monotonic() - started
        self._budget.learn((spent_s - sum(map(_window_s, runs))) / len(runs))

    def _spec(self, planned: Planned, runs_left: int, sharing: int = 1, chosen: Combination | None = None) -> RunSpec:
        request = self._study.request
        steps = request.steps
        if request.epochs is not None:
            steps = max(1, request.epochs * (self._study.train_samples // request.batch_size))
        return RunSpec(
            strategy=planned.strategy,
            round=planned.round,
            seed=request.seed,
            batch_size=request.batch_size,
            depth=request.depth,
            model=request.model,
            window_s=self._budget.window_s(time.monotonic(), runs_left, sharing),
            steps=steps,
            trace_steps=request.trace_steps,
            data=self._data_folder,
            combines=chosen.changes if chosen else (),
            start=chosen.start if chosen else "",
            step=planned.step,
            inject=request.inject,
        )

    def _run_group(self, specs: list[RunSpec], index: int, total: int) -> list[Run]:
        """Warm the runs up side by side, then time them one after the other, alone on the machine."""
        with ExitStack() as stack:
            active = [self._start(spec, stack) for spec in specs]
            try:
                self._observer.run_started(specs[0], index, total)
                while any(run.outcome is None and not run.is_held for run in active):
                    self._look_at(active, active[0])
                for place, run in enumerate(active):
                    if place:
                        self._observer.run_started(run.spec, index + place, total)
                    run.let_go()
                    while run.outcome is None:
                        self._look_at([run], run)
                    save(run.record(), run.folder / RUN_FILE)
                    _write_scalars(run.folder)
                    self._observer.run_finished(run.record())
            except BaseException:
                for run in active:
                    if run.outcome is None:
                        run.worker.kill()
                        run.outcome = Outcome(state="interrupted", message="stopped by the user")
                        # The reason to stop may be that its folder is gone.
                        with suppress(OutputError):
                            save(run.record(), run.folder / RUN_FILE)
                raise
        return [run.record() for run in active]

    def _start(self, spec: RunSpec, stack: ExitStack) -> ActiveRun:
        folder = run_folder(self._folder, spec.round, spec.strategy, spec.step)
        self._place.check()
        _make_empty(folder)
        worker = self._launcher.start(folder, spec)
        stack.enter_context(telemetry.sampling(folder / TELEMETRY_FILE, worker.pid))
        return ActiveRun(spec, folder, worker, self._study.request.limit_s)

    def _look_at(self, active: list[ActiveRun], shown: ActiveRun) -> None:
        for run in active:
            run.look()
        self._observer.run_progress(shown.progress)
        time.sleep(LOOK_EVERY_S)


def _lanes(study: Study) -> int:
    """How many runs may warm up side by side: tracing is one thread of Python, and a GPU's memory is not shared."""
    environment = study.environment
    if environment.gpus:
        return 1
    return max(1, min(MOST_LANES, environment.cores, int(environment.memory_mib / LANE_MIB)))


def _write_scalars(folder: Path) -> None:
    """Put the telemetry beside the trace for TensorBoard; a copy, whose failure costs nothing."""
    if (folder / TRACE_FOLDER).is_dir():
        with suppress(GpuprobeError):
            telemetry.write_scalars(telemetry.read(folder / TELEMETRY_FILE), folder / TRACE_FOLDER)


def _window_s(run: Run) -> float:
    window = run.phase("window")
    return (window.end_ns - window.start_ns) / NS_PER_S if window else 0.0


def _make_empty(folder: Path) -> None:
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error
