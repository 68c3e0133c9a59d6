"""What to measure next: the strategies by predicted gain, and the next step of a search."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from gpuprobe.errors import InputError
from gpuprobe.ledger.breakdown import break_down
from gpuprobe.ranking.rows import baseline_of, rates_of
from gpuprobe.ranking.search_rates import SearchRates
from gpuprobe.ranking.search_records import Search
from gpuprobe.ranking.traced import known_in, timeline_of
from gpuprobe.recording import load_runs, load_study, search_file
from gpuprobe.records import Combination, load, save
from gpuprobe.search.candidates import SearchBasis
from gpuprobe.search.forecast import predict_gains
from gpuprobe.search.greedy import continue_search, without_missing_runs
from gpuprobe.whatif.predict import predict
from gpuprobe.whatif.records import Replay

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gpuprobe.ranking.load import Loaded
    from gpuprobe.records import Run, Study


def next_combination(folder: Path, strategy: str) -> Combination | None:
    """Return what the search for a combining strategy measures next, None where it has ended.

    Its decisions are saved in the study's folder: a search can resume from them, and the report shows them.
    """
    study, runs = load_study(folder), load_runs(folder)
    start = baseline_of(study, rates_of([run for run in runs.values() if not run.spec.step]))
    if start is None:
        return None
    basis = _search_basis(study, runs, start)
    saved_search = search_file(folder, strategy)
    search = Search(strategy=strategy, start=start)
    if saved_search.is_file():
        # Where the saved search cannot be read, its decisions are made again from the existing runs.
        with suppress(InputError):
            search = load(Search, saved_search)
    search = continue_search(without_missing_runs(search, runs.values()), basis)
    save(search, saved_search)
    if search.following is None:
        return None
    return Combination(start=search.start, changes=search.following, step=search.following_run)


def _search_basis(study: Study, runs: Mapping[Path, Run], start: str) -> SearchBasis:
    """Gather what a search decides by; strategies that were skipped in this study are no candidates."""
    runs_outside_searches = [run for run in runs.values() if not run.spec.step]
    rates = SearchRates.of(runs_outside_searches, start)
    outcomes_without_rate = {
        run.spec.strategy: run.outcome for run in runs_outside_searches if run.spec.strategy not in rates.by_name
    }
    skipped = {name for name, outcome in outcomes_without_rate.items() if outcome.state == "skipped"}
    infos = (*study.strategies, *study.changes)
    return SearchBasis(
        infos={info.name: info for info in infos},
        candidates=[info for info in infos if info.what_if and not info.combines and info.name not in skipped],
        runs=runs,
        rates=rates,
        predict_gains=partial(predict_gains, study=study, runs=runs),
        failed={
            name: f"{outcome.state.replace('_', ' ')}: {outcome.message}"
            for name, outcome in outcomes_without_rate.items()
            if name not in skipped and outcome.state not in {"done", "interrupted", "unreadable"}
        },
        most_runs=study.request.search_steps,
    )


def combined(loaded: Loaded, strategy: str) -> Combination:
    """Return what a combining strategy trains with: the changes that its search kept, and where it started.

    In studies from before the search existed the runs themselves say what they combined.
    """
    search, row = loaded.ranking.search(strategy), loaded.ranking.row(strategy)
    if search is not None:
        return Combination(start=search.start, changes=search.kept, step=0)
    return Combination(start=(row.against or "") if row else "", changes=row.combines if row else (), step=0)


def by_predicted_gain(folder: Path, strategies: Sequence[str]) -> tuple[str, ...] | None:
    """Order strategies by the gain that the baseline's trace predicts for what each changes, the largest first.

    A strategy without a prediction counts as no gain; ties keep their order. The strategy that another is compared with
    comes right before it. None where the baseline has no trace yet.
    """
    study = load_study(folder)
    infos = study.strategies
    runs = {path: run for path, run in load_runs(folder).items() if run.spec.strategy == infos[0].name and run.trace}
    if not runs:
        return None
    path, run = next(reversed(runs.items()))
    timeline, _ = timeline_of(path, run)
    facts = known_in(study, path, run)
    replay = predict(break_down(timeline), facts) if timeline is not None else Replay()
    predicted_ratio = {
        info.name: prediction.gain.ratio for info in infos if info.what_if and (prediction := replay.of(info.what_if))
    }
    reference = {info.name: info.against for info in infos}
    ordered: list[str] = []
    for name in sorted(strategies, key=lambda name: -predicted_ratio.get(name, 1.0)):
        with_reference = [against, name] if (against := reference.get(name)) else [name]
        ordered += [name for name in with_reference if name in strategies and name not in ordered]
    return tuple(ordered)
