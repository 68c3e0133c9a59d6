"""The pace of the timed window as signals: how long its calls took, and which took much longer than the others.

- `window_call_ms`: the mean from the end of one call to the end of the next; `low` and `high` are the 95 % range of the
  mean over blocks.
- `window_call_median_ms`: the median of the same.
- `window_long_calls`: how many calls took several times the median; `low` and `high` are the shortest and longest of
  these in ms.
- `window_long_share`: the share of the window (0 to 1) that these long calls took.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.blocks import BLOCKS, block_means, half_width
from gpuprobe.quantiles import median
from gpuprobe.records import Signal
from gpuprobe.thresholds import fixed
from gpuprobe.units import NS_PER_MS

if TYPE_CHECKING:
    from gpuprobe.records import Phase

SOURCE = "clock, calls of the timed window"


def pace(window: Phase | None) -> tuple[Signal, ...]:
    """Return the signals of a timed window; none where it has fewer calls than an interval needs (`BLOCKS`)."""
    if window is None or len(window.call_ends_ns) < BLOCKS:
        return ()
    ends_ns = (window.start_ns, *window.call_ends_ns)
    calls_ms = [(later - earlier) / NS_PER_MS for earlier, later in itertools.pairwise(ends_ns)]
    mean_ms, median_ms = math.fsum(calls_ms) / len(calls_ms), median(np.array(calls_ms))
    spread_ms = half_width(block_means(calls_ms))
    long_ms = [call_ms for call_ms in calls_ms if call_ms > fixed.LONG_CALL * median_ms]
    return (
        Signal(
            name="window_call_ms",
            unit="ms",
            source=SOURCE,
            value=mean_ms,
            # A window of few calls may spread by more than its mean, but no call takes less than no time.
            low=max(0.0, mean_ms - spread_ms),
            high=mean_ms + spread_ms,
            n=len(calls_ms),
        ),
        Signal(name="window_call_median_ms", unit="ms", source=SOURCE, value=median_ms, n=len(calls_ms)),
        Signal(
            name="window_long_calls",
            unit="",
            source=SOURCE,
            value=float(len(long_ms)),
            low=min(long_ms, default=None),
            high=max(long_ms, default=None),
            n=len(calls_ms),
        ),
        Signal(
            name="window_long_share",
            unit="of the window",
            source=SOURCE,
            value=sum(long_ms) / sum(calls_ms) if sum(calls_ms) else 0.0,
            n=len(calls_ms),
        ),
    )
