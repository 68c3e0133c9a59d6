"""Plans the runs of a study and their order, and what a search may add."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.recording import load_runs
from gpuprobe.records import RunSpec

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from gpuprobe.records import Study


# How many changes a search is expected to try, for dividing the time; it may try more if there is time.
USUAL_SEARCH_RUNS = 3


@dataclass(frozen=True)
class Planned:
    """One run of the plan: its round, from 1, and its strategy's name; `step` counts the runs of a search, from 1."""

    round: int
    strategy: str
    step: int = 0

    def spec(self, study: Study, data_folder: str = "") -> RunSpec:
        """Return the spec of this run as the study's request has it; how long it is measured is left as the usual."""
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


def plan_rounds(study: Study, skipped: Collection[str] = ()) -> list[Planned]:
    """Return all runs in order; every second round is reversed, so that drift affects all strategies alike.

    Each round begins with the study's first strategy, with which the others take turns. A study of one round runs it
    again halfway, as a control: how much two runs of the same strategy differ. Strategies that cannot apply to the
    workload are `skipped`. Those that combine others are not in this plan: their searches come last, when the noise of
    the machine is best known.
    """
    chosen = [strategy for strategy in study.strategies if strategy.name not in skipped]
    names = [strategy.name for strategy in chosen if not strategy.combines]
    planned = [
        Planned(number, name)
        for number in range(1, study.request.rounds + 1)
        for name in _from_first(names, backwards=number % 2 == 0)
    ]
    return _with_control(planned) if study.request.rounds == 1 and names and len(chosen) > 1 else planned


def _from_first(names: Sequence[str], *, backwards: bool) -> list[str]:
    return [*names[:1], *(reversed(names[1:]) if backwards else names[1:])]


def _with_control(planned: list[Planned]) -> list[Planned]:
    half = len(planned) // 2 + 1
    return [*planned[:half], Planned(2, planned[0].strategy), *planned[half:]]


def once_more(done: Collection[Planned], first: str) -> Planned:
    """Return another run of the first strategy for others to take turns with, where the previous one is gone."""
    return Planned(1 + max((run.round for run in done if run.strategy == first), default=0), first)


def in_order(waiting: Sequence[Planned], names: Sequence[str], first: str) -> list[Planned]:
    """Return the waiting runs with each round in the order of `names`, and every second round in reverse.

    Runs of the `first` strategy stay where they are.
    """
    place = {name: number for number, name in enumerate(names, start=1)}
    others = iter(
        sorted(
            (run for run in waiting if run.strategy != first),
            key=lambda run: (run.round, place.get(run.strategy, 0) * (1 if run.round % 2 else -1)),
        )
    )
    return [run if run.strategy == first else next(others) for run in waiting]


def expected_runs(study: Study, done: int) -> int:
    """Return how many runs a search may still take, to divide the time: one for each change, and one of the result."""
    most = USUAL_SEARCH_RUNS if study.request.search_steps is None else study.request.search_steps
    return max(1, most + 1 - done)


def forget_failed_end(folder: Path, strategy: str) -> None:
    """Remove the failed steps at the end of a search, so that a resumed study measures them again.

    A failed step before a good one stays: the search dropped it, and its later steps build on that.
    """
    steps = {path: run for path, run in load_runs(folder).items() if run.spec.strategy == strategy and run.spec.step}
    for path, run in sorted(steps.items(), key=lambda item: -item[1].spec.step):
        if run.outcome.state == "done":
            return
        shutil.rmtree(path, ignore_errors=True)
