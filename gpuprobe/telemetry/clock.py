"""Corrects the time stamps of a log: single wrong ones, and clocks that were set back."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.telemetry import windows
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from gpuprobe.telemetry.windows import Times

# The latest time that is read, in the year 2116: the sum of two such times fits into 64 bits.
LATEST_NS = 2**62
# Rows of two writers, or of two cards, may be out of order by this much.
OUT_OF_ORDER_NS = 5 * NS_PER_S


def straighten(times: Times) -> tuple[Times, tuple[str, ...]]:
    """Return the times (n,) of one device, in file order, with wrong ones corrected, and what was corrected.

    A single time far from both neighbours is put between them. Where the clock was set back, so that later rows would
    overlap earlier ones, all later rows are moved behind those. Rows slightly out of order, gaps, and blocks in the
    wrong order that do not overlap are left unchanged: sorting suffices.
    """
    if len(times) < 2 or not (np.diff(times) < 0).any():
        return times, ()
    usual_ns, limit_ns = windows.limits(times, OUT_OF_ORDER_NS)
    mended, strays = _without_strays(times, usual_ns, limit_ns)
    notices = [f"wrong time stamps are put between their neighbours, {strays} in all"] if strays else []
    back = np.flatnonzero(np.diff(mended) < -limit_ns) + 1
    if len(back) and _overlap(mended, back):
        moves = mended[back - 1] - mended[back] + usual_ns
        if float(mended.max()) + float(moves.sum(dtype=np.float64)) >= LATEST_NS:
            return mended, (*notices, "the clock was set back in it by more years than can be put one behind the other")
        mended[back[0] :] += np.repeat(np.cumsum(moves), np.diff(np.append(back, len(mended))))
        notices.append("the clock was set back in it: what follows is put behind what was read before")
    return mended, tuple(notices)


def _without_strays(times: Times, usual_ns: int, limit_ns: int) -> tuple[Times, int]:
    """Move times that are far from both neighbours between them, where the neighbours are in order; return how many."""
    ends = np.array([times[1] - usual_ns, times[-2] + usual_ns], np.int64)
    before, after = np.append(ends[:1], times[:-1]), np.append(times[1:], ends[1:])
    near_after = (before <= after) & (after - before <= limit_ns)
    off = near_after & ((times > after + limit_ns) | (times < before - limit_ns))
    # The last row may be the first after a gap: it is wrong only if its time goes back.
    off[-1] &= bool(times[-1] < times[-2])
    off[0] &= bool(times[0] > times[1])
    middle: Times = np.where(off, before + (after - before) // 2, times)
    return middle, int(off.sum())


def _overlap(times: Times, back: Times) -> bool:
    """Whether two of the parts, split where time goes back, overlap in time."""
    parts = np.split(times, back)
    spans = sorted((int(part.min()), int(part.max())) for part in parts)
    return any(start <= end for (_, end), (start, _) in itertools.pairwise(spans))
