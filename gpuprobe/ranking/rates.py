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
    """The logarithm of one run's rate (samples/s), and its standard error.

    `blocks` is how many blocks of the window, or turns, both come from; `block_rates` are those of the window's blocks.
    """

    log_rate: float
    log_error: float
    blocks: int
    block_rates: tuple[float, ...]


def window_rate(window: Phase, batch_size: int) -> RunRate | None:
    """Return the rate of a timed window, None where it has too few calls."""
    ends_s = np.asarray((window.start_ns, *window.call_ends_ns), np.float64) / NS_PER_S
    call_count = len(ends_s) - 1
    blocks = min(BLOCKS, call_count)
    if blocks < fixed.FEWEST_BLOCKS or ends_s[-1] <= ends_s[0]:
        return None
    block_edges = np.linspace(0, call_count, blocks + 1).round().astype(int)
    samples = np.diff(block_edges) * window.steps_per_call * batch_size
    block_rates = samples / np.diff(ends_s[block_edges])
    if not np.all(np.isfinite(block_rates) & (block_rates > 0)):
        return None
    log_rate = math.log(call_count * window.steps_per_call * batch_size / (ends_s[-1] - ends_s[0]))
    log_error = float(np.log(block_rates).std(ddof=1)) / math.sqrt(blocks)
    return RunRate(log_rate, log_error, blocks, tuple(block_rates.tolist()))


def run_rate(run: Run) -> RunRate | None:
    """Return the rate of a measured run, None where its window is missing or has too few calls.

    An interrupted run counts if its timed window was complete. The rate of a run that took turns is that of its window
    and turns together, which cover more time; its `block_rates` are those of the window.
    """
    window = run.phase("window")
    if not run.is_measured or window is None or run.settings is None:
        return None
    window_only = window_rate(window, run.settings.batch_size)
    turns = [phase for phase in run.phases if phase.lap and phase.steps_per_s]
    if window_only is None or len(turns) < fixed.FEWEST_BLOCKS:
        return window_only
    log_rates = np.log([run.settings.batch_size * phase.steps_per_s for phase in (window, *turns) if phase.steps_per_s])
    log_error = float(log_rates.std(ddof=1)) / math.sqrt(len(log_rates))
    return RunRate(float(log_rates.mean()), log_error, len(log_rates), window_only.block_rates)


def interval_of_run(rate: RunRate) -> Interval:
    """Return the interval of a single run, from the spread of its blocks alone."""
    return log_interval(rate.log_rate, student_t(rate.blocks - 1) * rate.log_error, rate.blocks, 1)


def student_t(freedom: int) -> float:
    """Return how many standard errors the 95 % interval reaches to either side (Student's t, two-sided)."""
    # From `scipy.special`, since importing `scipy.stats` takes longer than all its use here.
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def log_interval(log_value: float, log_half: float, n: int, rounds: int) -> Interval:
    """Return the interval exp(log_value +- log_half), of `n` values of so many rounds."""
    capped_half = min(log_half, 50.0)
    low, high = math.exp(log_value - capped_half), math.exp(log_value + capped_half)
    return Interval(value=math.exp(log_value), low=low, high=high, n=n, rounds=rounds)


def step_times_ms(run: Run) -> NDArray[np.float64]:
    """Return the time of each call of the timed window, divided by the steps of a call (ms a step)."""
    window = run.phase("window")
    if window is None:
        return np.empty(0)
    ends_ns = np.asarray((window.start_ns, *window.call_ends_ns), np.float64)
    return np.diff(ends_ns) / NS_PER_MS / window.steps_per_call


def why_unstable(rates: Sequence[RunRate]) -> str | None:
    """Return why a strategy's rate is unstable, None where it is not. Thresholds: pyperf, `format_checks`."""
    block_rates = np.concatenate([rate.block_rates for rate in rates]) if rates else np.empty(0)
    if len(block_rates) < fixed.FEWEST_BLOCKS:
        return None
    mean, deviation = block_rates.mean(), block_rates.std(ddof=1)
    if deviation >= fixed.UNSTABLE_SPREAD * mean:
        return f"unstable: its blocks spread by {100 * deviation / mean:.0f} % of their mean"
    largest_distance = float(np.abs(block_rates - mean).max() / mean)
    if largest_distance >= fixed.UNSTABLE_EXTREME:
        return f"unstable: one block is {100 * largest_distance:.0f} % off the mean"
    return None


def rate_so_far(run: Run) -> Interval | None:
    """Return the rate of a run from the calls of its timed window so far; None where they are too few."""
    window = run.phase("window")
    rate = window_rate(window, run.settings.batch_size) if window and run.settings else None
    return interval_of_run(rate) if rate else None
