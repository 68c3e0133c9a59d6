"""Gathers what is on disk about one training as the case of its diagnosis: trace, readings, the run's record."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.case import UNTRACED, Case
from gpuprobe.diagnosis.traced import accounted, replayed
from gpuprobe.errors import InputError
from gpuprobe.evidence.pace import pace
from gpuprobe.evidence.run import core_signals, given_signals, loop_signals, setting
from gpuprobe.evidence.several import Cores, spread_over
from gpuprobe.evidence.whole_run import breakdown_of_run
from gpuprobe.ledger.breakdown import Workings
from gpuprobe.recording import (
    RUN_FILE,
    RUNS_FOLDER,
    STUDY_FILE,
    TELEMETRY_FILE,
    TRACE_FOLDER,
    TRAININGS_FOLDER,
    WATCH_FILE,
    whole,
)
from gpuprobe.records import Run, Signal, Study, load
from gpuprobe.thresholds import DEFAULTS, Thresholds
from gpuprobe.traces.formats import contents_by_suffix, is_named_as_a_trace
from gpuprobe.whatif.run_facts import known_beside

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.ledger.records import TraceBreakdown
    from gpuprobe.records import Evidence
    from gpuprobe.telemetry import Telemetry
    from gpuprobe.whatif.records import Replay

READINGS = ".csv"


def recorded(
    path: Path,
    readings: Path | None = None,
    columns: str = "",
    *,
    trace: bool = True,
    apart: bool = False,
    what_if: bool | None = None,
    limits: Thresholds = DEFAULTS,
) -> Case:
    """Gather what `path` holds: a trace, a run, a study or a watch of one run, or readings alone (a log or CSV).

    `readings` is another log to use. `columns` names the columns of a log without a header, as they were given to
    nvidia-smi. `limits` tell the phases of the readings apart. `trace=False` leaves a run's trace out. `what_if` says
    whether to replay the trace; by default a short one is replayed. `apart` lets several processes read the traces of a
    job that are large together: these keep no workings, and cannot be replayed.
    Raises InputError if `path` holds none of these or cannot be read.
    """
    path = _run_of(path)
    if _holds_readings(path):
        return _log(path, columns, limits)
    troubles: list[str] = []
    run = _run(path, troubles) if (path / RUN_FILE).is_file() else None
    study = whole(lambda: _study(path), troubles) if run else None
    traced = run is None or (trace and (path / TRACE_FOLDER).is_dir())
    accounts = accounted(path, apart=apart and what_if is not True) if traced else None
    breakdown = accounts.breakdown if accounts else _untraced(path, run)
    found = None
    if readings is not None:
        found = _readings(readings, run, breakdown, study, columns, limits)
    elif (beside := path / TELEMETRY_FILE).is_file():
        found = whole(lambda: _readings(beside, run, breakdown, study, columns, limits), troubles)
    breakdown = msgspec.structs.replace(breakdown, warnings=(*breakdown.warnings, *troubles))
    known = known_beside(run, study.environment if study else None, found) if run else None
    replay = replayed(accounts, known, what_if) if accounts else None
    simulated = study is not None and study.environment.simulated
    case = case_of(breakdown, replay, found, run, study)
    workings = accounts if isinstance(accounts, Workings) else None
    return dataclasses.replace(case, workings=workings, known=known, simulated=simulated)


def case_of(
    breakdown: TraceBreakdown, replay: Replay | None, readings: Evidence | None, run: Run | None, study: Study | None
) -> Case:
    """Return the case of a trace or a run, from what was read of it."""
    missing = run.trace.missing if run and run.trace and not breakdown.devices else None
    settings = settings_of(run, study, readings) if run else ()
    whole_run = breakdown_of_run(run) if run else None
    return Case(breakdown, replay, readings, settings, no_trace=missing or "", whole_run=whole_run)


def _run_of(path: Path) -> Path:
    """Return the only run of a study, or traced one of a watch, else the path. Raises InputError for none or many."""
    if (path / STUDY_FILE).is_file():
        what, runs = "study", sorted((path / RUNS_FOLDER).glob("*/"))
    elif (path / WATCH_FILE).is_file():
        what, runs = "watch", sorted((path / TRAININGS_FOLDER).glob(f"*/{RUNS_FOLDER}/*/"))
        runs = [run for run in runs if (run / TRACE_FOLDER).is_dir()] or runs
    else:
        return path
    if len(runs) == 1:
        return runs[0]
    example = f"name one, as {runs[0]}; " if runs else ""
    raise InputError(
        f"{path}: a {what} with {wording.count(len(runs), 'run')}, and a diagnosis is of one: {example}"
        f"{wording.command('gpuprobe', 'report', path)} is about all of it"
    )


def _run(path: Path, troubles: list[str]) -> Run | None:
    """Read the record of a run. If it has a trace, an unreadable record is None and a line in `troubles`."""
    if not (path / TRACE_FOLDER).is_dir():
        return load(Run, path / RUN_FILE)
    return whole(lambda: load(Run, path / RUN_FILE), troubles)


def _holds_readings(path: Path) -> bool:
    """Whether a file is a log of readings; these are named `.csv`, `.txt`, `.log` or without a suffix."""
    if path.suffix == READINGS:
        return not is_named_as_a_trace(path.name)
    if path.suffix in contents_by_suffix() or not path.is_file():
        return False
    from gpuprobe.logs.read import is_log

    return is_log(path)


def _log(path: Path, columns: str, limits: Thresholds) -> Case:
    """Gather a log of readings alone; what was assumed about it becomes a warning."""
    from gpuprobe.evidence.readings.window import readings_of_log
    from gpuprobe.logs.read import read_any

    recording = read_any(path, columns)
    signals, log_notices = readings_of_log(recording, limits) if len(recording.t_ns) else (None, ())
    return Case(_without_steps(path, *log_notices), readings=signals)


def _untraced(path: Path, run: Run | None) -> TraceBreakdown:
    why = run.trace.missing if run and run.trace and run.trace.missing else "none was captured"
    return _without_steps(path, f"There is no trace: {why}.")


def _without_steps(path: Path, *warnings: str) -> TraceBreakdown:
    return msgspec.structs.replace(UNTRACED, source=str(path), warnings=warnings)


def _study(path: Path) -> Study | None:
    study = path.resolve().parent.parent / STUDY_FILE
    return load(Study, study) if study.is_file() else None


def _readings(
    file: Path,
    run: Run | None,
    breakdown: TraceBreakdown,
    study: Study | None,
    columns: str,
    limits: Thresholds,
) -> Evidence | None:
    # Imported here, as the replay is: a trace alone has no readings.
    from gpuprobe.logs.read import read_any

    return readings_of(read_any(file, columns), run, breakdown, study, limits)


def readings_of(
    recording: Telemetry, run: Run | None, breakdown: TraceBreakdown, study: Study | None, limits: Thresholds = DEFAULTS
) -> Evidence | None:
    """Gather the readings of the timed window, else of the traced steps, else all; None where there are none."""
    from gpuprobe.evidence.readings.window import readings_in

    times = recording.t_ns
    if not len(times):
        return None
    window = run.phase("window") if run else None
    spans = [(window.start_ns, window.end_ns)] if window else []
    if breakdown.began_ns is not None and breakdown.ended_ns is not None:
        spans.append((breakdown.began_ns, breakdown.ended_ns))
    first, last = int(times[0]), int(times[-1])
    start, end = next((span for span in spans if span[1] >= first and span[0] <= last), (first, last))
    bus = run.settings.gpu_pci_bus_id if run and run.settings else ""
    environment = study.environment if study else None
    return readings_in(recording, start, end, environment=environment, gpu_pci_bus_id=bus, limits=limits)


def settings_of(run: Run, study: Study | None, readings: Evidence | None) -> tuple[Signal, ...]:
    """Return the signals of a run's record, and of the study that it is part of."""
    gpus = study.environment.gpus if study else ()
    return (
        *setting(
            run.settings,
            gpus[0] if gpus else None,
            slowdown=run.trace.slowdown if run.trace else None,
            flop_per_s=_flop_per_s(run),
            device_peak_mib=run.device_peak_mib,
            sm_clock_mhz=readings.number("sm_clock_mhz") if readings else None,
        ),
        *(spread_over(run.settings, _cores(study, readings)) if run.settings else ()),
        *_clock(run),
        *core_signals(run.settings, run.core_use),
        *given_signals(run.given),
        *loop_signals(run.loops),
        *pace(run.phase("window")),
        *(_of_study(study) if study else ()),
    )


def _cores(study: Study | None, readings: Evidence | None) -> Cores:
    ready_threads = readings.number("run_queue") if readings else None
    shared = study is None or study.request.worker_index is None
    return Cores(study.environment.cores if study else None, ready_threads, shared)


def _clock(run: Run) -> tuple[Signal, ...]:
    """Return the share of the timed window outside the train function; nothing where that was not timed."""
    if run.outside_fraction is None:
        return ()
    source = "clock around the train function"
    return (Signal(name="outside_fraction", unit="of the timed window", source=source, value=run.outside_fraction),)


def _of_study(study: Study) -> tuple[Signal, ...]:
    return (
        Signal(name="gpu", unit="", source="NVML", value=bool(study.environment.gpus)),
        # A watched training is recorded as a study too, but without strategies to compare.
        Signal(name="in_study", unit="", source="study", value=study.request.rounds > 0),
        Signal(name="data_kind", unit="", source="study", value=study.data_name),
        Signal(
            name="epoch_samples",
            unit="samples",
            source="study",
            value=float(study.epoch_samples) if study.epoch_samples else None,
            missing=None if study.epoch_samples else "the data do not tell how many samples an epoch has",
        ),
    )


def _flop_per_s(run: Run) -> float | None:
    window = run.phase("window")
    pace = window.steps_per_s if window else None
    if pace is None or run.settings is None or run.flop_per_sample is None:
        return None
    return run.flop_per_sample * run.settings.batch_size * pace
