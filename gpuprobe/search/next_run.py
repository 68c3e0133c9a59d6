"""What to measure next: the strategies by predicted gain, and the next step of a search."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from gpuprobe.errors import InputError
from gpuprobe.ledger.breakdown import break_down
from gpuprobe.ranking.noise import Noise
from gpuprobe.ranking.search_records import Search
from gpuprobe.ranking.traced import known_in, timeline_of
from gpuprobe.recording import load_runs, load_study, search_file
from gpuprobe.records import Combination, load, save
from gpuprobe.search.candidates import Basis
from gpuprobe.search.forecast import foretell
from gpuprobe.search.greedy import as_measured, go_on
from gpuprobe.whatif.predict import predict
from gpuprobe.whatif.records import Replay

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gpuprobe.ranking.load import Loaded
    from gpuprobe.records import Run, Study


def following(folder: Path, strategy: str) -> Combination | None:
    """Return what the search for a combining strategy measures next, None where it has ended.

    Its decisions are saved in the study's folder, so that it can resume, and the report shows its path.
    """
    study, runs = load_study(folder), load_runs(folder)
    known = _basis(study, runs)
    start = next((info.name for info in study.strategies if info.name in known.noise.rates), None)
    if start is None:
        return None
    file = search_file(folder, strategy)
    search = Search(strategy=strategy, start=start)
    if file.is_file():
        # An unreadable search is decided again from the existing runs.
        with suppress(InputError):
            search = load(Search, file)
    search = go_on(as_measured(search, runs.values()), known)
    save(search, file)
    if search.following is None:
        return None
    return Combination(start=search.start, changes=search.following, step=search.following_run)


def _basis(study: Study, runs: Mapping[Path, Run]) -> Basis:
    """Gather the data of a search; changes that cannot apply to the workload are no candidates."""
    singles = [run for run in runs.values() if not run.spec.step]
    noise = Noise.of(singles)
    ended = {run.spec.strategy: run.outcome for run in singles if run.spec.strategy not in noise.rates}
    skipped = {name for name, outcome in ended.items() if outcome.state == "skipped"}
    infos = (*study.strategies, *study.changes)
    return Basis(
        infos={info.name: info for info in infos},
        candidates=[info for info in infos if info.what_if and not info.combines and info.name not in skipped],
        runs=runs,
        noise=noise,
        foretell=partial(foretell, study=study, runs=runs),
        failed={
            name: f"{outcome.state.replace('_', ' ')}: {outcome.message}"
            for name, outcome in ended.items()
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
    known = known_in(study, path, run)
    replay = predict(break_down(timeline), known) if timeline is not None else Replay()
    predicted = {
        info.name: prediction.gain.ratio for info in infos if info.what_if and (prediction := replay.of(info.what_if))
    }
    against = {info.name: info.against for info in infos}
    ordered: list[str] = []
    for name in sorted(strategies, key=lambda name: -predicted.get(name, 1.0)):
        both = (against.get(name), name)
        ordered += [each for each in both if each is not None and each in strategies and each not in ordered]
    return tuple(ordered)
