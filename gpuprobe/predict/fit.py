"""Divides measured steps into a time per operation and a time per FLOP, and predicts steps from them.

    step = operations x a + FLOP x batch x b

Two batch sizes of one strategy give a and b. Where the wanted strategy ran with only one batch size, the division comes
from another pair of runs that differ only in the batch size (`large_batch`), scaled to the wanted strategy's step.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from gpuprobe.predict.estimate import Estimate, over
from gpuprobe.predict.work import train_step
from gpuprobe.records import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

# An assumption where no pair of batch sizes was measured: the part per operation is between none and half of the step.
UNKNOWN_SHARES = (0.25, 0.0, 0.5)
# ms per operation, ms per FLOP.
Parts = tuple[float, float]


class MeasuredStep(Record, frozen=True, kw_only=True):
    """A strategy's measured step: what was trained, and the step time of its fastest run with its 95 % interval.

    `slowest_ms` is the step time of the slowest run: their distance shows how much the machine was disturbed.
    """

    study: str
    strategy: str
    depth: int
    batch_size: int
    step_ms: Estimate
    slowest_ms: float


Pair = tuple[MeasuredStep, MeasuredStep]


def predict_step(
    steps: Sequence[MeasuredStep], pair: Pair | None, depth: int, batch_size: int
) -> tuple[Estimate, Parts, str]:
    """Return the step in ms over all ends of the measured intervals, its two parts, and their source in words."""
    fitted_steps, divided_by = _fittable(steps, pair)
    if fitted_steps is None:
        steps = [min(steps, key=lambda step: abs(math.log(step.batch_size / batch_size)))]
    shares = UNKNOWN_SHARES if fitted_steps is None else (None,)
    fits = [
        fit
        for share in shares
        for corner in ("value", "low", "high")
        for fit in _fits(steps, fitted_steps, corner, share)
    ]
    estimates = [_at(fit, steps[0].depth, depth, batch_size, grows) for fit in fits for grows in (True, False)]
    step_ms = over(estimates[0], estimates)
    # A machine that was disturbed before may be so again.
    disturbed = max(step.slowest_ms / step.step_ms.value for step in steps)
    return msgspec.structs.replace(step_ms, high=step_ms.high * disturbed), fits[0], divided_by


def _fittable(steps: Sequence[MeasuredStep], pair: Pair | None) -> tuple[Sequence[MeasuredStep] | None, str]:
    """Return the measured steps to fit both parts to, None where none will do, and the source of the parts in words."""
    several = len({step.batch_size for step in steps}) > 1
    fitted_steps: Sequence[MeasuredStep] | None = steps if several else pair
    if fitted_steps is None:
        return None, "an assumption, since only one batch size was measured"
    if min(_least_squares(fitted_steps, [step.step_ms.value for step in fitted_steps])) < 0:
        return None, "an assumption, since the batch sizes measured contradict each other: the machine was not quiet"
    return fitted_steps, f"the batch sizes of {' and '.join(dict.fromkeys(step.strategy for step in fitted_steps))}"


def _fits(
    steps: Sequence[MeasuredStep], fitted_steps: Sequence[MeasuredStep] | None, corner: str, share: float | None
) -> list[Parts]:
    """Fit both parts to the ends of the measured intervals: the two batch sizes at equal and at opposite ends.

    `corner` is the end to take. Where nothing can be fitted, the part per operation is an assumed `share` of the step.
    The closer the batch sizes are, the wider the range from opposite ends.
    """
    times = [getattr(step.step_ms, corner) for step in steps]
    if fitted_steps is None or share is not None:
        operations, flop = _amounts(steps[0].depth, steps[0].batch_size)
        part = share or 0.0
        return [(part * times[0] / operations, (1 - part) * times[0] / flop)]
    if fitted_steps is steps:
        middle = float(np.median([step.batch_size for step in steps]))
        beyond = {"value": "value", "low": "high", "high": "low"}[corner]
        apart = [getattr(step.step_ms, corner if step.batch_size <= middle else beyond) for step in steps]
        return [_solve(steps, times), _solve(steps, apart)]
    ends = [("value", "value"), ("low", "high"), ("high", "low")]
    fits = [
        _solve(fitted_steps, [getattr(step.step_ms, end) for step, end in zip(fitted_steps, chosen, strict=True)])
        for chosen in ends
    ]
    return [_scaled(fit, steps, times) for fit in fits]


def _solve(steps: Sequence[MeasuredStep], times: Sequence[float]) -> Parts:
    """Solve for both parts, neither of them below zero."""
    operation, flop = _least_squares(steps, times)
    if operation >= 0 and flop >= 0:
        return operation, flop
    column = 1 if operation < 0 else 0
    ratios = np.array([_amounts(step.depth, step.batch_size)[column] for step in steps]) / np.array(times)
    part = float(ratios.sum() / (ratios @ ratios))
    return (0.0, part) if column else (part, 0.0)


def _least_squares(steps: Sequence[MeasuredStep], times: Sequence[float]) -> Parts:
    """Solve by least squares of relative errors; noise may put a part below zero."""
    matrix = np.array([_amounts(step.depth, step.batch_size) for step in steps]) / np.array(times)[:, None]
    scale = matrix.max(axis=0)
    operation, flop = np.linalg.lstsq(matrix / scale, np.ones(len(steps)), rcond=None)[0] / scale
    return float(operation), float(flop)


def _scaled(fit: Parts, steps: Sequence[MeasuredStep], times: Sequence[float]) -> Parts:
    ratios = [
        time_ms / np.dot(fit, _amounts(step.depth, step.batch_size)) for step, time_ms in zip(steps, times, strict=True)
    ]
    factor = float(np.mean(ratios))
    return fit[0] * factor, fit[1] * factor


def _amounts(depth: int, batch_size: int) -> tuple[float, float]:
    work = train_step(depth)
    return float(work.operation_count), work.flop_per_sample * batch_size


def _at(fit: Parts, measured_depth: int, depth: int, batch_size: int, grows: bool) -> float:
    """Return the step in ms at a depth; the part per operation grows with the depth, or stays as measured."""
    operations = train_step(depth if grows else measured_depth).operation_count
    return fit[0] * operations + fit[1] * train_step(depth).flop_per_sample * batch_size
