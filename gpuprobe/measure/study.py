"""Runs a study: starts one fresh process per run as planned, and saves each run as it ends."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gpuprobe import telemetry
from gpuprobe.errors import GpuprobeError, OutputError
from gpuprobe.measure.budget import LONGEST_QUICK_WINDOW_S, LONGEST_WINDOW_S, Budget
from gpuprobe.measure.events import EventReader, RunInProgress
from gpuprobe.measure.plan import Planned, forget_failed_end, in_order, most_steps, plan_rounds
from gpuprobe.measure.process import ForkingLauncher, FreshLauncher, Launcher, Worker
from gpuprobe.recording import GO_FILE, RUN_FILE, TELEMETRY_FILE, TRACE_FOLDER, load_runs, run_folder
from gpuprobe.records import Outcome, Run, RunSpec, Study, save
from gpuprobe.workloads.arrays import save_arrays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.workloads.arrays import Arrays

LOOK_EVERY_S = 0.1
# More would gain little; each holds a whole TensorFlow with its training set.
MOST_LANES = 3
LANE_MIB = 4096


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

    def __call__(self, folder: Path, strategy: str) -> tuple[str, ...] | None:
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
    with closing(launcher), tempfile.TemporaryDirectory(prefix="gpuprobe-", ignore_cleanup_errors=True) as scratch:
        if arrays is not None:
            save_arrays(arrays, Path(scratch))
        runner = _Runner(study, folder, scratch, launcher, observer, choose, order)
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
        self._launcher, self._observer, self._choose, self._order = launcher, observer, choose, order
        self._lanes = _lanes(study)
        longest_s = LONGEST_QUICK_WINDOW_S if study.request.quick else LONGEST_WINDOW_S
        self._budget = Budget(study.request.budget_s, time.monotonic(), longest_s)

    def carry_out(self, waiting: list[Planned], searched: Sequence[str]) -> list[Planned]:
        expected = len(waiting) + sum(most_steps(self._study, name) for name in searched)
        index = 0
        while index < len(waiting):
            waiting[index:] = self._by_promise(waiting[index:])
            if not self._budget.allows_another(time.monotonic()):
                return [*waiting[index:], *(Planned(self._study.request.rounds, name) for name in searched)]
            group = waiting[index : index + self._lanes]
            self._measure([self._spec(planned, expected - index) for planned in group], index, expected)
            index += len(group)
        left = []
        for name in searched:
            stopped, index = self._search(name, index)
            left += stopped
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

    def _search(self, strategy: str, index: int) -> tuple[list[Planned], int]:
        """Measure step after step until the search has ended, or the time; return what is left, and the next index."""
        step = 1 + max(
            (run.spec.step for run in load_runs(self._folder).values() if run.spec.strategy == strategy), default=0
        )
        while (combines := self._choose(self._folder, strategy)) is not None:
            planned = Planned(self._study.request.rounds, strategy, step)
            if not self._budget.allows_another(time.monotonic(), self._lanes):
                return [planned], index
            steps_left = max(1, most_steps(self._study, strategy) - step + 1)
            spec = self._spec(planned, steps_left, sharing=self._lanes, combines=combines)
            self._measure([spec], index, index + steps_left)
            step, index = step + 1, index + 1
        return [], index

    def _measure(self, specs: list[RunSpec], index: int, total: int) -> None:
        """Carry out runs that warm up together, and learn what they cost."""
        started = time.monotonic()
        runs = self._run_group(specs, index, total)
        spent_s = time.monotonic() - started
        self._budget.learn((spent_s - sum(map(_window_s, runs))) / len(runs))

    def _spec(self, planned: Planned, runs_left: int, sharing: int = 1, combines: tuple[str, ...] = ()) -> RunSpec:
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
            combines=combines,
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
                        save(run.record(), run.folder / RUN_FILE)
                raise
        return [run.record() for run in active]

    def _start(self, spec: RunSpec, stack: ExitStack) -> _Active:
        folder = run_folder(self._folder, spec.round, spec.strategy, spec.step)
        _make_empty(folder)
        worker = self._launcher.start(folder, spec)
        stack.enter_context(telemetry.sampling(folder / TELEMETRY_FILE, worker.pid))
        return _Active(spec, folder, worker, self._study.request.limit_s)

    def _look_at(self, active: list[_Active], shown: _Active) -> None:
        for run in active:
            run.look()
        self._observer.run_progress(shown.progress)
        time.sleep(LOOK_EVERY_S)


class _Active:
    """A run whose process may still be going on."""

    def __init__(self, spec: RunSpec, folder: Path, worker: Worker, limit_s: float) -> None:
        self.spec, self.folder, self.worker = spec, folder, worker
        self.progress = RunInProgress(spec)
        self.outcome: Outcome | None = None
        self._reader = EventReader(folder)
        self._limit_s, self._alive_s = limit_s, time.monotonic()

    @property
    def is_held(self) -> bool:
        """Whether it has warmed up and waits to be let go."""
        return bool(self.progress.phases) and self.progress.phases[-1].name == "held"

    def let_go(self) -> None:
        """Let it time its steps: the machine is quiet."""
        self._alive_s = time.monotonic()
        (self.folder / GO_FILE).touch()

    def look(self) -> None:
        """Take in what it wrote, and end it where it has shown no sign of life for too long."""
        if self.outcome is not None:
            return
        code = self.worker.exit_code()
        for event in self._reader.new():
            self._alive_s = time.monotonic()
            self.progress.take(event)
        if code is not None:
            self.outcome = outcome_of(self.progress, code)
        elif time.monotonic() - self._alive_s > self._limit_s and not self._waits():
            self.worker.kill()
            message = f"showed no sign of life for {self._limit_s:.0f} s and was ended (--limit sets this time)"
            self.outcome = Outcome(state="timeout", message=message)

    def _waits(self) -> bool:
        return self.is_held and not (self.folder / GO_FILE).exists()

    def record(self) -> Run:
        """Return the record of the run as it ended."""
        assert self.outcome is not None
        return self.progress.finished(self.outcome)


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
    return (window.end_ns - window.start_ns) / 1e9 if window else 0.0


def _make_empty(folder: Path) -> None:
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error
