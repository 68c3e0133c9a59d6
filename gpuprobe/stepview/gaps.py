"""The gaps of a device: its work before and after each, and the host's activity in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.categories import IDLE, UNATTRIBUTED
from gpuprobe.ledger.gaps import gap_of
from gpuprobe.ledger.intervals import Intervals, covered, join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.device_breakdown import DeviceWorkings
    from gpuprobe.ledger.records import Gap
    from gpuprobe.stepview.lanes import Lane
    from gpuprobe.traces.timeline import Int64s

# How many of the longest gaps are listed, and how many of each category.
LONGEST_GAPS, LONGEST_OF_CATEGORY = 20, 5


@dataclass(frozen=True)
class ListedGap:
    """One gap: its time, its categories by the breakdown, and the names of the device's work just before and after."""

    start_ps: int
    end_ps: int
    gap: Gap
    before: str
    after: str


def gaps_of(device: DeviceWorkings, lanes: Sequence[Lane]) -> tuple[ListedGap, ...]:
    """Return the longest gaps of a device, and the longest of each kind of idle time, the longest first."""
    idle_parts = {
        category: device.parts[category]
        for category in (*IDLE, UNATTRIBUTED)
        if len(device.parts.get(category, Intervals()))
    }
    gaps = join(idle_parts.values())
    if not len(gaps):
        return ()
    chosen_gaps = set(_longest(gaps.end - gaps.start, LONGEST_GAPS))
    for idle_part in idle_parts.values():
        chosen_gaps.update(_longest(covered(idle_part, gaps.start, gaps.end), LONGEST_OF_CATEGORY))
    longest_first = sorted(chosen_gaps, key=lambda index: int(gaps.start[index] - gaps.end[index]))
    device_work = _DeviceWork.of(
        [lane for lane in lanes if (lane.device, lane.host) == (device.breakdown.name, device.host.name)]
    )
    return tuple(
        _listed_gap(device, device_work, int(gaps.start[index]), int(gaps.end[index])) for index in longest_first
    )


def _longest(lengths: Int64s, gap_count: int) -> list[int]:
    indices: list[int] = np.argsort(-lengths, kind="stable")[:gap_count].tolist()
    return [index for index in indices if lengths[index] > 0]


def _listed_gap(device: DeviceWorkings, work: _DeviceWork, start: int, end: int) -> ListedGap:
    gap = gap_of(device.windows, device.parts, device.host, start, end)
    before, after = work.around(start, end)
    names = device.host.names
    return ListedGap(start, end, gap, *(names[index] if index is not None else "" for index in (before, after)))


@dataclass(frozen=True)
class _DeviceWork:
    """The work of one device, (n,) each, sorted by start, and by end: indices of names."""

    start_ps: Int64s
    name: Int64s
    end_ps: Int64s
    name_by_end: Int64s

    @classmethod
    def of(cls, lanes: Sequence[Lane]) -> _DeviceWork:
        no_work = np.empty(0, np.int64)
        start, end, work_name = (
            np.concatenate([no_work, *(getattr(lane, column) for lane in lanes)])
            for column in ("start_ps", "end_ps", "name")
        )
        by_start, by_end = np.argsort(start, kind="stable"), np.argsort(end, kind="stable")
        return cls(start[by_start], work_name[by_start], end[by_end], work_name[by_end])

    def around(self, start: int, end: int) -> tuple[int | None, int | None]:
        """Return the names of the last work before a gap and the first after it; None at the edges."""
        last_before = int(np.searchsorted(self.end_ps, start, side="right")) - 1
        first_after = int(np.searchsorted(self.start_ps, end, side="left"))
        name_before = int(self.name_by_end[last_before]) if last_before >= 0 else None
        return name_before, int(self.name[first_after]) if first_after < len(self.start_ps) else None
