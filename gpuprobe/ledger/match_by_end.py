"""Matches the exchanges of several devices by when they end, and puts them side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.quantiles import median
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gpuprobe.traces.timeline import Int64s

# Ends belong to different exchanges if they lie further apart than this time and than this share of the exchange's
# longest time. On GPUs the ends of one exchange lie microseconds apart; on a processor a thread that waits for a core
# ends late.
APART_PS, APART_SHARE = 200_000_000, 0.25


def side_by_side(members: Sequence[Int64s], hosts: Sequence[str], unix: bool) -> Int64s | None:
    """Return the exchanges of one kind that all members show, (d, k, 2 or more); None where they are not the same.

    `members` are the exchanges of each member, (n, 2 or more): start, end, and further columns, in order. The traces of
    a job do not begin and end at the same time, so one may hold a few more exchanges at either end.
    """
    first = min(range(len(members)), key=lambda row: len(members[row]))
    ahead = [
        _shift(exchanges, members[first], hosts[row] == hosts[first], unix) for row, exchanges in enumerate(members)
    ]
    if None in ahead:
        return None
    indices = np.array([index for index in ahead if index is not None])
    low = max(0, -int(indices.min()))
    high = min(len(exchanges) - int(index) for exchanges, index in zip(members, indices, strict=True))
    if high <= low:
        return None
    columns = np.stack(
        [exchanges[low + index : high + index] for exchanges, index in zip(members, indices.tolist(), strict=True)]
    )
    apart = apart_ps(columns[:, :, 1], hosts)
    return columns if (apart <= allowed_ps(columns)).mean() >= fixed.EXCHANGES_TOGETHER else None


def _shift(exchanges: Int64s, first: Int64s, one_clock: bool, unix: bool) -> int | None:
    """Return how many exchanges a member shows before the first exchange of another; None where they do not fit.

    If steps are alike, several shifts fit. With Unix clocks, the shift with the smallest clock difference counts,
    unless the ends fit one shift much better. Other clocks prove nothing: then no shift counts if both show the same
    number of exchanges, else the shift that fits by far the best.
    """
    fewest = max(1 if one_clock or unix else fixed.EXCHANGES_TELLING, len(first) - fixed.EXCHANGES_EDGE)
    offset: dict[int, float] = {}
    spread: dict[int, float] = {}
    for index in range(-fixed.EXCHANGES_EDGE, len(exchanges) - len(first) + fixed.EXCHANGES_EDGE + 1):
        low, high = max(0, -index), min(len(first), len(exchanges) - index)
        if high - low < fewest:
            continue
        pair = np.stack([first[low:high], exchanges[low + index : high + index]])
        apart = pair[1, :, 1] - pair[0, :, 1]
        usual = 0.0 if one_clock else median(apart)
        if (np.abs(apart - usual) <= allowed_ps(pair)).mean() >= fixed.EXCHANGES_TOGETHER:
            offset[index] = abs(median(apart))
            spread[index] = float(np.abs(apart - usual).mean())
    if one_clock or (unix and not _ends_decide(spread, len(first))):
        return min(offset, key=offset.__getitem__, default=None)
    if unix:
        return min(spread, key=spread.__getitem__, default=None)
    if len(exchanges) == len(first) and (0 in offset or len(exchanges) < fixed.EXCHANGES_TELLING):
        return 0
    best = min(spread, key=spread.__getitem__, default=None)
    others = [value for index, value in spread.items() if index != best]
    return best if best is None or all(2 * spread[best] < other for other in others) else None


def allowed_ps(columns: Int64s) -> NDArray[np.float64]:
    """Return how far apart the ends of each exchange, (d, k, 2 or more), may lie, (k,) ps."""
    longest: Int64s = (columns[:, :, 1] - columns[:, :, 0]).max(axis=0)
    allowed: NDArray[np.float64] = np.maximum(float(APART_PS), APART_SHARE * longest)
    return allowed


def _ends_decide(spread: dict[int, float], count: int) -> bool:
    """Whether the ends fit one shift so much better than any other that the clocks do not matter."""
    best, *others = sorted(spread.values()) or [0.0]
    return count >= 2 * fixed.EXCHANGES_TELLING and all(
        fixed.EXCHANGES_FIT_BETTER * max(best, 1.0) < other for other in others
    )


def apart_ps(end: Int64s, hosts: Sequence[str]) -> Int64s:
    """Return how far apart the ends of each collective lie, (k,) ps, after each host's median offset is subtracted."""
    offset = {host: median((end[[name == host for name in hosts]] - end[0]).ravel()) for host in dict.fromkeys(hosts)}
    on_one_clock = end - np.array([[offset[host]] for host in hosts]).astype(np.int64)
    apart: Int64s = on_one_clock.max(axis=0) - on_one_clock.min(axis=0)
    return apart
