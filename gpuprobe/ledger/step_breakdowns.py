"""The breakdown of each step of a device, and the mean and spread of the steps that count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.intervals import covered
from gpuprobe.ledger.records import Spread, StepBreakdown
from gpuprobe.quantiles import median, percentile
from gpuprobe.thresholds import fixed
from gpuprobe.traces.timeline import UNKNOWN
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from gpuprobe.ledger.intervals import Intervals
    from gpuprobe.ledger.steps import Windows

# The standard deviation over the median absolute deviation of a normal distribution.
SIGMA_PER_MAD = 1.4826


@dataclass(frozen=True)
class StepBreakdowns:
    """The steps of one device: all, the number of warm-up steps, those that count, and their mean and spread."""

    each: list[StepBreakdown]
    warmup: int
    counted: list[StepBreakdown]
    typical: StepBreakdown
    spread: Spread

    @classmethod
    def of(cls, windows: Windows, parts: dict[str, Intervals]) -> StepBreakdowns:
        """Give each step its time in each of the exclusive parts."""
        each = _each_step(windows, parts)
        warmup = _warmup(each)
        counted = _counted(each, warmup, windows)
        return cls(each, warmup, counted, _average(counted), _spread(counted))


def _each_step(windows: Windows, parts: dict[str, Intervals]) -> list[StepBreakdown]:
    cover = {name: covered(part, windows.start_ps, windows.end_ps) / PS_PER_MS for name, part in parts.items()}
    lasted = (windows.end_ps - windows.start_ps) / PS_PER_MS
    return [
        StepBreakdown(
            number=int(number) if number != UNKNOWN else None,
            step_ms=float(lasted[index]),
            ledger_ms={name: float(values[index]) for name, values in cover.items()},
        )
        for index, number in enumerate(windows.number.tolist())
    ]


def _average(steps: list[StepBreakdown]) -> StepBreakdown:
    """Return the mean step. Only means add up, and a wait in every fourth step counts with a quarter."""
    count = len(steps)
    ledger = {name: sum(step.ledger_ms[name] for step in steps) / count for name in steps[0].ledger_ms}
    return StepBreakdown(number=None, step_ms=sum(step.step_ms for step in steps) / count, ledger_ms=ledger)


def _warmup(steps: list[StepBreakdown]) -> int:
    """Return the number of warm-up steps, 0 or 1."""
    lasted = [step.step_ms for step in steps]
    if len(lasted) <= fixed.WARMUP_OTHERS:
        return 0
    return int(lasted[0] > fixed.WARMUP_FACTOR * max(lasted[1:]))


def _counted(steps: list[StepBreakdown], warmup: int, windows: Windows) -> list[StepBreakdown]:
    """Return the steps without warm-up, and without a last step that is not whole if others are left."""
    rest = steps[warmup:]
    return rest if windows.whole or len(rest) < 2 else rest[:-1]


def _spread(steps: list[StepBreakdown]) -> Spread:
    lasted = np.array([step.step_ms for step in steps])
    middle = median(lasted)
    away = np.abs(lasted - middle)
    limit = max(fixed.OUTLIER_SIGMAS * SIGMA_PER_MAD * median(away), fixed.STEP_OUTLIER * middle)
    low, high = percentile(lasted, 5), percentile(lasted, 95)
    return Spread(median_ms=middle, p5_ms=low, p95_ms=high, outliers=tuple(np.flatnonzero(away > limit).tolist()))
