"""Divides measured steps into a part per operation and a part per FLOP, and puts a step together from them.

    step = operations x a + FLOP x batch x b

Two batch sizes of one strategy give a and b. Where the wanted strategy ran with one batch size only, another pair of
runs that differ in nothing but the batch (`large_batch`) says how the step divides, and the wanted one is scaled to it.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from gpuprobe.predict.estimate import Estimate, over
from gpuprobe.predict.work import train_step
from gpuprobe.records import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def predict_step(
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


def divided_by(steps: Sequence[MeasuredStep], pair: tuple[MeasuredStep, MeasuredStep] | None) -> str:
    """Say in words what told the two parts of the step apart."""
    if pair is not None:
        return f"the batch sizes of {pair[0].strategy} and {pair[1].strategy}"
    if len({step.batch_size for step in steps}) > 1:
        return "the batch sizes measured"
    return "an assumption: only one batch size was measured"
