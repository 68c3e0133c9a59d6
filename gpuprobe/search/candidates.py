"""The candidates of a search: changes on top of those kept, their predicted gains, and which are worth a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gpuprobe import wording
from gpuprobe.ranking.search_records import Promise
from gpuprobe.records import Run, StrategyInfo, applied, chain
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from gpuprobe.ranking.noise import Noise
    from gpuprobe.ranking.rates import Interval
    from gpuprobe.ranking.search_records import Search, SearchStep
    from gpuprobe.search.forecast import Foretold

# A smaller predicted gain is within the error of predictions, and not worth a run.
WORTH_A_RUN = 1 + fixed.FINEST


class Foretell(Protocol):
    """Predicts the gain of changes from the trace of a run; `loop` is whether a Python loop feeds that run."""

    def __call__(
        self, base: tuple[Path, Run] | None, infos: Sequence[StrategyInfo], *, loop: bool
    ) -> Mapping[str, Foretold]:
        """Return a prediction for each change, by name."""


@dataclass(frozen=True)
class Basis:
    """What a search decides by: strategies by name, those that can be applied, all runs, and their rate ratios.

    `failed` says by strategy why none of its runs finished. `most_runs` limits the search's runs, None where it
    may try all changes with a predicted gain.
    """

    infos: Mapping[str, StrategyInfo]
    candidates: Sequence[StrategyInfo]
    runs: Mapping[Path, Run]
    noise: Noise
    foretell: Foretell
    failed: Mapping[str, str]
    most_runs: int | None = None

    def part(self, change: str) -> str:
        """Return the part of the training that a change concerns, empty if unknown."""
        info = self.infos.get(plain(change))
        return info.part if info else ""


def plain(change: str) -> str:
    """Return the name of a change without its size."""
    return change.partition("=")[0]


def name_of(search: Search, step: SearchStep) -> str:
    """Return the name under which a step's rate was measured: an equal strategy of the study, or the step's own run."""
    return step.measured_as or f"{search.strategy}, run {step.run}"


def last_kept(search: Search) -> str:
    """Return the name under which the rate of the changes kept so far was measured."""
    step = next((step for step in reversed(search.steps) if step.kept), None)
    return name_of(search, step) if step else search.start


def promises(search: Search, known: Basis) -> list[Promise]:
    """Return the predicted gain of each change that is neither kept nor tried yet."""
    applied_already = set(applied(known.infos, search.start, search.kept))
    tried = {plain(step.change) for step in search.steps}
    loop = known.part(search.start) == "loop" and not any(known.part(change) == "feed" for change in search.kept)
    left = [
        info
        for info in known.candidates
        if info.name not in applied_already and info.name not in tried and not (loop and info.part == "fit")
    ]
    foretold = known.foretell(_traced(search, known), left, loop=loop)
    return [
        Promise(
            change=foretold[info.name].change,
            foretold=foretold[info.name].gain,
            hindrance=foretold[info.name].hindrance,
            alone=_alone(info, search, known),
        )
        for info in left
    ]


def best(search: Search, known: Basis, among: Sequence[Promise]) -> Promise | None:
    """Return the change with the largest predicted gain that is worth a run, None where there is none."""
    worth = [promise for promise in among if why_left(promise, search, known) is None]
    # Changes that free the input have equal predictions: prefer the one with the largest measured gain.
    return max(
        worth,
        key=lambda promise: (round(promise.ratio, 2), promise.alone.value if promise.alone else 0.0),
        default=None,
    )


def why_left(promise: Promise, search: Search, known: Basis) -> str | None:
    """Return why a change is not worth trying on top of those kept, None where it is."""
    name = plain(promise.change)
    if known.part(name) == "batch":
        return "it changes the batch size and with it what is learnt, which a search must not do"
    if name in known.failed:
        return f"by itself it {known.failed[name]}"
    if loss := known.noise.other_loss(name):
        return f"its loss curve differs: {loss}"
    return _too_little(promise, search, known) or _out_of_runs(promise, search, known)


def same_as(search: Search, change: str, known: Basis) -> str:
    """Return a measured strategy that makes exactly the kept changes and this one; empty where there is none."""
    wanted = set(applied(known.infos, search.start, (*search.kept, change)))
    measured = (name for name in known.noise.rates if name in known.infos and not known.infos[name].combines)
    return next((name for name in measured if set(chain(known.infos, name)) == wanted), "")


def _too_little(promise: Promise, search: Search, known: Basis) -> str | None:
    if not promise.by:
        return f"{promise.hindrance}, and it was not measured by itself"
    if promise.alone and promise.alone.high < 1:
        return "it was slower by itself"
    if promise.by == "runs" and promise.alone and promise.alone.low <= 1 and same_as(search, promise.change, known):
        # Its runs are the same as a run of the search would be.
        return "no gain beyond the noise"
    if promise.ratio < WORTH_A_RUN or promise.most <= known.noise.least_gain(last_kept(search)):
        return "its predicted gain is within the noise"
    return None


def _out_of_runs(promise: Promise, search: Search, known: Basis) -> str | None:
    taken = sum(step.run > 0 for step in search.steps)
    if known.most_runs is None or taken < known.most_runs or same_as(search, promise.change, known):
        return None
    return f"the search of this study takes {wording.count(known.most_runs, 'run')} at most"


def _alone(info: StrategyInfo, search: Search, known: Basis) -> Interval | None:
    """The measured gain of the change's own strategy: over the kept feed, or over the strategy it is compared with."""
    against = info.against or search.start
    if info.part == "feed":
        feeds = [change for change in search.kept if known.part(change) == "feed"]
        against = plain(feeds[-1]) if feeds else search.start
    return known.noise.gain(info.name, against)


def _traced(search: Search, known: Basis) -> tuple[Path, Run] | None:
    """The last traced run with the changes kept so far."""
    step = next((step for step in reversed(search.steps) if step.kept), None)
    strategy = search.strategy if step and step.run else (step.measured_as if step else search.start)
    wanted = (strategy, step.run if step else 0)
    runs = [(path, run) for path, run in known.runs.items() if (run.spec.strategy, run.spec.step) == wanted]
    return next(((path, run) for path, run in reversed(runs) if run.trace and run.trace.path), None)
