"""Measures the runs of a study: decides which is next, which runs warm up together, and how long each is timed."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from gpuprobe.errors import GpuprobeError
from gpuprobe.measure.budget import (
    LONGEST_QUICK_WINDOW_S,
    LONGEST_WINDOW_S,
    SHORTEST_TURNS_S,
    SHORTEST_WINDOW_S,
    TURNS_WINDOW_S,
    Budget,
)
from gpuprobe.measure.gpu_disturbance import watching_gpu
from gpuprobe.measure.memory_fit import MemoryFit
from gpuprobe.measure.plan import PlannedRun, another_baseline_run, expected_runs, reordered
from gpuprobe.measure.run_spec import RunSpecs, may_take_turns, most_warming_up
from gpuprobe.measure.turns import Turns
from gpuprobe.recording import STUDY_FILE
from gpuprobe.records import save

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gpuprobe.measure.active_run import ActiveRun
    from gpuprobe.measure.live_runs import LiveRuns, Observer
    from gpuprobe.measure.plan import Choose, Order
    from gpuprobe.records import Combination, Run, Study

# Runs reserved for each search: one that tries a change, and one of the result.
RESERVED_FOR_A_SEARCH = 2


class Runner:
    """Measures a study: the runs that still wait, the live run of the baseline (the anchor), and the time left."""

    def __init__(
        self,
        study: Study,
        folder: Path,
        data_folder: str,
        live_runs: LiveRuns,
        observer: Observer,
        choose: Choose,
        order: Order | None,
    ) -> None:
        self._study, self._folder, self._specs = study, folder, RunSpecs(study, folder, data_folder)
        self._live_runs, self._observer, self._choose, self._order = live_runs, observer, choose, order
        self._most_warming_up = most_warming_up(study)
        self._memory_fit = MemoryFit(study.environment, turns=may_take_turns(study))
        longest_s = LONGEST_QUICK_WINDOW_S if study.request.quick else LONGEST_WINDOW_S
        shortest_s = TURNS_WINDOW_S + SHORTEST_TURNS_S if self._memory_fit.allows_turns else SHORTEST_WINDOW_S
        self._budget = Budget(study.request.budget_s, time.monotonic(), longest_s, shortest_s)
        self._baseline = next((info.name for info in study.strategies if not info.combines), "")
        self._anchor: ActiveRun | None = None
        self._measured: list[PlannedRun] = []
        self._runs_alone: set[PlannedRun] = set()
        self._waiting: list[PlannedRun] = []
        self._unreported: list[Run] = []
        self._done = 0

    def carry_out(self, waiting: list[PlannedRun], searched: Sequence[str], done: Sequence[Run]) -> list[PlannedRun]:
        """Measure as much as the time allows; return the runs not measured, those of searches included.

        `done` are the runs measured before, in an interrupted study.
        """
        self._waiting = waiting
        self._measured = [PlannedRun(run.spec.round, run.spec.strategy) for run in done if not run.spec.step]
        laps = max((phase.lap for run in done for phase in run.phases), default=0)
        gpus = self._study.environment.gpus
        with watching_gpu(gpus[0].index if gpus and self._memory_fit.allows_turns else None) as gpu:
            self._gpu, self._turns = gpu, Turns(self._live_runs, self._study.request.seed, laps, gpu)
            not_measured = self._measure_all(searched)
        self._report_ended()
        self._note_lack_of_memory()
        return [*self._waiting, *not_measured]

    def _measure_all(self, searched: Sequence[str]) -> list[PlannedRun]:
        """Measure the plan and the searches; return the searches' runs not measured."""
        # The searches come before the least promising runs of the plan.
        self._measure_plan(len(searched), reserved_runs=RESERVED_FOR_A_SEARCH * len(searched))
        not_measured = self._measure_searches(searched)
        if self._waiting and not not_measured:
            # The searches took less than was reserved; more runs of the plan may give them new results.
            self._measure_plan(0, reserved_runs=0)
            not_measured = self._measure_searches(searched)
        self._replace_anchor(None)
        return not_measured

    def _note_lack_of_memory(self) -> None:
        """Write into the study's record which runs could not take turns for lack of memory."""
        alone = sorted(self._runs_alone, key=lambda planned: planned.round)
        if notes := self._memory_fit.notes([planned.strategy for planned in alone]):
            all_notes = tuple(dict.fromkeys((*self._study.notes, *notes)))
            save(msgspec.structs.replace(self._study, notes=all_notes), self._folder / STUDY_FILE)

    def _measure_plan(self, searches: int, reserved_runs: int) -> None:
        """Measure the plan while time lasts, with time reserved for `reserved_runs` runs of the searches."""
        while self._waiting:
            self._waiting = self._most_promising_first(self._waiting)
            if not self._budget.allows(time.monotonic(), 1, reserved_runs, self._most_warming_up):
                return
            runs_left = len(self._waiting) + searches * expected_runs(self._study, 0)
            self._measure_group(self._next_group(), runs_left)

    def _measure_searches(self, searched: Sequence[str]) -> list[PlannedRun]:
        """Measure the runs of each search until it ends or time runs out; return the runs not measured."""
        not_measured = []
        for name in searched:
            runs_taken = 0
            while (chosen := self._choose(self._folder, name)) is not None:
                planned = PlannedRun(self._study.request.rounds, name, chosen.step)
                if not self._budget.allows(time.monotonic(), 0, 1, self._most_warming_up):
                    not_measured.append(planned)
                    break
                runs_left = expected_runs(self._study, runs_taken)
                anchor = [another_baseline_run(self._measured, self._baseline)] if self._lacks_anchor else []
                self._measure_group([*anchor, planned], runs_left, sharing=self._most_warming_up, chosen=chosen)
                runs_taken += 1
        return not_measured

    def _most_promising_first(self, waiting: list[PlannedRun]) -> list[PlannedRun]:
        """Order the waiting runs by predicted gain, once gains can be predicted; errors in predicting are ignored."""
        if self._order is None:
            return waiting
        with suppress(GpuprobeError):
            names = self._order(self._folder, list(dict.fromkeys(planned.strategy for planned in waiting)))
            if names is not None:
                self._order = None
                return reordered(waiting, names, self._baseline)
        return waiting

    def _next_group(self) -> list[PlannedRun]:
        """Take the next runs that warm up together; where the anchor is gone, a run of the baseline comes first."""
        size = self._memory_fit.runs_at_once(self._most_warming_up, self._gpu.free_mib if self._gpu else None)
        if not self._memory_fit.allows_turns or self._waiting[0] in self._runs_alone:
            self._replace_anchor(None)
        if self._waiting[0] in self._runs_alone:
            size = 1
        elif self._lacks_anchor:
            self._waiting.insert(0, another_baseline_run(self._measured, self._baseline))
        group, self._waiting = self._waiting[:size], self._waiting[size:]
        return group

    @property
    def _lacks_anchor(self) -> bool:
        """Whether the baseline's process (the anchor), with which the others take turns, is gone."""
        return (
            self._memory_fit.allows_turns
            and self._anchor is None
            and any(run.strategy == self._baseline for run in self._measured)
        )

    def _measure_group(
        self, group: Sequence[PlannedRun], runs_left: int, sharing: int = 1, chosen: Combination | None = None
    ) -> None:
        """Measure the runs of a group, which warm up together, and learn what they cost outside their timed windows.

        `runs_left` counts the runs that the study still has time for, these included.
        """
        began_s = time.monotonic()
        share_s = self._budget.window_s(began_s, runs_left, sharing)
        specs = [self._specs.spec(planned, share_s, chosen, in_turns=self._takes_turns(planned)) for planned in group]
        runs = [self._live_runs.start(spec) for spec in specs]
        self._report_ended()
        self._observer.run_started(runs[0].spec, self._done, self._done + runs_left)
        self._live_runs.wait_until_warm(runs)
        for place, run in enumerate(runs):
            if place:
                self._observer.run_started(run.spec, self._done + place, self._done + runs_left)
            self._live_runs.measure(run)
            self._live_runs.save(run)
            self._memory_fit.learn(run.progress)
        timed_s = sum(run.progress.window_s for run in runs)
        turns_s = self._take_turns(runs, len(runs) * share_s - timed_s)
        self._conclude(group, runs)
        self._done += len(runs)
        self._budget.learn((time.monotonic() - began_s - timed_s - turns_s) / len(runs), sharing)

    def _take_turns(self, runs: Sequence[ActiveRun], left_s: float) -> float:
        """Let the runs take turns with the anchor, or with the first of them; return the seconds that it took."""
        began_s = time.monotonic()
        alive = [run for run in (self._anchor, *runs) if run is not None and run.outcome is None]
        if self._memory_fit.allows_turns and len(alive) > 1:
            self._turns.take(alive, began_s + left_s)
        return time.monotonic() - began_s

    def _conclude(self, group: Sequence[PlannedRun], runs: Sequence[ActiveRun]) -> None:
        """Save and end the runs of a group; a run of the baseline stays alive and becomes the new anchor."""
        for run in [*([self._anchor] if self._anchor else []), *runs]:
            # Save all before reporting any: runs that took turns are compared with each other.
            self._live_runs.save(run)
        for planned, run in zip(group, runs, strict=True):
            if run.is_measured and not planned.step:
                self._measured.append(planned)
            if self._memory_fit.allows_turns and planned.strategy == self._baseline and run.outcome is None:
                self._replace_anchor(run)
            else:
                self._live_runs.end(run)
            if not self._is_tried_alone(planned, run):
                self._unreported.append(run.record())
            # Several hosts keep to their plan: what failed on one may not have failed on another.
            keeps_to_plan = planned.strategy == self._baseline or self._study.request.worker_index is not None
            if _failed_at_first(run) and not keeps_to_plan:
                self._waiting = [later for later in self._waiting if later.strategy != planned.strategy]
        if self._anchor is not None and self._anchor.outcome is not None:
            self._replace_anchor(None)

    def _report_ended(self) -> None:
        """Report the ended runs to the observer: while others warm up, so that what it computes delays no run."""
        for record in self._unreported:
            self._observer.run_finished(record)
        self._unreported = []

    def _is_tried_alone(self, planned: PlannedRun, run: ActiveRun) -> bool:
        """Whether a run that ran out of memory beside others is tried once more alone."""
        out_of_memory = run.outcome is not None and run.outcome.state == "out_of_memory"
        if not out_of_memory or planned.step or not self._memory_fit.allows_turns or planned in self._runs_alone:
            return False
        self._runs_alone.add(planned)
        self._waiting.insert(0, planned)
        return True

    def _takes_turns(self, planned: PlannedRun) -> bool:
        return self._memory_fit.allows_turns and planned not in self._runs_alone

    def _replace_anchor(self, run: ActiveRun | None) -> None:
        if self._anchor is not None:
            self._live_runs.end(self._anchor)
        self._anchor = run


def _failed_at_first(run: ActiveRun) -> bool:
    """Whether a run ended by an error or its limit within its first call: other runs of its strategy would too."""
    return run.outcome is not None and run.outcome.state in {"failed", "timeout"} and run.progress.settings is None
