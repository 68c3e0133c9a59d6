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


def correct_times(times_ns: Times) -> tuple[Times, tuple[str, ...]]:
    """Return the times (n,) of one device, in file order, with wrong ones corrected, and what was corrected.

    A single time far from both neighbours is put between them. Where the clock was set back, so that later rows would
    overlap earlier ones, all later rows are moved behind those. Rows slightly out of order, gaps, and blocks in the
    wrong order that do not overlap are left unchanged: sorting suffices.
    """
    if len(times_ns) < 2 or not (np.diff(times_ns) < 0).any():
        return times_ns, ()
    usual_ns, limit_ns = windows.limits(times_ns, OUT_OF_ORDER_NS)
    corrected_ns, stray_count = _without_strays(times_ns, usual_ns, limit_ns)
    notices = [f"wrong time stamps are put between their neighbours, {stray_count} in all"] if stray_count else []
    set_back_at = np.flatnonzero(np.diff(corrected_ns) < -limit_ns) + 1
    if len(set_back_at) and _parts_overlap(corrected_ns, set_back_at):
        shifts_ns = corrected_ns[set_back_at - 1] - corrected_ns[set_back_at] + usual_ns
        if float(corrected_ns.max()) + float(shifts_ns.sum(dtype=np.float64)) >= LATEST_NS:
            return corrected_ns, (
                *notices,
                "the clock was set back by too many years to put the readings in order",
            )
        corrected_ns[set_back_at[0] :] += np.repeat(
            np.cumsum(shifts_ns), np.diff(np.append(set_back_at, len(corrected_ns)))
        )
        notices.append("the clock was set back: later readings are put behind the earlier ones")
    return corrected_ns, tuple(notices)


def _without_strays(times_ns: Times, usual_ns: int, limit_ns: int) -> tuple[Times, int]:
    """Move times that are far from both neighbours between them, where the neighbours are in order; return how many."""
    extrapolated_ends = np.array([times_ns[1] - usual_ns, times_ns[-2] + usual_ns], np.int64)
    before_ns, after_ns = (
        np.append(extrapolated_ends[:1], times_ns[:-1]),
        np.append(times_ns[1:], extrapolated_ends[1:]),
    )
    neighbours_close = (before_ns <= after_ns) & (after_ns - before_ns <= limit_ns)
    is_stray = neighbours_close & ((times_ns > after_ns + limit_ns) | (times_ns < before_ns - limit_ns))
    # The last row may be the first after a gap: it is wrong only if its time goes back.
    is_stray[-1] &= bool(times_ns[-1] < times_ns[-2])
    is_stray[0] &= bool(times_ns[0] > times_ns[1])
    corrected_ns: Times = np.where(is_stray, before_ns + (after_ns - before_ns) // 2, times_ns)
    return corrected_ns, int(is_stray.sum())


def _parts_overlap(times_ns: Times, set_back_at: Times) -> bool:
    """Whether two of the parts, split where time goes back, overlap in time."""
    time_parts = np.split(times_ns, set_back_at)
    part_spans = sorted((int(time_part.min()), int(time_part.max())) for time_part in time_parts)
    return any(start <= end for (_, end), (start, _) in itertools.pairwise(part_spans))
