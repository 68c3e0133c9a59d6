"""The rate of one run: samples per second over its timed window, and the spread of its blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from gpuprobe.blocks import BLOCKS
from gpuprobe.records import Record
from gpuprobe.thresholds import fixed
from gpuprobe.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gpuprobe.records import Phase, Run

CONFIDENCE = 0.95


class Interval(Record, frozen=True, kw_only=True):
    """A figure with its 95 % interval, from `n` values of so many `rounds`."""

    value: float
    low: float
    high: float
    n: int
    rounds: int = 1

    def inverse(self, factor: float = 1.0) -> Interval:
        """Return the interval of `factor` divided by the figure, for figures above zero."""
        return Interval(
            value=factor / self.value,
            low=factor / self.high,
            high=factor / self.low if self.low > 0 else math.inf,
            n=self.n,
            rounds=self.rounds,
        )


@dataclass(frozen=True)
class RunRate:
    """The logarithm of one run's rate, its standard error by the blocks, and the blocks."""

    log_rate: float
    log_error: float
    blocks: int
    block_rates: tuple[float, ...]


def window_rate(window: Phase, batch_size: int) -> RunRate | None:
    """Return the rate of a timed window, None where it has too few calls."""
    ends = np.asarray((window.start_ns, *window.call_ends_ns), np.float64) / NS_PER_S
    calls = len(ends) - 1
    blocks = min(BLOCKS, calls)
    if blocks < fixed.FEWEST_BLOCKS or ends[-1] <= ends[0]:
        return None
    edges = np.linspace(0, calls, blocks + 1).round().astype(int)
    samples = np.diff(edges) * window.steps_per_call * batch_size
    rates = samples / np.diff(ends[edges])
    if not np.all(np.isfinite(rates) & (rates > 0)):
        return None
    log_rate = math.log(calls * window.steps_per_call * batch_size / (ends[-1] - ends[0]))
    error = float(np.log(rates).std(ddof=1)) / math.sqrt(blocks)
    return RunRate(log_rate, error, blocks, tuple(rates.tolist()))


def run_rate(run: Run) -> RunRate | None:
    """Return the rate of a measured run, None where its window is missing or has too few calls.

    An interrupted run counts if its timed window was complete. The rate of a run that took turns is that of its window
    and turns together, which cover more time; its blocks are those of the window.
    """
    window = run.phase("window")
    if not run.is_measured or window is None or run.settings is None:
        return None
    alone = window_rate(window, run.settings.batch_size)
    turns = [phase for phase in run.phases if phase.lap and phase.steps_per_s]
    if alone is None or len(turns) < fixed.FEWEST_BLOCKS:
        return alone
    rates = np.log([run.settings.batch_size * phase.steps_per_s for phase in (window, *turns) if phase.steps_per_s])
    error = float(rates.std(ddof=1)) / math.sqrt(len(rates))
    return RunRate(float(rates.mean()), error, len(rates), alone.block_rates)


def interval_of_one(rate: RunRate) -> Interval:
    """Return the interval of a single run, from the spread of its blocks alone."""
    return log_interval(rate.log_rate, student_t(rate.blocks - 1) * rate.log_error, rate.blocks, 1)


def student_t(freedom: int) -> float:
    """Return how many standard errors the 95 % interval reaches to either side (Student's t, two-sided)."""
    # From `scipy.special`, since importing `scipy.stats` takes longer than all its use here.
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def log_interval(log_value: float, log_half: float, n: int, rounds: int) -> Interval:
    """Return exp(value +- half) as an interval."""
    half = min(log_half, 50.0)
    low, high = math.exp(log_value - half), math.exp(log_value + half)
    return Interval(value=math.exp(log_value), low=low, high=high, n=n, rounds=rounds)


def step_times_ms(run: Run) -> NDArray[np.float64]:
    """Return the time of each step of the timed window; where a call runs several, each counts as an equal share."""
    window = run.phase("window")
    if window is None:
        return np.empty(0)
    ends = np.asarray((window.start_ns, *window.call_ends_ns), np.float64)
    return np.diff(ends) / NS_PER_MS / window.steps_per_call


def unstable(rates: Sequence[RunRate]) -> str | None:
    """Return why a strategy's rate is unstable, or None. Thresholds: pyperf, `format_checks`."""
    blocks = np.concatenate([rate.block_rates for rate in rates]) if rates else np.empty(0)
    if len(blocks) < fixed.FEWEST_BLOCKS:
        return None
    mean, spread = blocks.mean(), blocks.std(ddof=1)
    if spread >= fixed.UNSTABLE_SPREAD * mean:
        return f"unstable: its blocks spread by {100 * spread / mean:.0f} % of their mean"
    extreme = float(np.abs(blocks - mean).max() / mean)
    if extreme >= fixed.UNSTABLE_EXTREME:
        return f"unstable: one block is {100 * extreme:.0f} % off the mean"
    return None


def rate_so_far(run: Run) -> Interval | None:
    """Return the rate of a run, by the calls of its timed window so far."""
    window = run.phase("window")
    rate = window_rate(window, run.settings.batch_size) if window and run.settings else None
    return interval_of_one(rate) if rate else None
