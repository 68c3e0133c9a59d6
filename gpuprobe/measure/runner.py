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
from gpuprobe.measure.partners import Partners
from gpuprobe.measure.plan import PlannedRun, baseline_of, expected_runs, reordered
from gpuprobe.measure.run_spec import RunSpecs, may_take_turns, most_warming_up
from gpuprobe.measure.turns import Turns
from gpuprobe.recording import STUDY_FILE
from gpuprobe.records import save

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from gpuprobe.measure.active_run import ActiveRun
    from gpuprobe.measure.live_runs import LiveRuns, Observer
    from gpuprobe.measure.plan import Choose, Order
    from gpuprobe.records import Combination, Run, Study

# Runs reserved for each search: one that tries a change, and one of the result.
RESERVED_FOR_A_SEARCH = 2


class Runner:
    """Measures a study: the runs that still wait, the live run that others take turns with, and the time left.

    `skipped` are the strategies that cannot be run in this study.
    """

    def __init__(
        self,
        study: Study,
        folder: Path,
        data_folder: str,
        live_runs: LiveRuns,
        observer: Observer,
        choose: Choose,
        order: Order | None,
        skipped: Collection[str] = (),
    ) -> None:
        self._study, self._folder, self._specs = study, folder, RunSpecs(study, folder, data_folder)
        self._live_runs, self._observer, self._choose, self._order = live_runs, observer, choose, order
        self._most_warming_up = most_warming_up(study)
        self._memory_fit = MemoryFit(study.environment, turns=may_take_turns(study, skipped))
        longest_s = LONGEST_QUICK_WINDOW_S if study.request.quick else LONGEST_WINDOW_S
        shortest_s = TURNS_WINDOW_S + SHORTEST_TURNS_S if self._memory_fit.allows_turns else SHORTEST_WINDOW_S
        self._budget = Budget(study.request.budget_s, time.monotonic(), longest_s, shortest_s)
        self._baseline = baseline_of(study, skipped)
        self._runs_alone: set[PlannedRun] = set()
        self._waiting: list[PlannedRun] = []
        self._searched: Sequence[str] = ()
        self._unreported: list[Run] = []
        self._done = 0

    def carry_out(self, waiting: list[PlannedRun], searched: Sequence[str], done: Sequence[Run]) -> list[PlannedRun]:
        """Measure as much as the time allows; return the runs not measured, those of searches included.

        `done` are the runs measured before, in an interrupted study.
        """
        self._waiting, self._searched = waiting, searched
        laps = max((phase.lap for run in done for phase in run.phases), default=0)
        gpus = self._study.environment.gpus
        with watching_gpu(gpus[0].index if gpus and self._memory_fit.allows_turns else None) as gpu:
            turns = Turns(self._live_runs, self._study.request.seed, laps, gpu)
            self._gpu, self._partners = gpu, Partners(self._baseline, self._live_runs, turns, self._memory_fit)
            for run in done:
                self._memory_fit.learn(run)
                if not run.spec.step:
                    self._partners.note(PlannedRun(run.spec.round, run.spec.strategy), is_measured=True)
            not_measured = self._measure_all()
        self._report_ended()
        self._note_lack_of_memory()
        return [*self._waiting, *not_measured]

    def _measure_all(self) -> list[PlannedRun]:
        """Measure the plan and the searches; return the searches' runs not measured."""
        # The searches come before the least promising runs of the plan.
        searches = len(self._searched)
        self._measure_plan(searches, reserved_runs=RESERVED_FOR_A_SEARCH * searches)
        not_measured = self._measure_searches()
        if self._waiting and not not_measured:
            # The searches took less than was reserved; more runs of the plan may give them new results.
            self._measure_plan(0, reserved_runs=0)
            not_measured = self._measure_searches()
        self._end_anchor()
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
            group = self._within_time(self._next_group(), reserved_runs)
            if not group:
                return
            self._waiting = [run for run in self._waiting if run not in group]
            runs_left = len(group) + len(self._waiting) + searches * expected_runs(self._study, 0)
            self._measure_group(group, runs_left)

    def _measure_searches(self) -> list[PlannedRun]:
        """Measure the runs of each search until it ends or time runs out; return the runs not measured."""
        not_measured = []
        for name in self._searched:
            runs_taken = 0
            while (chosen := self._choose(self._folder, name)) is not None:
                planned = PlannedRun(self._study.request.rounds, name, chosen.step)
                group = [*self._partners.next_anchor(self._waiting, self._runs_alone), planned]
                if not self._budget.allows(time.monotonic(), 0, len(group), self._most_warming_up):
                    not_measured.append(planned)
                    break
                self._waiting = [run for run in self._waiting if run not in group]
                runs_left = len(group) - 1 + expected_runs(self._study, runs_taken)
                self._measure_group(group, runs_left, sharing=self._most_warming_up, chosen=chosen)
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
        """Return the next runs that warm up together; where the anchor is lost, one that replaces it comes first."""
        size = self._memory_fit.runs_at_once(self._most_warming_up, self._gpu.free_mib if self._gpu else None)
        if self._waiting[0] in self._runs_alone:
            return self._waiting[:1]
        anchor = self._partners.next_anchor(self._waiting, self._runs_alone)
        others = [run for run in self._waiting if run not in self._runs_alone and run not in anchor]
        return [*anchor, *others][:size]

    def _within_time(self, group: list[PlannedRun], reserved_runs: int) -> list[PlannedRun]:
        """Return as many of the group's runs as there is time for, beside `reserved_runs` of the searches.

        A run beyond the plan is of use only where there is also time for one that takes turns with it.
        """
        now_s, fewest = time.monotonic(), 1 if group[0] in self._waiting else 2
        for size in range(len(group), 0, -1):
            if self._budget.allows(now_s, max(fewest, size), reserved_runs, self._most_warming_up):
                return group[:size]
        return []

    def _measure_group(
        self, group: Sequence[PlannedRun], runs_left: int, sharing: int = 1, chosen: Combination | None = None
    ) -> None:
        """Measure the runs of a group, which warm up together, and learn what they cost outside their timed windows.

        `runs_left` counts the runs that the study still has time for, these included.
        """
        in_turns = [self._takes_turns(planned, len(group)) for planned in group]
        if not all(in_turns):
            self._end_anchor()
        began_s = time.monotonic()
        share_s = self._budget.window_s(began_s, runs_left, sharing)
        specs = [
            self._specs.spec(planned, share_s, chosen, in_turns=takes_turns)
            for planned, takes_turns in zip(group, in_turns, strict=True)
        ]
        runs = [self._live_runs.start(spec) for spec in specs]
        self._report_ended()
        self._observer.run_started(runs[0].spec, self._done, self._done + runs_left)
        self._live_runs.wait_until_warm(runs)
        for place, (planned, run) in enumerate(zip(group, runs, strict=True)):
            if place:
                self._observer.run_started(run.spec, self._done + place, self._done + runs_left)
            self._live_runs.measure(run)
            self._live_runs.save(run)
            self._memory_fit.learn(run.progress)
            if not planned.step and not self._is_tried_alone(planned, run):
                self._partners.note(planned, is_measured=run.is_measured)
        timed_s = sum(run.progress.window_s for run in runs)
        turns_s = self._partners.take_turns(group, runs, share_s)
        self._partners.conclude(group, runs, share_s)
        self._plan_on(group, runs)
        self._done += len(runs)
        self._budget.learn((time.monotonic() - began_s - timed_s - turns_s) / len(runs), sharing)

    def _plan_on(self, group: Sequence[PlannedRun], runs: Sequence[ActiveRun]) -> None:
        """Let the runs that ended be reported, and decide by them which runs still wait."""
        for planned, run in zip(group, runs, strict=True):
            if self._is_tried_alone(planned, run):
                self._runs_alone.add(planned)
                self._waiting.insert(0, planned)
            else:
                self._unreported.append(run.record())
            # Several hosts keep to their plan: what failed on one may not have failed on another.
            keeps_to_plan = planned.strategy == self._baseline or self._study.request.worker_index is not None
            if run.failed_at_first and not keeps_to_plan:
                self._waiting = [later for later in self._waiting if later.strategy != planned.strategy]

    def _takes_turns(self, planned: PlannedRun, group_size: int) -> bool:
        """Whether a run takes turns: with the anchor, with others of its group, or with later ones as their anchor."""
        if not self._memory_fit.allows_turns or planned in self._runs_alone:
            return False
        later_ones = not planned.step and (self._waiting or self._searched)
        return self._partners.has_anchor or group_size > 1 or bool(later_ones)

    def _end_anchor(self) -> None:
        self._partners.end_anchor(self._budget.left_s(time.monotonic()))

    def _report_ended(self) -> None:
        """Report the ended runs to the observer: while others warm up, so that what it computes delays no run."""
        for record in self._unreported:
            self._observer.run_finished(record)
        self._unreported = []

    def _is_tried_alone(self, planned: PlannedRun, run: ActiveRun) -> bool:
        """Whether a run that ran out of memory beside others is to be tried once more alone."""
        out_of_memory = run.outcome is not None and run.outcome.state == "out_of_memory"
        may_try = not planned.step and self._memory_fit.allows_turns and planned not in self._runs_alone
        return out_of_memory and may_try
