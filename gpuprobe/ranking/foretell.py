"""What the trace of the step kept before it foretold of each step of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.diagnosis.whatif.device_changes import batch_times
from gpuprobe.diagnosis.whatif.predict import predict, usual_changes
from gpuprobe.ledger.account import account_of
from gpuprobe.ranking.accounts import LARGER_BATCH, known_in, timeline_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gpuprobe.diagnosis.whatif.change import Change
    from gpuprobe.diagnosis.whatif.known import Known
    from gpuprobe.ranking.ranking import Search, SearchStep
    from gpuprobe.records import Gain, Run, Study

    # Where a run lies, and its record.
    Traced = tuple[Path, Run]


def foretold(search: Search, study: Study, runs: Mapping[Path, Run]) -> Search:
    """Return the search with the gain of each step as the trace that it builds on predicted it, where that can be."""
    changes = {info.name: info.what_if for info in study.strategies}
    base = _of(runs, search.start or "")
    told = []
    for step in search.steps:
        made = _predicted(study, base, changes.get(step.change, ""), _of(runs, step.change)) if base else None
        told.append(msgspec.structs.replace(step, foretold=made))
        if step.kept:
            base = _kept(search, step, runs)
    return msgspec.structs.replace(search, steps=tuple(told))


def most_promising(search: Search, study: Study, runs: Mapping[Path, Run]) -> str:
    """Return the change that is left of which the trace kept last promises most; without one, that gained most alone.

    The trace knows what is left to gain on top of what was kept, where a gain alone counts it twice.
    """
    kept = next((step for step in reversed(search.steps) if step.kept), None)
    base = _kept(search, kept, runs) if kept else None
    changes = {info.name: info.what_if for info in study.strategies}
    gains = {
        name: made.ratio
        for name in (search.left if base and len(search.left) > 1 else ())
        if base and (made := _predicted(study, base, changes.get(name, ""), _of(runs, name)))
    }
    return max(search.left, key=lambda name: gains.get(name, 1.0)) if gains else search.left[0]


def _kept(search: Search, step: SearchStep, runs: Mapping[Path, Run]) -> Traced | None:
    """The run that measured a step; the first was kept as its own strategy's runs measured it."""
    return _of(runs, search.strategy, step.step) if step.step else _of(runs, step.change)


def _of(runs: Mapping[Path, Run], strategy: str, step: int = 0) -> Traced | None:
    """The last traced run of a strategy, or of one step of a search."""
    found = [(path, run) for path, run in runs.items() if (run.spec.strategy, run.spec.step) == (strategy, step)]
    return next((one for one in reversed(found) if one[1].trace and one[1].trace.path), None)


def _predicted(study: Study, base: Traced, what_if: str, alone: Traced | None) -> Gain | None:
    path, run = base
    known = known_in(study, path, run)
    change = _change(what_if, known, run, alone[1] if alone else None)
    timeline, _ = timeline_of(path, run) if change else (None, "")
    if timeline is None or change is None:
        return None
    made = predict(timeline, account_of(timeline), known, (change,)).of(change.id)
    return made.gain if made else None


def _change(what_if: str, known: Known, run: Run, alone: Run | None) -> Change | None:
    """The change by its name; of a larger batch, by as much as the strategy that makes it grew its own."""
    if what_if == LARGER_BATCH:
        sizes = [of.settings.batch_size for of in (run, alone) if of is not None and of.settings]
        return batch_times(sizes[1] / sizes[0]) if len(sizes) == 2 and sizes[0] != sizes[1] else None
    if not what_if:
        return None
    return next((one for one in usual_changes(known) if one.id.rstrip("0123456789").rstrip("_") == what_if), None)
