"""Reduces the events of a long trace for the page: the shortest events of a lane are merged with their neighbours.

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

# The most events of a page: Chromium decodes and draws this many within two seconds.
MOST_EVENTS = 300_000
# At first this share of that number may stay unmerged; while too many events are left, the length limit of merged ones
# grows by this factor.
UNMERGED_SHARE, LIMIT_GROWTH = 0.75, 1.5


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


def thinned(lanes: Sequence[Lane], most_events: int = MOST_EVENTS) -> Thinned:
    """Merge the shortest events until at most `most_events` are left; an event without a near neighbour stays."""
    events = sum(len(lane) for lane in lanes)
    if events <= most_events:
        return Thinned(tuple(lanes), events, 0, 0, 0)
    lengths = np.concatenate([lane.end_ps - lane.start_ps for lane in lanes])
    # The unmerged events leave room for the merged ones.
    unmerged_events = int(most_events * UNMERGED_SHARE)
    merged_below_ps = max(2, int(np.partition(lengths, len(lengths) - unmerged_events)[len(lengths) - unmerged_events]))
    thinned_lanes = [_merged_lane(lane, merged_below_ps) for lane in lanes]
    while sum(len(lane) for lane in thinned_lanes) > most_events:
        merged_below_ps = int(merged_below_ps * LIMIT_GROWTH)
        thinned_lanes = [_merged_lane(lane, merged_below_ps) for lane in lanes]
    merged_counts = [lane.count[lane.count > 1] for lane in thinned_lanes]
    merged_events = sum(int(count.sum()) for count in merged_counts)
    return Thinned(tuple(thinned_lanes), events, merged_events, sum(map(len, merged_counts)), merged_below_ps)


def _merged_lane(lane: Lane, below_ps: int) -> Lane:
    """Merge neighbouring events of the same depth that are shorter than the limit, and closer together than it."""
    if not len(lane):
        return lane
    order = np.lexsort((lane.start_ps, lane.depth))
    start, end, depth = lane.start_ps[order], lane.end_ps[order], lane.depth[order]
    is_short = end - start < below_ps
    joins_previous = np.zeros(len(order), np.bool_)
    joins_previous[1:] = is_short[1:] & is_short[:-1] & (depth[1:] == depth[:-1]) & (start[1:] - end[:-1] < below_ps)
    first_of_run = np.flatnonzero(~joins_previous)
    run_of_event = np.cumsum(~joins_previous) - 1
    longest_of_run = _longest_of_each_run(end - start, run_of_event)
    kept_events = order[longest_of_run]
    count = np.bincount(run_of_event)
    busy_ps: Int64s = np.add.reduceat(end - start, first_of_run)
    by_start = np.argsort(start[first_of_run], kind="stable")
    kept_events, first_events = kept_events[by_start], order[first_of_run][by_start]
    return replace(
        lane,
        start_ps=start[first_of_run][by_start],
        end_ps=np.maximum.reduceat(end, first_of_run)[by_start],
        name=lane.name[kept_events],
        depth=depth[first_of_run][by_start],
        op=np.where((count == 1)[by_start], lane.op[kept_events], UNKNOWN) if len(lane.op) else lane.op,
        launch_ps=lane.launch_ps[first_events] if len(lane.launch_ps) else lane.launch_ps,
        launched_by=lane.launched_by[first_events] if len(lane.launched_by) else lane.launched_by,
        count=count[by_start],
        busy_ps=busy_ps[by_start],
    )


def _longest_of_each_run(lengths: Int64s, run_of_event: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the index of the longest event of each run, whose numbers rise."""
    order = np.lexsort((lengths, run_of_event))
    last_of_run = np.flatnonzero(np.append(run_of_event[order][1:] != run_of_event[order][:-1], True))
    return order[last_of_run]
