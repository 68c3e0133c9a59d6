"""Runs a study: decides which runs are measured next, which of them together, and for how long."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import msgspec

from gpuprobe.errors import GpuprobeError
from gpuprobe.measure.beside_gpu import watching
from gpuprobe.measure.budget import (
    LONGEST_QUICK_WINDOW_S,
    LONGEST_WINDOW_S,
    SHORTEST_TURNS_S,
    SHORTEST_WINDOW_S,
    TURNS_WINDOW_S,
    Budget,
)
from gpuprobe.measure.plan import Planned, expected_runs, in_order, once_more
from gpuprobe.measure.room import Room
from gpuprobe.measure.turns import Turns
from gpuprobe.recording import STUDY_FILE, WEIGHTS_FILE
from gpuprobe.records import Combination, save

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gpuprobe.measure.active import ActiveRun
    from gpuprobe.measure.stage import Observer, Stage
    from gpuprobe.records import Run, RunSpec, StrategyInfo, Study

# The most runs that warm up at once, and the memory that each needs for TensorFlow and its training set.
MOST_LANES = 3
LANE_MIB = 4096
# Runs reserved for each search: one that tries a change, and one of the result.
KEPT_FOR_A_SEARCH = 2


class Choose(Protocol):
    """A search's choice of what to measure next, for a strategy that combines others."""

    def __call__(self, folder: Path, strategy: str) -> Combination | None:
        """Return what to combine next, by the runs in the study's folder; None where the search has ended."""


class Order(Protocol):
    """Orders the strategies by predicted gain, once the baseline has been measured."""

    def __call__(self, folder: Path, strategies: Sequence[str]) -> Sequence[str] | None:
        """Return the strategies, the most promising first; None where nothing can be predicted."""


class Runner:
    """The state of a study: runs that wait, runs that are alive, and the time left."""

    def __init__(
        self,
        study: Study,
        folder: Path,
        data_folder: str,
        stage: Stage,
        observer: Observer,
        choose: Choose,
        order: Order | None,
    ) -> None:
        self._study, self._folder, self._data_folder = study, folder, data_folder
        self._stage, self._observer, self._choose, self._order = stage, observer, choose, order
        self._lanes = _lanes(study)
        self._room = Room(study.environment, turns=_may_take_turns(study))
        longest_s = LONGEST_QUICK_WINDOW_S if study.request.quick else LONGEST_WINDOW_S
        shortest_s = TURNS_WINDOW_S + SHORTEST_TURNS_S if self._room.turns else SHORTEST_WINDOW_S
        self._budget = Budget(study.request.budget_s, time.monotonic(), longest_s, shortest_s)
        self._first = next((info.name for info in study.strategies if not info.combines), "")
        self._of_several = any(info.backend not in {"", study.request.backend} for info in study.strategies)
        self._anchor: ActiveRun | None = None
        self._measured: list[Planned] = []
        self._alone: set[Planned] = set()
        self._waiting: list[Planned] = []
        self._unreported: list[Run] = []
        self._done = 0

    def carry_out(self, waiting: list[Planned], searched: Sequence[str], done: Sequence[Run]) -> list[Planned]:
        """Measure as much as the time allows; return the runs not measured, those of searches included."""
        self._waiting = waiting
        self._measured = [Planned(run.spec.round, run.spec.strategy) for run in done if not run.spec.step]
        laps = max((phase.lap for run in done for phase in run.phases), default=0)
        gpus = self._study.environment.gpus
        with watching(gpus[0].index if gpus and self._room.turns else None) as gpu:
            self._gpu, self._turns = gpu, Turns(self._stage, self._study.request.seed, laps, gpu)
            left = self._measure_all(searched)
        self._report_ended()
        self._note_lack_of_memory()
        return [*self._waiting, *left]

    def _measure_all(self, searched: Sequence[str]) -> list[Planned]:
        """Measure the plan and the searches; return the searches' runs not measured."""
        # The searches come before the least promising runs of the plan.
        self._measure_plan(len(searched), kept_back=KEPT_FOR_A_SEARCH * len(searched))
        left = self._measure_searches(searched)
        if self._waiting and not left:
            # The searches took less than was reserved; more runs of the plan may give them new results.
            self._measure_plan(0, kept_back=0)
            left = self._measure_searches(searched)
        self._replace_anchor(None)
        return left

    def _note_lack_of_memory(self) -> None:
        """Write into the study's record which runs could not take turns, since memory did not hold them."""
        alone = sorted(self._alone, key=lambda planned: planned.round)
        if notes := self._room.notes([planned.strategy for planned in alone]):
            all_notes = tuple(dict.fromkeys((*self._study.notes, *notes)))
            save(msgspec.structs.replace(self._study, notes=all_notes), self._folder / STUDY_FILE)

    def _measure_plan(self, searches: int, kept_back: int) -> None:
        """Measure the plan while time lasts, with time reserved for `kept_back` runs of the searches."""
        while self._waiting:
            self._waiting = self._most_promising_first(self._waiting)
            if not self._budget.allows(time.monotonic(), 1, kept_back, self._lanes):
                return
            runs_left = len(self._waiting) + searches * expected_runs(self._study, 0)
            group = self._next_group()
            self._measure_group(group, runs_left)

    def _measure_searches(self, searched: Sequence[str]) -> list[Planned]:
        """Measure the runs of each search until it ends or time runs out; return the runs not measured."""
        left = []
        for name in searched:
            taken = 0
            while (chosen := self._choose(self._folder, name)) is not None:
                planned = Planned(self._study.request.rounds, name, chosen.step)
                if not self._budget.allows(time.monotonic(), 0, 1, self._lanes):
                    left.append(planned)
                    break
                runs_left = expected_runs(self._study, taken)
                anchor = [once_more(self._measured, self._first)] if self._lacks_anchor else []
                self._measure_group([*anchor, planned], runs_left, sharing=self._lanes, chosen=chosen)
                taken += 1
        return left

    def _most_promising_first(self, waiting: list[Planned]) -> list[Planned]:
        """Order the waiting runs by predicted gain, once gains can be predicted; an error in predicting is ignored."""
        if self._order is None:
            return waiting
        with suppress(GpuprobeError):
            names = self._order(self._folder, list(dict.fromkeys(planned.strategy for planned in waiting)))
            if names is not None:
                self._order = None
                return in_order(waiting, names, self._first)
        return waiting

    def _next_group(self) -> list[Planned]:
        """Take the next runs that warm up together; where the baseline's process is gone, it is run again first."""
        size = self._room.size(self._lanes, self._gpu.free_mib if self._gpu else None)
        if not self._room.turns or self._waiting[0] in self._alone:
            self._replace_anchor(None)
        if self._waiting[0] in self._alone:
            size = 1
        elif self._lacks_anchor:
            self._waiting.insert(0, once_more(self._measured, self._first))
        group, self._waiting = self._waiting[:size], self._waiting[size:]
        return group

    @property
    def _lacks_anchor(self) -> bool:
        """Whether the baseline's process (the anchor), with which the others take turns, is gone."""
        return self._room.turns and self._anchor is None and any(run.strategy == self._first for run in self._measured)

    def _measure_group(
        self, group: Sequence[Planned], runs_left: int, sharing: int = 1, chosen: Combination | None = None
    ) -> None:
        """Measure the runs of a group, which warm up together, and learn what they cost outside their timed windows.

        `runs_left` counts the runs that the study still has time for, these included.
        """
        began_s = time.monotonic()
        share_s = self._budget.window_s(began_s, runs_left, sharing)
        runs = [self._stage.start(self._spec(planned, share_s, chosen)) for planned in group]
        self._report_ended()
        self._observer.run_started(runs[0].spec, self._done, self._done + runs_left)
        self._stage.until_ready(runs)
        for place, run in enumerate(runs):
            if place:
                self._observer.run_started(run.spec, self._done + place, self._done + runs_left)
            self._stage.measure(run)
            self._stage.save(run)
            self._room.learn(run.progress)
        timed_s = sum(run.progress.window_s for run in runs)
        turns_s = self._take_turns(runs, len(runs) * share_s - timed_s)
        self._conclude(group, runs)
        self._done += len(runs)
        self._budget.learn((time.monotonic() - began_s - timed_s - turns_s) / len(runs), sharing)

    def _take_turns(self, runs: Sequence[ActiveRun], left_s: float) -> float:
        """Let the runs take turns with the anchor, or with the first of them; return the seconds that it took."""
        began_s = time.monotonic()
        alive = [run for run in (self._anchor, *runs) if run is not None and run.outcome is None]
        if self._room.turns and len(alive) > 1:
            self._turns.take(alive, began_s + left_s)
        return time.monotonic() - began_s

    def _conclude(self, group: Sequence[Planned], runs: Sequence[ActiveRun]) -> None:
        """Save and end the runs of a group; a run of the baseline stays alive and becomes the new anchor."""
        for run in [*([self._anchor] if self._anchor else []), *runs]:
            # Save all before reporting any: runs that took turns are compared with each other.
            self._stage.save(run)
        for planned, run in zip(group, runs, strict=True):
            if run.is_measured and not planned.step:
                self._measured.append(planned)
            if self._room.turns and planned.strategy == self._first and run.outcome is None:
                self._replace_anchor(run)
            else:
                self._stage.end(run)
            if not self._is_tried_alone(planned, run):
                self._unreported.append(run.record())
            if planned.strategy != self._first and _failed_at_first(run):
                self._waiting = [later for later in self._waiting if later.strategy != planned.strategy]
        if self._anchor is not None and self._anchor.outcome is not None:
            self._replace_anchor(None)

    def _report_ended(self) -> None:
        """Report the ended runs to the observer; called while others warm up, so that its computing costs no time."""
        for record in self._unreported:
            self._observer.run_finished(record)
        self._unreported = []

    def _is_tried_alone(self, planned: Planned, run: ActiveRun) -> bool:
        """Whether a run that ran out of memory beside others is tried once more alone."""
        short = run.outcome is not None and run.outcome.state == "out_of_memory"
        if not short or planned.step or not self._room.turns or planned in self._alone:
            return False
        self._alone.add(planned)
        self._waiting.insert(0, planned)
        return True

    def _replace_anchor(self, run: ActiveRun | None) -> None:
        if self._anchor is not None:
            self._stage.end(self._anchor)
        self._anchor = run

    def _spec(self, planned: Planned, share_s: float, chosen: Combination | None) -> RunSpec:
        request = self._study.request
        steps = request.steps
        info = next(info for info in self._study.strategies if info.name == planned.strategy)
        if request.epochs is not None:
            steps = max(1, request.epochs * (self._study.train_samples // request.batch_size))
        return msgspec.structs.replace(
            planned.spec(self._study, self._data_folder),
            # The rest of its share of the time is for its turns.
            window_s=TURNS_WINDOW_S if self._room.turns and planned not in self._alone else share_s,
            steps=steps,
            # The traces of one run on several hosts are read together: the newest that each host has.
            trace_steps=request.trace_steps if request.worker_index is None or _spreads(info) else 0,
            combines=chosen.changes if chosen and planned.step else (),
            start=chosen.start if chosen and planned.step else "" if info.combines else info.against or "",
            backend=info.backend or request.backend,
            shared=str(self._folder.resolve() / WEIGHTS_FILE) if self._of_several else "",
        )


def _spreads(info: StrategyInfo) -> bool:
    return info.scale is not None and info.scale.role == "spread"


def _may_take_turns(study: Study) -> bool:
    """Whether runs may take turns: there are several strategies, and no fixed number of steps."""
    counted = study.request.steps is not None or study.request.epochs is not None
    # A worker of another host would have to know whose turn it is.
    return not counted and study.request.worker_index is None and len(study.strategies) > 1


def _failed_at_first(run: ActiveRun) -> bool:
    """Whether a run ended by an error or its limit before its first call was over, as another one would too."""
    return run.outcome is not None and run.outcome.state in {"failed", "timeout"} and run.progress.settings is None


def _lanes(study: Study) -> int:
    """Return how many runs may warm up at once: several on a processor, where tracing uses one core; one on a GPU.

    A run of several workers warms up alone, since it is several processes.
    """
    environment = study.environment
    if environment.gpus or study.request.workers:
        return 1
    return max(1, min(MOST_LANES, environment.cores, int(environment.memory_mib / LANE_MIB)))
