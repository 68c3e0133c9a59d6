"""The candidates of a search: changes on top of those kept, their predicted gains, and which are worth a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gpuprobe import wording
from gpuprobe.ranking.search_records import ExpectedGain
from gpuprobe.records import Run, StrategyInfo, applied, chain
from gpuprobe.search.allowed_error import allowed_error
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from gpuprobe.ranking.rates import Interval
    from gpuprobe.ranking.search_rates import SearchRates
    from gpuprobe.ranking.search_records import Search, SearchStep
    from gpuprobe.search.forecast import PredictedGain

# A smaller predicted gain is within the error of predictions, and not worth a run.
WORTH_A_RUN = 1 + fixed.FINEST


class PredictGains(Protocol):
    """Predicts the gains of changes to a run from its trace; `loop` is whether a Python loop feeds that run."""

    def __call__(
        self, base: tuple[Path, Run] | None, infos: Sequence[StrategyInfo], *, loop: bool
    ) -> Mapping[str, PredictedGain]:
        """Return a prediction for each change, by name."""


@dataclass(frozen=True)
class SearchBasis:
    """What a search decides by.

    `infos` are all strategies by name, `candidates` those that apply to the workload, `runs` all runs by folder and
    `rates` their rates. `predict_gains` predicts from a trace. `failed` says by strategy why none of its runs finished.
    `most_runs` limits the search's runs, None where it may try all changes with a predicted gain.
    """

    infos: Mapping[str, StrategyInfo]
    candidates: Sequence[StrategyInfo]
    runs: Mapping[Path, Run]
    rates: SearchRates
    predict_gains: PredictGains
    failed: Mapping[str, str]
    most_runs: int | None = None

    def part(self, change: str) -> str:
        """Return the part of the training that a change concerns, empty if unknown."""
        info = self.infos.get(without_size(change))
        return info.part if info else ""


def without_size(change: str) -> str:
    """Return the name of a change without its size."""
    return change.partition("=")[0]


def rate_name(search: Search, step: SearchStep) -> str:
    """Return the name under which the rate of a `SearchStep` was measured.

    It is that of an equal strategy of the study, or of the step's own run.
    """
    return step.measured_as or f"{search.strategy}, run {step.run}"


def rate_name_of_kept(search: Search) -> str:
    """Return the `rate_name` of the last run of the search that was kept, which has all changes kept so far.

    The start strategy where none was kept.
    """
    last_kept_step = next((step for step in reversed(search.steps) if step.kept), None)
    return rate_name(search, last_kept_step) if last_kept_step else search.start


def expected_gains(search: Search, basis: SearchBasis) -> list[ExpectedGain]:
    """Return the predicted gain of each change that is neither kept nor tried yet."""
    applied_already = set(applied(basis.infos, search.start, search.kept))
    tried = {without_size(step.change) for step in search.steps}
    loop = basis.part(search.start) == "loop" and not any(basis.part(change) == "feed" for change in search.kept)
    untried = [
        info
        for info in basis.candidates
        if info.name not in applied_already and info.name not in tried and not (loop and info.part == "fit")
    ]
    predictions = basis.predict_gains(_traced_run(search, basis), untried, loop=loop)
    return [
        ExpectedGain(
            change=predictions[info.name].change,
            predicted=predictions[info.name].gain,
            missing=predictions[info.name].missing,
            measured_alone=_measured_alone(info, search, basis),
        )
        for info in untried
    ]


def best_change(search: Search, basis: SearchBasis, candidates: Sequence[ExpectedGain]) -> ExpectedGain | None:
    """Return the change with the largest predicted gain that is worth a run, None where there is none."""
    worth_a_run = [expected for expected in candidates if why_untried(expected, search, basis) is None]
    # Changes that free the input have equal predictions: prefer the one with the largest measured gain.
    return max(
        worth_a_run,
        key=lambda expected: (
            round(expected.ratio, 2),
            expected.measured_alone.value if expected.measured_alone else 0.0,
        ),
        default=None,
    )


def why_untried(expected: ExpectedGain, search: Search, basis: SearchBasis) -> str | None:
    """Return why a change is not worth trying on top of those kept, None where it is."""
    name = without_size(expected.change)
    if basis.part(name) == "batch":
        return "it changes the batch size and with it what is learnt, which a search must not do"
    if name in basis.failed:
        return f"by itself it {basis.failed[name]}"
    if loss := basis.rates.loss_difference(name):
        return f"its loss curve differs: {loss}"
    return _why_too_little(expected, search, basis) or _why_out_of_runs(expected, search, basis)


def equal_strategy(search: Search, change: str, basis: SearchBasis) -> str:
    """Return a measured strategy that makes exactly the kept changes and this one; empty where there is none."""
    changes = set(applied(basis.infos, search.start, (*search.kept, change)))
    measured_strategies = (
        name for name in basis.rates.by_name if name in basis.infos and not basis.infos[name].combines
    )
    return next((name for name in measured_strategies if set(chain(basis.infos, name)) == changes), "")


def _why_too_little(expected: ExpectedGain, search: Search, basis: SearchBasis) -> str | None:
    if not expected.by:
        return f"{expected.missing}, and it was not measured by itself"
    info = basis.infos[without_size(expected.change)]
    alone = basis.rates.compared.beyond(info.name, _strategy_without(info, search, basis))
    if alone == "slower":
        return "it was slower by itself"
    if expected.by == "runs" and alone != "faster" and equal_strategy(search, expected.change, basis):
        # Its runs are the same as a run of the search would be.
        return "no gain beyond the noise"
    least_gain = basis.rates.least_gain(rate_name_of_kept(search), allowed_error(search))
    if expected.ratio < WORTH_A_RUN or expected.most <= least_gain:
        return "its predicted gain is within the noise"
    return None


def _why_out_of_runs(expected: ExpectedGain, search: Search, basis: SearchBasis) -> str | None:
    runs_taken = sum(step.run > 0 for step in search.steps)
    if basis.most_runs is None or runs_taken < basis.most_runs or equal_strategy(search, expected.change, basis):
        return None
    return f"the search of this study takes {wording.count(basis.most_runs, 'run')} at most"


def _measured_alone(info: StrategyInfo, search: Search, basis: SearchBasis) -> Interval | None:
    """Return the gain measured for the change's own strategy; None where it was not measured."""
    return basis.rates.gain(info.name, _strategy_without(info, search, basis))


def _strategy_without(info: StrategyInfo, search: Search, basis: SearchBasis) -> str:
    """Return the strategy that shows what a change gains by itself.

    A feed's is the feed that was kept last, any other's the strategy that it changes.
    """
    if info.part != "feed":
        return info.against or search.start
    kept_feeds = [change for change in search.kept if basis.part(change) == "feed"]
    return without_size(kept_feeds[-1]) if kept_feeds else search.start


def _traced_run(search: Search, basis: SearchBasis) -> tuple[Path, Run] | None:
    """Return the last traced run with the changes kept so far, its folder first; None where none was traced."""
    last_kept_step = next((step for step in reversed(search.steps) if step.kept), None)
    if last_kept_step is None:
        strategy, number = search.start, 0
    else:
        strategy, number = last_kept_step.measured_as or search.strategy, last_kept_step.run
    runs = [(path, run) for path, run in basis.runs.items() if (run.spec.strategy, run.spec.step) == (strategy, number)]
    return next(((path, run) for path, run in reversed(runs) if run.trace and run.trace.path), None)
