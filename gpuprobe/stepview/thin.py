"""Thins a long trace for the page: the shortest events of a lane are merged with their neighbours.

No event is lost: a merged stretch has the number of its events and their total time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.traces.timeline import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gpuprobe.stepview.lanes import Lane
    from gpuprobe.traces.timeline import Int64s

# The most events of a page: Chromium decodes and draws so many within two seconds.
MOST_EVENTS = 300_000
# The share of that number for unmerged events at first; while too many are left, the length limit grows by this factor.
LONGER, COARSER = 0.75, 1.5


@dataclass(frozen=True)
class Thinned:
    """The thinned lanes: of the trace's `events`, `joined` were merged into `stretches`.

    Only events shorter than `below_ps` were merged; 0 where none was.
    """

    lanes: tuple[Lane, ...]
    events: int
    joined: int
    stretches: int
    below_ps: int


def thinned(lanes: Sequence[Lane], most: int = MOST_EVENTS) -> Thinned:
    """Merge the shortest events, so that at most so many are left; isolated ones stay as they are."""
    events = sum(len(lane) for lane in lanes)
    if events <= most:
        return Thinned(tuple(lanes), events, 0, 0, 0)
    lengths = np.concatenate([lane.end_ps - lane.start_ps for lane in lanes])
    # The unmerged events leave room for the merged ones.
    longer = int(most * LONGER)
    below = max(2, int(np.partition(lengths, len(lengths) - longer)[len(lengths) - longer]))
    made = [_joined(lane, below) for lane in lanes]
    while sum(len(lane) for lane in made) > most:
        below = int(below * COARSER)
        made = [_joined(lane, below) for lane in lanes]
    stands = [lane.count[lane.count > 1] for lane in made]
    joined = sum(int(count.sum()) for count in stands)
    return Thinned(tuple(made), events, joined, sum(map(len, stands)), below)


def _joined(lane: Lane, below_ps: int) -> Lane:
    """Merge events of one depth that are shorter, and closer together, than the limit."""
    if not len(lane):
        return lane
    order = np.lexsort((lane.start_ps, lane.depth))
    start, end, depth = lane.start_ps[order], lane.end_ps[order], lane.depth[order]
    short = end - start < below_ps
    with_last = np.zeros(len(order), np.bool_)
    with_last[1:] = short[1:] & short[:-1] & (depth[1:] == depth[:-1]) & (start[1:] - end[:-1] < below_ps)
    first = np.flatnonzero(~with_last)
    run = np.cumsum(~with_last) - 1
    longest = _longest_of_each(end - start, run)
    kept = order[longest]
    count = np.bincount(run)
    busy: Int64s = np.add.reduceat(end - start, first)
    by_start = np.argsort(start[first], kind="stable")
    kept, firsts = kept[by_start], order[first][by_start]
    return replace(
        lane,
        start_ps=start[first][by_start],
        end_ps=np.maximum.reduceat(end, first)[by_start],
        name=lane.name[kept],
        depth=depth[first][by_start],
        op=np.where((count == 1)[by_start], lane.op[kept], UNKNOWN) if len(lane.op) else lane.op,
        launch_ps=lane.launch_ps[firsts] if len(lane.launch_ps) else lane.launch_ps,
        launched_by=lane.launched_by[firsts] if len(lane.launched_by) else lane.launched_by,
        count=count[by_start],
        busy_ps=busy[by_start],
    )


def _longest_of_each(length: Int64s, run: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the index of the longest event of each run, whose numbers rise."""
    order = np.lexsort((length, run))
    last = np.flatnonzero(np.append(run[order][1:] != run[order][:-1], True))
    return order[last]
