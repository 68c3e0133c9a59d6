"""Predicts a step on this machine from steps it has measured: a part per operation and a part per FLOP.

    step = operations x a + FLOP x batch x b

Two batch sizes of one strategy give a and b. Where the wanted strategy ran with one batch size only, another pair of
runs that differ in nothing but the batch (`large_batch`) says how the step divides, and the wanted one is scaled to it.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from gpuprobe.errors import InputError, UsageError
from gpuprobe.predict.estimate import Estimate, over
from gpuprobe.predict.published import steps_per_epoch
from gpuprobe.predict.work import train_step
from gpuprobe.ranking.load import load
from gpuprobe.ranking.rates import interval_of_one, run_rate
from gpuprobe.records import SCHEMA, Record, save
from gpuprobe.records import load as load_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from gpuprobe.ranking.load import Loaded
    from gpuprobe.ranking.ranking import Row

PREDICTIONS_FILE = "predictions.json"
PREFERRED = "numpy"
# Where nothing tells how the step divides: the part per operation lies between none of it and half; an assumption.
UNKNOWN_SHARES = (0.25, 0.0, 0.5)


class MeasuredStep(Record, frozen=True, kw_only=True):
    """A strategy's measured step: what was trained, the time of a step in its fastest run with its 95 % interval.

    `slowest_ms` is the step of the slowest run: how far apart they lie tells how quiet the machine was.
    """

    study: str
    strategy: str
    depth: int
    batch_size: int
    step_ms: Estimate
    slowest_ms: float


class StudyPrediction(Record, frozen=True, kw_only=True):
    """What a training on the studied machine should take, and from which measured steps this follows.

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
    """All predictions made from a study, in the order in which they were made: `predictions.json`."""

    schema: int = SCHEMA
    predictions: tuple[StudyPrediction, ...] = ()


def predict_from(
    folders: Sequence[Path], *, depth: int, batch_size: int, strategy: str | None = None
) -> StudyPrediction:
    """Predict a step from the first study, with more measured steps of the same strategy from the others.

    Raises InputError where a study holds no measured run, UsageError where it lacks the strategy or ran elsewhere.
    """
    studies = [load(folder) for folder in folders]
    _same_machine(studies)
    name = _strategy(studies[0], strategy)
    steps = [_step(found, row) for found in studies for row in found.ranking.rows if row.strategy == name]
    pair = None if len({step.batch_size for step in steps}) > 1 else _pair(studies)
    step_ms, operation_ms, flop_ms = _predict(steps, pair, depth, batch_size)
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
        divided_by=_divided_by(steps, pair),
    )


def remember(folder: Path, prediction: StudyPrediction) -> Path:
    """Add a prediction to those of the study; return the file. Raises OutputError where it cannot be written."""
    path = folder / PREDICTIONS_FILE
    before = load_record(Predictions, path).predictions if path.exists() else ()
    save(Predictions(predictions=(*before, prediction)), path)
    return path


def _same_machine(studies: Sequence[Loaded]) -> None:
    first = studies[0].study.environment
    for found in studies[1:]:
        other = found.study.environment
        if (first.cpu, first.cores, first.gpus) != (other.cpu, other.cores, other.gpus):
            raise UsageError(f"{found.folder}: was measured on another machine than {studies[0].folder}")


def _strategy(loaded: Loaded, wanted: str | None) -> str:
    names = [row.strategy for row in loaded.ranking.rows]
    if not names:
        raise InputError(f"{loaded.folder}: no run of this study was measured to its end")
    if wanted is not None and wanted not in names:
        raise UsageError(f"--strategy: {loaded.folder} measured no {wanted!r}; it has {', '.join(sorted(names))}")
    return wanted or (PREFERRED if PREFERRED in names else names[0])


def _step(loaded: Loaded, row: Row) -> MeasuredStep:
    """Return a strategy's step from its fastest run: what disturbs a run only ever adds to its time."""
    runs = [run for run in loaded.runs.values() if run.spec.strategy == row.strategy]
    rates = [interval_of_one(rate) for run in runs if (rate := run_rate(run)) is not None]
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


def _pair(studies: Iterable[Loaded]) -> tuple[MeasuredStep, MeasuredStep] | None:
    """Return two measured steps that differ in their batch size alone, or None where no study has them."""
    for found in studies:
        for row in found.ranking.rows:
            base = found.ranking.row(row.against)
            if base is not None and base.settings.batch_size != row.settings.batch_size:
                return _step(found, base), _step(found, row)
    return None


def _predict(
    steps: Sequence[MeasuredStep], pair: tuple[MeasuredStep, MeasuredStep] | None, depth: int, batch_size: int
) -> tuple[Estimate, float, float]:
    """Return the step in ms over all corners of what was measured, and its parts: ms per operation, ms per FLOP."""
    shares = (None,) if pair or len({step.batch_size for step in steps}) > 1 else UNKNOWN_SHARES
    middle, found = None, []
    for share, corner in itertools.product(shares, ("value", "low", "high")):
        fits = _fits(steps, pair, corner, share)
        found += [_at(fit, steps[0].depth, depth, batch_size, grows) for fit in fits for grows in (True, False)]
        middle = middle or fits[0]
    assert middle is not None
    step_ms = over(_at(middle, steps[0].depth, depth, batch_size, grows=True), found)
    # A machine that was not quiet before may not be so again.
    disturbed = max(step.slowest_ms / step.step_ms.value for step in steps)
    return msgspec.structs.replace(step_ms, high=step_ms.high * disturbed), *middle


def _fits(
    steps: Sequence[MeasuredStep],
    pair: tuple[MeasuredStep, MeasuredStep] | None,
    corner: str,
    share: float | None,
) -> list[tuple[float, float]]:
    """Fit (ms per operation, ms per FLOP) at one end of the measured intervals; a pair also at its opposite ends."""
    times = [getattr(step.step_ms, corner) for step in steps]
    if share is not None:
        work = train_step(steps[0].depth)
        flop = work.flop_per_sample * steps[0].batch_size
        return [(share * times[0] / work.operation_count, (1 - share) * times[0] / flop)]
    if pair is None:
        return [_solve(steps, times)]
    ends = [("value", "value"), ("low", "high"), ("high", "low")]
    fits = [
        _solve(pair, [getattr(step.step_ms, end) for step, end in zip(pair, chosen, strict=True)]) for chosen in ends
    ]
    return [_scaled(fit, steps, times) for fit in fits]


def _solve(steps: Sequence[MeasuredStep], times: Sequence[float]) -> tuple[float, float]:
    """Solve for both parts by least squares of relative errors, neither of them below zero."""
    matrix = np.array([_amounts(step.depth, step.batch_size) for step in steps]) / np.array(times)[:, None]
    scale = matrix.max(axis=0)
    ones = np.ones(len(steps))
    operation, flop = np.linalg.lstsq(matrix / scale, ones, rcond=None)[0] / scale
    if operation < 0:
        return 0.0, float(matrix[:, 1] @ ones / (matrix[:, 1] @ matrix[:, 1]))
    if flop < 0:
        return float(matrix[:, 0] @ ones / (matrix[:, 0] @ matrix[:, 0])), 0.0
    return float(operation), float(flop)


def _scaled(fit: tuple[float, float], steps: Sequence[MeasuredStep], times: Sequence[float]) -> tuple[float, float]:
    ratios = [
        time_ms / np.dot(fit, _amounts(step.depth, step.batch_size)) for step, time_ms in zip(steps, times, strict=True)
    ]
    factor = float(np.mean(ratios))
    return fit[0] * factor, fit[1] * factor


def _amounts(depth: int, batch_size: int) -> tuple[float, float]:
    work = train_step(depth)
    return float(work.operation_count), work.flop_per_sample * batch_size


def _at(fit: tuple[float, float], measured_depth: int, depth: int, batch_size: int, grows: bool) -> float:
    """Return the step in ms; where the first part does not grow with the depth, it is the one measured."""
    operations = train_step(depth if grows else measured_depth).operation_count
    return fit[0] * operations + fit[1] * train_step(depth).flop_per_sample * batch_size


def _divided_by(steps: Sequence[MeasuredStep], pair: tuple[MeasuredStep, MeasuredStep] | None) -> str:
    if pair is not None:
        return f"the batch sizes of {pair[0].strategy} and {pair[1].strategy}"
    if len({step.batch_size for step in steps}) > 1:
        return "the batch sizes measured"
    return "an assumption: only one batch size was measured"
