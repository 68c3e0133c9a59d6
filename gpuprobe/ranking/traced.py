"""Reads the traces of a study: the step-time breakdown of each strategy, and the predicted gains of changes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import telemetry
from gpuprobe.diagnosis.case import UNTRACED
from gpuprobe.diagnosis.recorded import readings_of
from gpuprobe.errors import InputError
from gpuprobe.ledger.breakdown import break_down
from gpuprobe.recording import TELEMETRY_FILE, TRACE_FOLDER, without_folder
from gpuprobe.thresholds import DEFAULTS, Thresholds
from gpuprobe.traces.read import read
from gpuprobe.whatif.device_changes import batch_times
from gpuprobe.whatif.predict import predict, usual_changes
from gpuprobe.whatif.run_facts import Known, known_beside

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gpuprobe.ledger.records import TraceBreakdown
    from gpuprobe.records import Evidence, Run, Study
    from gpuprobe.telemetry import Telemetry
    from gpuprobe.traces.timeline import Timeline
    from gpuprobe.whatif.change import Change
    from gpuprobe.whatif.records import Replay

# The change to a larger batch, whose size is that of the strategy that makes it.
LARGER_BATCH = "batch_times"


@dataclass(frozen=True)
class Traced:
    """The trace of one strategy: its run, its breakdown, and the readings of GPU and host in that run.

    `replay` predicts the gains of changes; None unless it is the first, or another strategy is compared with it.
    """

    run: Run
    breakdown: TraceBreakdown
    replay: Replay | None
    readings: Evidence | None = None


def traced(
    study: Study, runs: Mapping[Path, Run], recordings: Mapping[Path, Telemetry], limits: Thresholds = DEFAULTS
) -> tuple[dict[str, Traced], tuple[str, ...]]:
    """Read the trace of each strategy's last traced run, by strategy; with notes on those that could not be read."""
    last_traced_run = {
        run.spec.strategy: (path, run) for path, run in runs.items() if run.trace is not None and run.trace.path
    }
    compared_strategies = {info.against for info in study.strategies} | {next(iter(last_traced_run), None)}
    traced_by_strategy: dict[str, Traced] = {}
    notes = []
    for strategy, (path, run) in last_traced_run.items():
        timeline, why_missing = timeline_of(path, run)
        if timeline is None:
            notes.append(why_missing)
            continue
        workings = break_down(timeline)
        breakdown = workings.breakdown
        readings = readings_of(recordings[path], run, breakdown, study, limits) if path in recordings else None
        facts = known_beside(run, study.environment, readings)
        changes = (*usual_changes(facts), *_changes_to_other_batches(study, runs, run))
        replay = predict(workings, facts, changes) if strategy in compared_strategies else None
        traced_by_strategy[strategy] = Traced(run, breakdown, replay, readings)
    return traced_by_strategy, tuple(notes)


def known_in(study: Study, path: Path, run: Run) -> Known:
    """Return the facts about a run from outside its trace: its window, the machine, and the load of the processor."""
    telemetry_file, readings = path / TELEMETRY_FILE, None
    if run.phase("window") is not None and telemetry_file.is_file():
        with suppress(InputError):
            readings = readings_of(telemetry.read(telemetry_file), run, UNTRACED, study)
    return known_beside(run, study.environment, readings)


def timeline_of(path: Path, run: Run) -> tuple[Timeline | None, str]:
    """Return the trace of a run and an empty text, or None and a sentence on why there is none."""
    if run.trace is None or not run.trace.path:
        return None, f"There is no trace of {run.spec.strategy}."
    try:
        return read(path / TRACE_FOLDER), ""
    except InputError as error:
        return None, f"The trace of {run.spec.strategy} is left out: {without_folder(error, path)}."


def batch_change(batch_size: int, other_batch_size: int) -> str:
    """Return the name of the change to another batch size."""
    return f"batch_times_{other_batch_size / batch_size:g}"


def _changes_to_other_batches(study: Study, runs: Mapping[Path, Run], run: Run) -> tuple[Change, ...]:
    """Return the changes to the batch sizes of other strategies, where the usual changes do not hold them."""
    if run.settings is None:
        return ()
    batch_size = run.settings.batch_size
    strategies_compared = {info.name for info in study.strategies if info.against == run.spec.strategy}
    other_sizes = {
        other.settings.batch_size
        for other in runs.values()
        if other.settings and other.spec.strategy in strategies_compared
    }
    usual_ids = {change.id for change in usual_changes(Known())}
    factors = sorted(
        size / batch_size
        for size in other_sizes
        if size != batch_size and batch_change(batch_size, size) not in usual_ids
    )
    return tuple(batch_times(factor) for factor in factors)
