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

    Its replay is None unless another strategy is compared with it.
    """

    run: Run
    breakdown: TraceBreakdown
    replay: Replay | None
    readings: Evidence | None = None


def traced(
    study: Study, runs: Mapping[Path, Run], recordings: Mapping[Path, Telemetry], limits: Thresholds = DEFAULTS
) -> tuple[dict[str, Traced], tuple[str, ...]]:
    """Read the trace of each strategy's last traced run, by strategy; with notes on those that could not be read."""
    last = {run.spec.strategy: (path, run) for path, run in runs.items() if run.trace is not None and run.trace.path}
    replayed = {info.against for info in study.strategies} | {next(iter(last), None)}
    by_strategy: dict[str, Traced] = {}
    notes = []
    for strategy, (path, run) in last.items():
        timeline, trouble = timeline_of(path, run)
        if timeline is None:
            notes.append(trouble)
            continue
        workings = break_down(timeline)
        breakdown = workings.breakdown
        readings = readings_of(recordings[path], run, breakdown, study, limits) if path in recordings else None
        known = known_beside(run, study.environment, readings)
        changes = (*usual_changes(known), *_batches(study, runs, run))
        replay = predict(workings, known, changes) if strategy in replayed else None
        by_strategy[strategy] = Traced(run, breakdown, replay, readings)
    return by_strategy, tuple(notes)


def known_in(study: Study, path: Path, run: Run) -> Known:
    """Return the facts about a run from outside its trace: its window, the machine, and the load of the processor."""
    file, readings = path / TELEMETRY_FILE, None
    if run.phase("window") is not None and file.is_file():
        with suppress(InputError):
            readings = readings_of(telemetry.read(file), run, UNTRACED, study)
    return known_beside(run, study.environment, readings)


def timeline_of(path: Path, run: Run) -> tuple[Timeline | None, str]:
    """Read the trace of a run, or return a sentence on why there is none."""
    if run.trace is None or not run.trace.path:
        return None, f"There is no trace of {run.spec.strategy}."
    try:
        return read(path / TRACE_FOLDER), ""
    except InputError as error:
        return None, f"The trace of {run.spec.strategy} is left out: {without_folder(error, path)}."


def batch_change(own: int, other: int) -> str:
    """Return the name of the change to another batch size."""
    return f"batch_times_{other / own:g}"


def _batches(study: Study, runs: Mapping[Path, Run], run: Run) -> tuple[Change, ...]:
    """Return the batch sizes of other strategies that the usual changes lack."""
    if run.settings is None:
        return ()
    own = run.settings.batch_size
    against = {info.name for info in study.strategies if info.against == run.spec.strategy}
    sizes = {other.settings.batch_size for other in runs.values() if other.settings and other.spec.strategy in against}
    usual = {change.id for change in usual_changes(Known())}
    factors = sorted(size / own for size in sizes if size != own and batch_change(own, size) not in usual)
    return tuple(batch_times(factor) for factor in factors)
