"""What to measure next: strategies by the gain that a trace predicts, and the changes of a combining strategy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.diagnosis.whatif.predict import predict
from gpuprobe.diagnosis.whatif.records import Replay
from gpuprobe.ledger.account import account_of
from gpuprobe.ranking.accounts import known_in, timeline_of
from gpuprobe.ranking.foretell import most_promising
from gpuprobe.ranking.load import load
from gpuprobe.recording import load_runs, load_study

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gpuprobe.ranking.load import Loaded


def following(folder: Path, strategy: str) -> tuple[str, ...] | None:
    """Return what the search for a combining strategy measures next, None where it has ended.

    Of the changes that are left it is the one that promises most on top of what was kept.
    """
    search = load(folder, traces=False).ranking.search(strategy)
    if search is None or search.following is None or len(search.following) == len(search.kept):
        return search.following if search else None
    return (*search.kept, most_promising(search, load_study(folder), load_runs(folder)))


def combined(loaded: Loaded, strategy: str) -> tuple[str, ...]:
    """Return the changes to train a combining strategy with: what its search kept, or is going to try.

    A study from before there was a search combined once; it tells what.
    """
    search, row = loaded.ranking.search(strategy), loaded.ranking.row(strategy)
    if search is not None:
        return search.kept if search.steps else search.left
    return row.combines if row else ()


def by_predicted_gain(folder: Path, strategies: Sequence[str]) -> tuple[str, ...] | None:
    """Order strategies by the gain that the baseline's trace predicts for what each changes, the largest first.

    One for which nothing is predicted counts as no gain, and stays in its place among those. What a strategy is
    compared with comes right before it. None where the baseline was not traced yet.
    """
    study = load_study(folder)
    infos = study.strategies
    runs = {path: run for path, run in load_runs(folder).items() if run.spec.strategy == infos[0].name and run.trace}
    if not runs:
        return None
    path, run = next(reversed(runs.items()))
    timeline, _ = timeline_of(path, run)
    known = known_in(study, path, run)
    replay = predict(timeline, account_of(timeline), known) if timeline is not None else Replay()
    predicted = {info.name: made.gain.ratio for info in infos if info.what_if and (made := replay.of(info.what_if))}
    against = {info.name: info.against for info in infos}
    ordered: list[str] = []
    for name in sorted(strategies, key=lambda name: -predicted.get(name, 1.0)):
        ordered += [
            one for one in (against.get(name), name) if one is not None and one in strategies and one not in ordered
        ]
    return tuple(ordered)
