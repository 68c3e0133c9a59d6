"""The pace of the timed window as signals: what its calls took, and those of them that took much longer.

The signals: `window_call_ms`, the mean of a call with what lies between two, whose `low` and `high` are the 95 % range
of the mean over blocks; `window_call_median_ms`; `window_long_calls`, how many took several times the median, with the
shortest and the longest of them in ms; `window_long_share`, their share of the window.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.blocks import BLOCKS, block_means, half_width
from gpuprobe.ledger.quantiles import median
from gpuprobe.records import Signal
from gpuprobe.thresholds import fixed
from gpuprobe.units import NS_PER_MS

if TYPE_CHECKING:
    from gpuprobe.records import Phase

SOURCE = "clock, calls of the timed window"


def pace(window: Phase | None) -> tuple[Signal, ...]:
    """Return the signals of a window; none where it has too few calls for an interval."""
    if window is None or len(window.call_ends_ns) < BLOCKS:
        return ()
    ends_ns = (window.start_ns, *window.call_ends_ns)
    calls_ms = [(later - earlier) / NS_PER_MS for earlier, later in itertools.pairwise(ends_ns)]
    mean_ms, median_ms = math.fsum(calls_ms) / len(calls_ms), median(np.array(calls_ms))
    spread_ms = half_width(block_means(calls_ms))
    long = [call for call in calls_ms if call > fixed.LONG_CALL * median_ms]
    return (
        Signal(
            name="window_call_ms",
            unit="ms",
            source=SOURCE,
            value=mean_ms,
            low=mean_ms - spread_ms,
            high=mean_ms + spread_ms,
            n=len(calls_ms),
        ),
        Signal(name="window_call_median_ms", unit="ms", source=SOURCE, value=median_ms, n=len(calls_ms)),
        Signal(
            name="window_long_calls",
            unit="",
            source=SOURCE,
            value=float(len(long)),
            low=min(long, default=None),
            high=max(long, default=None),
            n=len(calls_ms),
        ),
        Signal(
            name="window_long_share",
            unit="of the window",
            source=SOURCE,
            value=sum(long) / sum(calls_ms) if sum(calls_ms) else 0.0,
            n=len(calls_ms),
        ),
    )
