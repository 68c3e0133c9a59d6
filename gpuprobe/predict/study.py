"""Predicts a step on this machine from steps measured in its studies, and stores predictions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from gpuprobe.errors import InputError, UsageError
from gpuprobe.predict.estimate import Estimate
from gpuprobe.predict.fit import MeasuredStep, Pair, predict_step
from gpuprobe.predict.published import steps_per_epoch
from gpuprobe.ranking.load import load
from gpuprobe.ranking.rates import interval_of_run, run_rate
from gpuprobe.records import SCHEMA, Record, save
from gpuprobe.records import load as load_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from gpuprobe.ranking.load import Loaded
    from gpuprobe.ranking.ranking import Row
    from gpuprobe.records import Settings

PREFERRED = "numpy"


class StudyPrediction(Record, frozen=True, kw_only=True):
    """The predicted time of a training on the studied machine, and the measured steps from which it follows.

    `operation_us` is the time per operation of the step, `gflop_per_s` the rate of the part that grows with the work.
    """

    created_ns: int
    study: str
    strategy: str
    depth: int
    batch_size: int
    operation_us: float
    gflop_per_s: float | None
    step_ms: Estimate
    samples_per_s: Estimate
    epoch_s: Estimate
    measured: tuple[MeasuredStep, ...]
    divided_by: str


class Predictions(Record, frozen=True, kw_only=True):
    """The content of the file of `gpuprobe predict --out`: predictions in the order in which they were made."""

    schema: int = SCHEMA
    predictions: tuple[StudyPrediction, ...] = ()


def predict_from(
    folders: Sequence[Path], *, depth: int, batch_size: int, strategy: str | None = None
) -> StudyPrediction:
    """Predict a step from the first study, with more measured steps of the same strategy from the others.

    Raises InputError where a study holds no measured run, UsageError where it lacks the strategy, or was measured on
    another machine or workload.
    """
    studies = [load(folder) for folder in folders]
    _of_the_resnet(studies)
    _same_machine(studies)
    name = _strategy(studies[0], strategy)
    steps = [_step(study, row) for study in studies for row in study.ranking.rows if row.strategy == name]
    pair = _pair(studies)
    step_ms, (operation_ms, flop_ms), divided_by = predict_step(steps, pair, depth, batch_size)
    samples = studies[0].study.epoch_samples
    per_second = Estimate(
        value=1e3 * batch_size / step_ms.value, low=1e3 * batch_size / step_ms.high, high=1e3 * batch_size / step_ms.low
    )
    return StudyPrediction(
        created_ns=time.time_ns(),
        study=studies[0].study.name,
        strategy=name,
        depth=depth,
        batch_size=batch_size,
        operation_us=1e3 * operation_ms,
        gflop_per_s=1e-6 / flop_ms if flop_ms else None,
        step_ms=step_ms,
        samples_per_s=per_second,
        epoch_s=step_ms.times(steps_per_epoch(batch_size, samples) / 1e3),
        measured=(*steps, *(pair or ())),
        divided_by=divided_by,
    )


def remember(path: Path, prediction: StudyPrediction) -> None:
    """Add a prediction to those in a file, to be there before the run that it predicts.

    Raises InputError where the file holds something else, OutputError where it cannot be written.
    """
    before = load_record(Predictions, path).predictions if path.exists() else ()
    save(Predictions(predictions=(*before, prediction)), path)


def _of_the_resnet(studies: Sequence[Loaded]) -> None:
    """Refuse studies of other models: their steps consist of other operations."""
    for loaded in studies:
        study = loaded.study
        if study.request.model or not study.request.rounds:
            what = "a study" if study.request.rounds else "the recording of a training"
            raise UsageError(
                f"{loaded.folder}: is {what} of {study.workload}; a prediction is of the built-in ResNet, from a study "
                "of it (gpuprobe run without --model)"
            )


def _same_machine(studies: Sequence[Loaded]) -> None:
    first = studies[0].study.environment
    for study in studies[1:]:
        other = study.study.environment
        if (first.cpu, first.cores, first.gpus) != (other.cpu, other.cores, other.gpus):
            raise UsageError(f"{study.folder}: was measured on another machine than {studies[0].folder}")


def _strategy(loaded: Loaded, wanted: str | None) -> str:
    names = [row.strategy for row in loaded.ranking.rows]
    if not names:
        raise InputError(f"{loaded.folder}: no run of this study was measured to its end")
    if wanted is not None and wanted not in names:
        raise UsageError(f"--strategy: {loaded.folder} measured no {wanted!r}; it has {', '.join(sorted(names))}")
    return wanted or (PREFERRED if PREFERRED in names else names[0])


def _step(loaded: Loaded, row: Row) -> MeasuredStep:
    """Return a strategy's step from its fastest run, since disturbances only add time."""
    runs = [run for run in loaded.runs.values() if run.spec.strategy == row.strategy]
    rates = [interval_of_run(rate) for run in runs if (rate := run_rate(run)) is not None]
    fastest = max(rates, key=lambda rate: rate.value)
    batch = row.settings.batch_size
    time_ms = fastest.inverse(1e3 * batch)
    return MeasuredStep(
        study=loaded.study.name,
        strategy=row.strategy,
        depth=loaded.study.request.depth,
        batch_size=batch,
        step_ms=Estimate(value=time_ms.value, low=time_ms.low, high=min(time_ms.high, 2 * time_ms.value)),
        slowest_ms=1e3 * batch / min(rate.value for rate in rates),
    )


def _pair(studies: Iterable[Loaded]) -> Pair | None:
    """Return two measured steps that differ in their batch size alone, or None where no study has them."""
    for study in studies:
        for row in study.ranking.rows:
            base = study.ranking.row(row.against)
            if base is not None and _only_batch_differs(base.settings, row.settings):
                return _step(study, base), _step(study, row)
    return None


def _only_batch_differs(one: Settings, other: Settings) -> bool:
    alike = msgspec.structs.replace(other, batch_size=one.batch_size)
    return one.batch_size != other.batch_size and one == alike
