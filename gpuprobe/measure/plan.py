"""Which runs a study has, and in which order; what a search may add to them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.recording import load_runs

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from gpuprobe.records import Study


# As many changes as are seldom measured already and promise something; a search may take more where there is time.
USUAL_SEARCH_RUNS = 3


@dataclass(frozen=True)
class Planned:
    """One run of the plan: its round, from 1, and its strategy's name; `step` is that of a search, from 1."""

    round: int
    strategy: str
    step: int = 0


def plan_rounds(study: Study, skipped: Collection[str] = ()) -> list[Planned]:
    """Return all runs in order: every second round reversed, so that drift of the machine falls on all alike.

    Each round begins with the study's first strategy, with which the others take turns. A study of one round has it
    once more, halfway: a control, which tells what two runs of the same differ by. Those that cannot apply to the
    workload are `skipped`. What combines others is no part of this plan: its search follows all else, when the noise of
    this machine is known best.
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
    """Return a further run of the first strategy, for others to take turns with: the one that did is gone."""
    return Planned(1 + max((run.round for run in done if run.strategy == first), default=0), first)


def in_order(waiting: Sequence[Planned], names: Sequence[str], first: str) -> list[Planned]:
    """Return what waits, each round in the order of `names`, every second round in the reverse of it.

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
    """How many runs a search may still take, for sharing out the time: its changes, and one of what it kept."""
    most = USUAL_SEARCH_RUNS if study.request.search_steps is None else study.request.search_steps
    return max(1, most + 1 - done)


def forget_failed_end(folder: Path, strategy: str) -> None:
    """Remove the last steps of a search that did not end well, so that a resumed study measures them again.

    One that failed before a good step stays: it was dropped, and what followed builds on that.
    """
    steps = {path: run for path, run in load_runs(folder).items() if run.spec.strategy == strategy and run.spec.step}
    for path, run in sorted(steps.items(), key=lambda item: -item[1].spec.step):
        if run.outcome.state == "done":
            return
        shutil.rmtree(path, ignore_errors=True)
