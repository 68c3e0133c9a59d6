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


def candidates(start: str | None, ranking: Ranking) -> list[str]:
    """Return the strategies that differ in one thing from `start`, gained by it beyond the noise, and kept the loss."""
    return [
        row.strategy
        for row in ranking.rows
        if row.against == start and row.gain and row.gain.low > 1 and not any("loss" in mark for mark in row.marks)
    ]


def order(candidates: Sequence[str], ranking: Ranking) -> list[str]:
    """Return the changes as they are tried where no trace knows better: the one that gained most alone first."""
    gains = {row.strategy: row.gain.value for row in ranking.rows if row.gain}
    return sorted(candidates, key=lambda name: -gains.get(name, 0.0))


def search(info: StrategyInfo, singles: Ranking, runs: Sequence[Run], at_most: int | None = None) -> Search:
    """Replay the search for `info` from all runs of its study; say what it keeps so far, and what it measures next.

    `singles` ranks the runs that are no step of a search. The change that gained most by itself needs no run more: it
    is kept as it was measured. Each step after it is compared with the one kept before it. At most so many changes are
    tried on top of the first where that is given.
    """
    steps = sorted((run for run in runs if run.spec.strategy == info.name and _is_step(run)), key=lambda r: r.spec.step)
    ordered = order(candidates(info.against, singles), singles)
    path = _Path(info, singles, _Noise.of([run for run in runs if not run.spec.step]))
    first = next((run.spec.combines[0] for run in steps if run.spec.combines), ordered[0] if ordered else None)
    if first is not None:
        path.begin(first)
    for place, run in enumerate(steps):
        path.take(run, steps[place + 1].spec.combines if place + 1 < len(steps) else None)
    tried = [step.change for step in path.told]
    left = tuple(name for name in ordered if name not in tried)
    ends = not left or (at_most is not None and len(tried) > at_most)
    # What is kept in the end has a run of its own, so that the strategy has a row beside the others.
    missing = path.kept if all(run.spec.combines != path.kept for run in steps) else None
    return Search(
        strategy=info.name,
        start=info.against,
        steps=tuple(path.told),
        kept=path.kept,
        left=left,
        at_most=at_most,
        measured=path.measured,
        following=missing if ends else (*path.kept, left[0]),
    )


class _Path:
    """The way so far: what is kept, and which run measured it."""

    def __init__(self, info: StrategyInfo, singles: Ranking, noise: _Noise) -> None:
        self._info, self._singles, self._noise = info, singles, noise
        self._last = info.against
        self.told: list[SearchStep] = []
        self.kept: tuple[str, ...] = ()
        self.measured: int | None = None

    def begin(self, change: str) -> None:
        """Keep the first change as its own runs measured it."""
        row = self._singles.row(change)
        self._last, self.kept = change, (change,)
        self.told.append(
            SearchStep(
                step=0,
                change=change,
                combines=(change,),
                samples_per_s=row.samples_per_s if row else None,
                gain=row.gain if row else None,
                kept=True,
                reason="it gained most by itself",
            )
        )

    def take(self, run: Run, following: tuple[str, ...] | None) -> None:
        """Take in one step; `following` is what the next one combined, where there was one."""
        spec, rate = run.spec, run_rate(run)
        change = next((added for added in spec.combines if added not in self.kept), None)
        if change is None:
            if rate and spec.combines == self.kept:
                self.measured = spec.step
            return
        name = f"{self._info.name}, step {spec.step}"
        if rate:
            self._noise.rates[name] = {spec.round: rate}
        gain = self._noise.gain(name, self._last, spec.round)
        why_not = _why_not(run, gain, self._noise.mark(name, run.losses))
        # The next step tells whether this one was kept when it was measured; runs since then may say otherwise.
        keeps = not why_not if following is None else following[: len(spec.combines)] == spec.combines
        row = self._singles.row(change)
        self.told.append(
            SearchStep(
                step=spec.step,
                change=change,
                combines=spec.combines,
                predicted=row.gain if row else None,
                samples_per_s=self._noise.rate(name),
                gain=gain,
                kept=keeps,
                reason=_reason(why_not, keeps=keeps),
            )
        )
        if keeps:
            self._last, self.kept, self.measured = name, spec.combines, spec.step


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


def _is_step(run: Run) -> bool:
    """Whether it counts as a step: one that was stopped with its study is measured again."""
    return run.spec.step > 0 and run.outcome.state != "interrupted"


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
