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

READINGS = ".csv"
# What a run does before its steps are steady, by its phases. The first call traces the step and compiles it.
UNTIL_STEADY = {"start": "start and imports", "build": "model and data", "warmup": "first call", "settle": "settling"}
# Sums over the window, which are larger for a longer window; the mean power says the same.
OF_THE_WINDOW = frozenset({"energy_j"})
NO_RATE_OF_A_WATCH = "a watch counts no samples"
WATCHED = "watched command"
NO_RATE_OF_READINGS = "readings alone count no samples"


def gather(path: Path) -> Side:
    """Read what lies at `path`. Raises InputError where it is nothing that can be compared, or cannot be read."""
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder; name a study, a run, a watch or a trace")
    for file, reader in ((STUDY_FILE, _study_side), (RUN_FILE, _run_side), (WATCH_FILE, _watch_side)):
        if (path / file).is_file():
            return reader(path)
    is_log = path.suffix == READINGS and not is_named_as_a_trace(path.name)
    return _readings_side(path) if is_log else _trace_side(path)


def _study_side(path: Path) -> Side:
    loaded = load_ranked(path)
    runs = list(loaded.runs.values())
    rows = {row.strategy: row for row in loaded.ranking.rows}
    measured = []
    for name in (info.name for info in loaded.study.strategies if info.name in rows):
        own = [run for run in runs if run.spec.strategy == name]
        rates = {run.spec.round: rate for run in own if (rate := run_rate(run))}
        row = rows[name]
        energy = Signal(name="energy_j_per_sample", unit="J", source="telemetry", value=row.energy_j_per_sample)
        measured.append(
            Measured(
                strategy=name,
                rates=rates,
                settings=row.settings,
                choices=_choices(own[-1]),
                breakdown=row.breakdown,
                until_steady_s=_until_steady_s(own),
                telemetry=(*_levels(row.telemetry), energy),
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
        failed={name: words.rstrip(": ") for name, words in failures.items()},
    )


def _run_side(path: Path) -> Side:
    run = load(Run, path / RUN_FILE)
    above = path.resolve().parent.parent / STUDY_FILE
    notes: list[str] = []
    study = whole(lambda: load(Study, above), notes) if above.is_file() else None
    timeline, trouble = timeline_of(path, run)
    if trouble:
        notes.append(trouble)
    rate = run_rate(run)
    ended = f"{run.outcome.state}: {run.outcome.message}".rstrip(": ")
    why = "its window holds too few steps for a rate" if run.outcome.state == "done" else ended
    measured = Measured(
        strategy=run.spec.strategy,
        rates={run.spec.round: rate} if rate else {},
        why_no_rate="" if rate else why,
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
        failed={} if rate else {run.spec.strategy: why},
        notes=tuple(notes),
    )


def _watch_side(path: Path) -> Side:
    record = load(Watch, path / WATCH_FILE)
    file, notes = path / TELEMETRY_FILE, list[str]()
    measured = Measured(
        strategy=WATCHED,
        rates={},
        why_no_rate=NO_RATE_OF_A_WATCH,
        choices={"command": " ".join(record.command)},
        telemetry=whole(lambda: _all_readings(telemetry.read(file)), notes) or () if file.is_file() else (),
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
    """Return the rate of the traced steps that count, in steps a second."""
    end_ns, ends_ns = 0.0, []
    for step in device.each_step[device.warmup :][: device.counted]:
        end_ns += NS_PER_MS * step.step_ms
        ends_ns.append(round(end_ns))
    whole = Phase(name="trace", start_ns=0, end_ns=round(end_ns), call_ends_ns=tuple(ends_ns))
    return window_rate(whole, batch_size=1)


def _work(study: Study | None, run: Run | None) -> dict[str, str]:
    work = {"model": run.spec.model or f"resnet{run.spec.depth}"} if run else {}
    if study is not None:
        work |= {"workload": study.workload, "data": f"{study.data_name}, {study.train_samples:,} samples"}
    return work


def _until_steady_s(runs: Sequence[Run]) -> dict[str, float]:
    """Return the mean seconds of each part of the runs before their steps are steady, without waits for other runs."""
    spent: dict[str, list[float]] = {}
    for run in runs:
        for phase in run.phases:
            if phase.name in UNTIL_STEADY:
                spent.setdefault(UNTIL_STEADY[phase.name], []).append((phase.end_ns - phase.start_ns) / NS_PER_S)
    return {part: statistics.fmean(times) for part, times in spent.items()}


def _choices(run: Run) -> dict[str, str]:
    """Return the options of a run, and what `fit` was given, as text; what is not known is left out."""
    start = (run.spec.start,) if run.spec.start else ()
    options = {"starts from": start, "combines": run.spec.combines, "injected faults": run.spec.inject}
    texts = {name: ", ".join(values) for name, values in options.items()}
    return {name: text for name, text in (texts | given_words(run.given)).items() if text}


def _window_readings(path: Path, run: Run) -> tuple[Signal, ...]:
    window = run.phase("window")
    if window is None or not (path / TELEMETRY_FILE).is_file():
        return ()
    used = run.settings.gpu_pci_bus_id if run.settings else ""
    return _means(telemetry.read(path / TELEMETRY_FILE), window.start_ns, window.end_ns, used)


def _all_readings(recording: Telemetry) -> tuple[Signal, ...]:
    times = recording.t_ns
    return _means(recording, int(times[0]), int(times[-1]), "") if len(times) else ()


def _means(recording: Telemetry, start_ns: int, end_ns: int, used: str) -> tuple[Signal, ...]:
    summary = telemetry.summarize(recording, start_ns, end_ns, gpu_pci_bus_id=used)
    signals = as_read(summary, readings_in(recording, start_ns, end_ns, gpu_pci_bus_id=used))
    return _levels((*signals.host, *(signals.gpus[0] if signals.gpus else ())))


def _levels(signals: tuple[Signal, ...]) -> tuple[Signal, ...]:
    return tuple(signal for signal in signals if signal.name not in OF_THE_WINDOW)
