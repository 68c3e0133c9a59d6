"""The search that finds a combining strategy, replayed from the records of its steps: greedy, one change at a time.

The records of the steps are the only memory: what each combined tells what was kept before it, so that the search goes
on after a crash where it stopped, and the report tells the path that was taken. A pure function of the records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.ranking import same_work, spread
from gpuprobe.ranking.ranking import Search, SearchStep
from gpuprobe.ranking.rates import run_rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ranking.ranking import Ranking
    from gpuprobe.ranking.rates import Interval
    from gpuprobe.records import LossPoint, Run, StrategyInfo

SINGLE_STEP = 0


def candidates(start: str | None, ranking: Ranking) -> list[str]:
    """Return the strategies that differ in one thing from `start`, gained by it beyond the noise, and kept the loss."""
    return [
        row.strategy
        for row in ranking.rows
        if row.against == start and row.gain and row.gain.low > 1 and not any("loss" in mark for mark in row.marks)
    ]


def order(candidates: Sequence[str], ranking: Ranking) -> list[str]:
    """Return the changes in the order in which they are tried: the one that gained most by itself first."""
    gains = {row.strategy: row.gain.value for row in ranking.rows if row.gain}
    return sorted(candidates, key=lambda name: -gains.get(name, 0.0))


def search(info: StrategyInfo, singles: Ranking, runs: Sequence[Run], at_most: int | None = None) -> Search:
    """Replay the search for `info` from all runs of its study; say what it keeps so far, and what it measures next.

    `singles` ranks the runs that are no step of a search. A step is compared with the one kept before it, the first
    with the strategy that `info` is compared with. At most so many changes are tried where that is given.
    """
    noise = _Noise.of([run for run in runs if run.spec.step == SINGLE_STEP])
    steps = sorted(
        (run for run in runs if run.spec.strategy == info.name and run.spec.step and _is_settled(run)),
        key=lambda run: run.spec.step,
    )
    told: list[SearchStep] = []
    tried: list[str] = []
    last = info.against
    kept: tuple[str, ...] = ()
    measured: int | None = None
    for place, run in enumerate(steps):
        name, rate = f"{info.name}, step {run.spec.step}", run_rate(run)
        if rate:
            noise.rates[name] = {run.spec.round: rate}
        change = next((added for added in run.spec.combines if added not in kept), None)
        if change is None:
            # Nothing was kept, and what that trains as was measured, so that the strategy has a row.
            measured = run.spec.step if rate else None
            continue
        tried.append(change)
        gain = noise.gain(name, last, run.spec.round)
        why_not = _why_not(run, gain, noise.mark(name, run.losses))
        following = steps[place + 1].spec.combines if place + 1 < len(steps) else None
        # The next step tells whether this one was kept when it was measured; runs since then may say otherwise.
        keeps = not why_not if following is None else following[: len(run.spec.combines)] == run.spec.combines
        told.append(
            SearchStep(
                step=run.spec.step,
                change=change,
                combines=run.spec.combines,
                predicted=_alone(change, singles),
                samples_per_s=noise.rate(name),
                gain=gain,
                kept=keeps,
                reason=_reason(why_not, keeps=keeps),
            )
        )
        if keeps:
            last, kept, measured = name, run.spec.combines, run.spec.step
    left = [name for name in order(candidates(info.against, singles), singles) if name not in tried]
    ends = not left or (at_most is not None and len(tried) >= at_most)
    missing = kept if measured is None and not _was_tried_bare(steps, kept) else None
    return Search(
        strategy=info.name,
        start=info.against,
        steps=tuple(told),
        kept=kept,
        left=tuple(left),
        at_most=at_most,
        measured=measured,
        following=missing if ends else (*kept, left[0]),
    )


@dataclass
class _Noise:
    """What two runs of the same differ by on this machine, learnt from the runs that are no steps; and all rates."""

    rates: spread.Rates
    curves: dict[str, Sequence[LossPoint]]
    between: spread.Spread
    residual: spread.Spread

    @classmethod
    def of(cls, runs: Sequence[Run]) -> _Noise:
        rates: spread.Rates = {}
        curves: dict[str, Sequence[LossPoint]] = {}
        for run in runs:
            if rate := run_rate(run):
                rates.setdefault(run.spec.strategy, {})[run.spec.round] = rate
                curves[run.spec.strategy] = max(curves.get(run.spec.strategy, ()), run.losses, key=len)
        return cls(rates, curves, spread.between_rounds(rates), spread.without_drift(rates))

    def rate(self, name: str) -> Interval | None:
        return spread.rate_interval(self.rates[name], self.between) if name in self.rates else None

    def gain(self, name: str, against: str | None, number: int) -> Interval | None:
        own, others = self.rates.get(name), self.rates.get(against or "")
        if not own or not others:
            return None
        # Where it failed in the round of the step, another round of it has to do.
        return spread.ratio_interval(
            own, {number: others.get(number, others[max(others)])}, self.between, self.residual
        )

    def mark(self, name: str, losses: Sequence[LossPoint]) -> str | None:
        return same_work.off_the_band({**self.curves, name: losses}).get(name)


def _is_settled(run: Run) -> bool:
    """Whether it counts as a step: one that was stopped with its study is measured again."""
    return run.outcome.state != "interrupted"


def _was_tried_bare(steps: Sequence[Run], kept: tuple[str, ...]) -> bool:
    return any(run.spec.combines == kept for run in steps)


def _why_not(run: Run, gain: Interval | None, mark: str | None) -> str | None:
    if run.outcome.state != "done":
        state = run.outcome.state.replace("_", " ")
        return f"{state}: {run.outcome.message}" if run.outcome.message else state
    if gain is None:
        return "its window holds too few steps for a rate"
    if mark:
        return mark
    if gain.low > 1:
        return None
    return "slower" if gain.high < 1 else "no gain beyond the noise"


def _reason(why_not: str | None, *, keeps: bool) -> str:
    if not keeps:
        return why_not or "no gain beyond the noise when it was measured; the runs since then say otherwise"
    return "faster beyond the noise" + (
        " when it was measured; with the runs since then, " + why_not if why_not else ""
    )


def _alone(change: str, singles: Ranking) -> Interval | None:
    row = singles.row(change)
    return row.gain if row else None
