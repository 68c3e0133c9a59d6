"""Plans the runs of a study and their order, and how many runs a search may add."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gpuprobe.recording import load_runs
from gpuprobe.records import RunSpec

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from gpuprobe.records import Combination, Study


# How many changes a search is expected to try, for dividing the time; it may try more if there is time.
EXPECTED_SEARCH_RUNS = 3


@dataclass(frozen=True)
class PlannedRun:
    """One run of the plan: its round, from 1, and its strategy's name; `step` counts the runs of a search, from 1."""

    round: int
    strategy: str
    step: int = 0

    def spec(self, study: Study, data_folder: str = "") -> RunSpec:
        """Return the spec of this run by the study's request; the length of its window keeps its default."""
        request = study.request
        return RunSpec(
            strategy=self.strategy,
            round=self.round,
            step=self.step,
            seed=request.seed,
            batch_size=request.batch_size,
            depth=request.depth,
            model=request.model,
            data=data_folder,
            inject=request.inject,
        )


class Choose(Protocol):
    """A search's choice of what to measure next, for a strategy that combines others."""

    def __call__(self, folder: Path, strategy: str) -> Combination | None:
        """Return what to combine next, by the runs in the study's folder; None where the search has ended."""


class Order(Protocol):
    """Orders the strategies by predicted gain, once the baseline has been measured."""

    def __call__(self, folder: Path, strategies: Sequence[str]) -> Sequence[str] | None:
        """Return the strategies, the most promising first; None where nothing can be predicted."""


def baseline_of(study: Study, skipped: Collection[str] = ()) -> str:
    """Return the strategy with which the others take turns: the first that is not skipped and combines no others.

    It is empty where there is none.
    """
    return next((info.name for info in study.strategies if not info.combines and info.name not in skipped), "")


def plan_rounds(study: Study, skipped: Collection[str] = ()) -> list[PlannedRun]:
    """Return all runs in order; every second round is reversed, so that drift affects all strategies alike.

    Each round begins with the baseline (`baseline_of`), with which the others take turns. A study of one round runs the
    baseline again halfway, as a control: it shows how much two runs of one strategy differ. `skipped` are strategies
    that cannot apply to the workload. Strategies that combine others are not in the plan: their searches
    come last, when the noise of the machine is best known.
    """
    applicable = [strategy for strategy in study.strategies if strategy.name not in skipped]
    names = [strategy.name for strategy in applicable if not strategy.combines]
    planned = [
        PlannedRun(round_number, name)
        for round_number in range(1, study.request.rounds + 1)
        for name in _baseline_first(names, backwards=round_number % 2 == 0)
    ]
    return _with_control(planned) if study.request.rounds == 1 and names and len(applicable) > 1 else planned


def _baseline_first(names: Sequence[str], *, backwards: bool) -> list[str]:
    return [*names[:1], *(reversed(names[1:]) if backwards else names[1:])]


def _with_control(planned: list[PlannedRun]) -> list[PlannedRun]:
    half = len(planned) // 2 + 1
    return [*planned[:half], PlannedRun(2, planned[0].strategy), *planned[half:]]


def next_baseline_run(
    waiting: Collection[PlannedRun],
    measured: Collection[PlannedRun],
    baseline: str,
    alone: Collection[PlannedRun] = (),
) -> PlannedRun:
    """Return the run of the baseline that others take turns with next, where its previous process is gone.

    It is the first that waits, unless it is among those that memory holds only `alone`. Where there is none it is one
    more, with a number that no other has.
    """
    waiting_runs = [run for run in waiting if run.strategy == baseline and run not in alone]
    taken = [run.round for run in (*measured, *waiting) if run.strategy == baseline]
    return waiting_runs[0] if waiting_runs else PlannedRun(1 + max(taken, default=0), baseline)


def reordered(waiting: Sequence[PlannedRun], names: Sequence[str], baseline: str) -> list[PlannedRun]:
    """Return the waiting runs with each round in the order of `names`, and every second round in reverse.

    Runs of the `baseline` strategy stay where they are.
    """
    place_by_name = {name: number for number, name in enumerate(names, start=1)}
    reordered_others = iter(
        sorted(
            (run for run in waiting if run.strategy != baseline),
            key=lambda run: (run.round, place_by_name.get(run.strategy, 0) * (1 if run.round % 2 else -1)),
        )
    )
    return [run if run.strategy == baseline else next(reordered_others) for run in waiting]


def expected_runs(study: Study, done_runs: int) -> int:
    """Return how many more runs to expect of a search, to divide the time: one a change, and one of the result."""
    most_runs = EXPECTED_SEARCH_RUNS if study.request.search_steps is None else study.request.search_steps
    return max(1, most_runs + 1 - done_runs)


def remove_failed_last_steps(folder: Path, strategy: str) -> None:
    """Remove the failed steps at the end of a search, so that a resumed study measures them again.

    A failed step before a good one stays: the search dropped it, and its later steps build on that.
    """
    steps = {path: run for path, run in load_runs(folder).items() if run.spec.strategy == strategy and run.spec.step}
    for path, run in sorted(steps.items(), key=lambda item: -item[1].spec.step):
        if run.outcome.state == "done":
            return
        shutil.rmtree(path, ignore_errors=True)
