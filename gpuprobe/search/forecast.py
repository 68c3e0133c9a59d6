"""Predicts the gain of each change on top of those kept, by replaying the trace of the kept run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.ledger.breakdown import break_down
from gpuprobe.ranking.traced import LARGER_BATCH, known_in, timeline_of
from gpuprobe.thresholds import fixed
from gpuprobe.whatif import device_changes, host_changes, input_changes
from gpuprobe.whatif.predict import predict, usual_changes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gpuprobe.records import Gain, Run, StrategyInfo, Study
    from gpuprobe.whatif.change import Change
    from gpuprobe.whatif.records import Replay
    from gpuprobe.whatif.run_facts import Known


@dataclass(frozen=True)
class Foretold:
    """The prediction for one change at its best size; `hindrance` is why there is none."""

    change: str
    gain: Gain | None = None
    hindrance: str = ""


def foretell(
    base: tuple[Path, Run] | None,
    infos: Sequence[StrategyInfo],
    *,
    loop: bool,
    study: Study,
    runs: Mapping[Path, Run],
) -> dict[str, Foretold]:
    """Return the predicted gain of each of these changes to a run, by name, from its trace.

    If a Python `loop` of its own feeds the run, another feed replaces all of that loop's work.
    """
    if base is None:
        return {info.name: Foretold(info.name, hindrance="there is no trace of it") for info in infos}
    path, run = base
    timeline, trouble = timeline_of(path, run)
    if timeline is None:
        return {info.name: Foretold(info.name, hindrance=trouble) for info in infos}
    known = known_in(study, path, run)
    tried = {info.name: _fit_instead(info) if loop and info.part == "feed" else {} for info in infos}
    tried = {info.name: tried[info.name] or _sizes(info, known, run, runs) for info in infos}
    wanted = {change.id: change for sizes in tried.values() for change in sizes.values()}
    replay = predict(break_down(timeline), known, tuple(wanted.values()))
    return {info.name: _chosen(info, tried[info.name], replay) for info in infos}


def _fit_instead(info: StrategyInfo) -> dict[str, Change]:
    frees = info.what_if == "input_free"
    return {info.name: host_changes.fit_instead_of_a_loop()} if frees else {}


def _sizes(info: StrategyInfo, known: Known, run: Run, runs: Mapping[Path, Run]) -> dict[str, Change]:
    """The changes of a replay for each possible size of a change, by the search's name for it."""
    if info.what_if == LARGER_BATCH:
        sizes = [run.settings.batch_size for run in runs.values() if run.settings and run.spec.strategy == info.name]
        own = run.settings.batch_size if run.settings else 0
        return {info.name: device_changes.batch_times(sizes[0] / own)} if sizes and own and sizes[0] != own else {}
    if info.what_if == "steps_per_execution":
        step_ms = known.untraced_step_ms or 0.0
        fitting = [size for size in info.sizes if size * step_ms <= fixed.LONGEST_CALL_MS or size == min(info.sizes)]
        return {_sized(info, size): host_changes.steps_per_execution(size, known.steps_per_call) for size in fitting}
    if info.what_if == "prefetch":
        return {_sized(info, size): input_changes.prefetch(size) for size in info.sizes}
    if info.what_if == "parallel_map":
        cores = known.cores or max(info.sizes)
        return {_sized(info, size): input_changes.parallel_map(size) for size in info.sizes if size <= max(2, cores)}
    name = info.what_if
    usual = [change for change in usual_changes(known) if change.id == name or change.id.startswith(f"{name}_")]
    return {info.name: usual[0]} if usual else {}


def _sized(info: StrategyInfo, size: int) -> str:
    return info.name if size == info.size else f"{info.name}={size}"


def _chosen(info: StrategyInfo, tried: Mapping[str, Change], replay: Replay) -> Foretold:
    """Choose the smallest size with about the largest gain; where the size does not matter, TensorFlow chooses it."""
    gains = {name: made.gain for name, change in tried.items() if (made := replay.of(change.id)) is not None}
    if not gains:
        reasons = {unpredicted.change: unpredicted.reason for unpredicted in replay.unpredicted}
        why = next((reasons[change.id] for change in tried.values() if change.id in reasons), "")
        return Foretold(info.name, hindrance=replay.refused or why or "no replay predicts it")
    most = max(gain.ratio for gain in gains.values())
    large_enough = [name for name, gain in gains.items() if gain.ratio >= fixed.LARGE_ENOUGH * most]
    free = info.size is None and len(gains) > 1 and len(large_enough) == len(gains)
    return Foretold(info.name if free else large_enough[0], gains[large_enough[0]])
