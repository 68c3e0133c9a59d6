"""Predicts the gain of each change on top of those kept, by replaying the trace of the kept run with it."""

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
class PredictedGain:
    """The predicted gain of one change, at the best size of it; `missing` is why there is none."""

    change: str
    gain: Gain | None = None
    missing: str = ""


def predict_gains(
    base: tuple[Path, Run] | None,
    infos: Sequence[StrategyInfo],
    *,
    loop: bool,
    study: Study,
    runs: Mapping[Path, Run],
) -> dict[str, PredictedGain]:
    """Return the predicted gain of each of these changes to the run `base`, by name of the change, from its trace.

    If a Python loop of its own feeds the run (`loop`), another feed replaces all of that loop's work. `runs` are all
    runs of the study, by folder: they tell how large a batch a strategy takes.
    """
    if base is None:
        return {info.name: PredictedGain(info.name, missing="there is no trace of it") for info in infos}
    path, run = base
    timeline, why_no_trace = timeline_of(path, run)
    if timeline is None:
        return {info.name: PredictedGain(info.name, missing=why_no_trace) for info in infos}
    facts = known_in(study, path, run)
    fits = {info.name: _fit_instead(info) if loop and info.part == "feed" else {} for info in infos}
    sizes_by_strategy = {info.name: fits[info.name] or _sizes(info, facts, run, runs) for info in infos}
    changes = {change.id: change for sizes in sizes_by_strategy.values() for change in sizes.values()}
    replay = predict(break_down(timeline), facts, tuple(changes.values()))
    return {info.name: _chosen(info, sizes_by_strategy[info.name], replay) for info in infos}


def _fit_instead(info: StrategyInfo) -> dict[str, Change]:
    frees_input = info.what_if == "input_free"
    return {info.name: host_changes.fit_instead_of_a_loop()} if frees_input else {}


def _sizes(info: StrategyInfo, facts: Known, run: Run, runs: Mapping[Path, Run]) -> dict[str, Change]:
    """Return the replay's `Change` for each size of a strategy's change worth asking about, by its name in the search.

    Such names are `prefetch` and `prefetch=4`. One entry for a change without sizes; empty where the replay knows none.
    """
    if info.what_if == LARGER_BATCH:
        return _other_batch(info, run, runs)
    if info.what_if == "steps_per_execution":
        step_ms = facts.untraced_step_ms or 0.0
        sizes = [size for size in info.sizes if size * step_ms <= fixed.LONGEST_CALL_MS or size == min(info.sizes)]
        return {_sized(info, size): host_changes.steps_per_execution(size, facts.steps_per_call) for size in sizes}
    if info.what_if == "prefetch":
        return {_sized(info, size): input_changes.prefetch(size) for size in info.sizes}
    if info.what_if == "parallel_map":
        cores = facts.cores or max(info.sizes)
        return {_sized(info, size): input_changes.parallel_map(size) for size in info.sizes if size <= max(2, cores)}
    name = info.what_if
    changes = [change for change in usual_changes(facts) if change.id == name or change.id.startswith(f"{name}_")]
    return {info.name: changes[0]} if changes else {}


def _other_batch(info: StrategyInfo, run: Run, runs: Mapping[Path, Run]) -> dict[str, Change]:
    """Return the change to the batch size with which a strategy was measured; none where it equals that of the run."""
    own_size = run.settings.batch_size if run.settings else 0
    sizes = [run.settings.batch_size for run in runs.values() if run.settings and run.spec.strategy == info.name]
    if not sizes or not own_size or sizes[0] == own_size:
        return {}
    return {info.name: device_changes.batch_times(sizes[0] / own_size)}


def _sized(info: StrategyInfo, size: int) -> str:
    return info.name if size == info.size else f"{info.name}={size}"


def _chosen(info: StrategyInfo, changes_by_size: Mapping[str, Change], replay: Replay) -> PredictedGain:
    """Choose the smallest size with about the largest gain; none where TensorFlow can choose and all gain alike."""
    gains = {
        name: prediction.gain
        for name, change in changes_by_size.items()
        if (prediction := replay.of(change.id)) is not None
    }
    if not gains:
        reasons = {unpredicted.change: unpredicted.reason for unpredicted in replay.unpredicted}
        why = next((reasons[change.id] for change in changes_by_size.values() if change.id in reasons), "")
        return PredictedGain(info.name, missing=replay.refused or why or "the replay does not predict it")
    largest_ratio = max(gain.ratio for gain in gains.values())
    large_enough = [name for name, gain in gains.items() if gain.ratio >= fixed.LARGE_ENOUGH * largest_ratio]
    any_size_does = info.size is None and len(gains) > 1 and len(large_enough) == len(gains)
    return PredictedGain(info.name if any_size_does else large_enough[0], gains[large_enough[0]])
