"""Reads one side of a comparison from disk: a study, the folder of a run or of a watch, a trace, or readings alone."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from gpuprobe import telemetry
from gpuprobe.compare.differences import given_words
from gpuprobe.compare.records import Measured, Side
from gpuprobe.compare.watched import led_by, with_training
from gpuprobe.errors import InputError
from gpuprobe.evidence.breakdown import main_device
from gpuprobe.evidence.readings.window import as_read, readings_in
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.logs.read import read_any
from gpuprobe.ranking.load import load as load_ranked
from gpuprobe.ranking.rates import run_rate, window_rate
from gpuprobe.ranking.traced import timeline_of
from gpuprobe.recording import RUN_FILE, STUDY_FILE, TELEMETRY_FILE, WATCH_FILE, whole
from gpuprobe.records import Phase, Run, Signal, Study, Watch, load
from gpuprobe.traces.formats import is_named_as_a_trace
from gpuprobe.traces.read import read
from gpuprobe.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gpuprobe.ledger.records import DeviceBreakdown
    from gpuprobe.ranking.rates import RunRate
    from gpuprobe.telemetry import Telemetry

READINGS_SUFFIX = ".csv"
# What a run does before its steps are steady, by its phases. The first call traces the step and compiles it.
UNTIL_STEADY = {"start": "start and imports", "build": "model and data", "warmup": "first call", "settle": "settling"}
# Sums over the window, which grow with its length; the mean power tells the same.
WINDOW_SUMS = frozenset({"energy_j"})
NO_RATE_OF_A_WATCH = "a watch counts no samples"
WATCHED_COMMAND = "watched command"
NO_RATE_OF_READINGS = "readings alone count no samples"


def gather(path: Path) -> Side:
    """Read the recording at `path`. Raises InputError where it cannot be read, or is of a kind that is not compared."""
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder; name a study, a run, a watch or a trace")
    for file, reader in ((STUDY_FILE, _study_side), (RUN_FILE, _run_side), (WATCH_FILE, _watch_side)):
        if (path / file).is_file():
            return reader(path)
    is_log = path.suffix == READINGS_SUFFIX and not is_named_as_a_trace(path.name)
    return _readings_side(path) if is_log else _trace_side(path)


def _study_side(path: Path) -> Side:
    loaded = load_ranked(path)
    runs = list(loaded.runs.values())
    ranking_rows = {ranking_row.strategy: ranking_row for ranking_row in loaded.ranking.rows}
    measured = []
    for strategy_name in (info.name for info in loaded.study.strategies if info.name in ranking_rows):
        strategy_runs = [run for run in runs if run.spec.strategy == strategy_name]
        rates = {run.spec.round: rate for run in strategy_runs if (rate := run_rate(run))}
        ranking_row = ranking_rows[strategy_name]
        energy = Signal(name="energy_j_per_sample", unit="J", source="telemetry", value=ranking_row.energy_j_per_sample)
        measured.append(
            Measured(
                strategy=strategy_name,
                rates=rates,
                settings=ranking_row.settings,
                choices=_choices(strategy_runs[-1]),
                breakdown=ranking_row.breakdown,
                until_steady_s=_until_steady_s(strategy_runs),
                telemetry=(*_without_window_sums(ranking_row.telemetry), energy),
            )
        )
    failures = {failure.strategy: f"{failure.state}: {failure.message}" for failure in loaded.ranking.failures}
    return Side(
        notes=tuple(
            f"{failure.strategy}, round {failure.round}, is unreadable and left out: {failure.message}"
            for failure in loaded.ranking.failures
            if failure.state == "unreadable"
        ),
        path=str(path),
        kind="study",
        measured=tuple(measured),
        environment=loaded.study.environment,
        work=_work(loaded.study, runs[0] if runs else None),
        failed={strategy_name: words.rstrip(": ") for strategy_name, words in failures.items()},
    )


def _run_side(path: Path) -> Side:
    run = load(Run, path / RUN_FILE)
    study_file = path.resolve().parent.parent / STUDY_FILE
    notes: list[str] = []
    study = whole(lambda: load(Study, study_file), notes) if study_file.is_file() else None
    timeline, trouble = timeline_of(path, run)
    if trouble:
        notes.append(trouble)
    rate = run_rate(run)
    run_ended = f"{run.outcome.state}: {run.outcome.message}".rstrip(": ")
    why_no_rate = "its window holds too few steps for a rate" if run.outcome.state == "done" else run_ended
    measured = Measured(
        strategy=run.spec.strategy,
        rates={run.spec.round: rate} if rate else {},
        why_no_rate="" if rate else why_no_rate,
        settings=run.settings,
        choices=_choices(run),
        until_steady_s=_until_steady_s([run]),
        breakdown=main_device(breakdown_of(timeline)) if timeline else None,
        telemetry=whole(lambda: _window_readings(path, run), notes) or (),
    )
    return Side(
        path=str(path),
        kind="run",
        measured=(measured,),
        environment=study.environment if study else None,
        work=_work(study, run),
        failed={} if rate else {run.spec.strategy: why_no_rate},
        notes=tuple(notes),
    )


def _watch_side(path: Path) -> Side:
    record = load(Watch, path / WATCH_FILE)
    telemetry_file, notes = path / TELEMETRY_FILE, list[str]()
    measured = Measured(
        strategy=WATCHED_COMMAND,
        rates={},
        why_no_rate=NO_RATE_OF_A_WATCH,
        choices={"command": " ".join(record.command)},
        telemetry=whole(lambda: _all_readings(telemetry.read(telemetry_file)), notes) or ()
        if telemetry_file.is_file()
        else (),
    )
    leading = led_by(path)
    if leading is not None:
        of_run = _run_side(path / leading.folder)
        notes += of_run.notes
        measured = with_training(measured, of_run.measured[0], leading, path)
    return Side(path=str(path), kind="watch", measured=(measured,), environment=record.environment, notes=tuple(notes))


def _trace_side(path: Path) -> Side:
    breakdown = breakdown_of(read(path))
    device = main_device(breakdown)
    rate = _steps_rate(device) if device else None
    measured = Measured(
        strategy="traced steps",
        rates={1: rate} if rate else {},
        rate_unit="steps/s",
        why_no_rate="" if rate else "the trace holds fewer than two steps that count",
        breakdown=device,
    )
    return Side(
        path=str(path), kind="trace", measured=(measured,), devices=len(breakdown.devices), notes=breakdown.warnings
    )


def _readings_side(path: Path) -> Side:
    measured = Measured(
        strategy="readings",
        rates={},
        why_no_rate=NO_RATE_OF_READINGS,
        telemetry=_all_readings(read_any(path)),
    )
    return Side(path=str(path), kind="readings", measured=(measured,))


def _steps_rate(device: DeviceBreakdown) -> RunRate | None:
    """Return the rate of the traced steps that count, in steps a second; None where they are too few."""
    step_end_ns, step_ends_ns = 0.0, []
    for step in device.each_step[device.warmup :][: device.counted]:
        step_end_ns += NS_PER_MS * step.step_ms
        step_ends_ns.append(round(step_end_ns))
    traced_phase = Phase(name="trace", start_ns=0, end_ns=round(step_end_ns), call_ends_ns=tuple(step_ends_ns))
    return window_rate(traced_phase, batch_size=1)


def _work(study: Study | None, run: Run | None) -> dict[str, str]:
    work = {"model": run.spec.model or f"resnet{run.spec.depth}"} if run else {}
    if study is not None:
        work |= {"workload": study.workload, "data": f"{study.data_name}, {study.train_samples:,} samples"}
    return work


def _until_steady_s(runs: Sequence[Run]) -> dict[str, float]:
    """Return the mean seconds of each part of the runs before their steps are steady, without waits for other runs."""
    seconds_by_part: dict[str, list[float]] = {}
    for run in runs:
        for phase in run.phases:
            if phase.name in UNTIL_STEADY:
                seconds_by_part.setdefault(UNTIL_STEADY[phase.name], []).append(
                    (phase.end_ns - phase.start_ns) / NS_PER_S
                )
    return {part: statistics.fmean(part_seconds) for part, part_seconds in seconds_by_part.items()}


def _choices(run: Run) -> dict[str, str]:
    """Return the options of a run, and what `fit` was given, as text; what is not known is left out."""
    start_strategy = (run.spec.start,) if run.spec.start else ()
    options = {"starts from": start_strategy, "combines": run.spec.combines, "injected faults": run.spec.inject}
    option_texts = {option: ", ".join(option_values) for option, option_values in options.items()}
    return {
        option: option_text for option, option_text in (option_texts | given_words(run.given)).items() if option_text
    }


def _window_readings(path: Path, run: Run) -> tuple[Signal, ...]:
    window = run.phase("window")
    if window is None or not (path / TELEMETRY_FILE).is_file():
        return ()
    gpu_pci_bus_id = run.settings.gpu_pci_bus_id if run.settings else ""
    return _mean_readings(telemetry.read(path / TELEMETRY_FILE), window.start_ns, window.end_ns, gpu_pci_bus_id)


def _all_readings(recording: Telemetry) -> tuple[Signal, ...]:
    sample_times_ns = recording.t_ns
    return (
        _mean_readings(recording, int(sample_times_ns[0]), int(sample_times_ns[-1]), "") if len(sample_times_ns) else ()
    )


def _mean_readings(recording: Telemetry, start_ns: int, end_ns: int, gpu_pci_bus_id: str) -> tuple[Signal, ...]:
    summary = telemetry.summarize(recording, start_ns, end_ns, gpu_pci_bus_id=gpu_pci_bus_id)
    signals = as_read(summary, readings_in(recording, start_ns, end_ns, gpu_pci_bus_id=gpu_pci_bus_id))
    return _without_window_sums((*signals.host, *(signals.gpus[0] if signals.gpus else ())))


def _without_window_sums(signals: tuple[Signal, ...]) -> tuple[Signal, ...]:
    return tuple(signal for signal in signals if signal.name not in WINDOW_SUMS)
