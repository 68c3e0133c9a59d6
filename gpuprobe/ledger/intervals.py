"""Arithmetic on sets of time: sorted, disjoint, half-open stretches in int64 columns, in numpy without loops."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from gpuprobe.traces.timeline import Int64s


def _empty() -> Int64s:
    return np.empty(0, np.int64)


@dataclass(frozen=True)
class Intervals:
    """Stretches [start, end), both (n,) int64, sorted, disjoint and none of them empty. Build them with `union`."""

    start: Int64s = field(default_factory=_empty)
    end: Int64s = field(default_factory=_empty)

    def __len__(self) -> int:
        """Count the stretches."""
        return len(self.start)

    @property
    def total(self) -> int:
        """The time that they cover, in the unit of the stretches."""
        return int((self.end - self.start).sum())


def union(start: Int64s, end: Int64s) -> Intervals:
    """Return the time that any of the stretches covers. They may come in any order.

    A stretch that ends before it starts counts as empty.
    """
    kept = end > start
    if not kept.all():
        start, end = start[kept], end[kept]
    if not len(start):
        return Intervals()
    if np.any(start[1:] < start[:-1]):
        order = np.argsort(start, kind="stable")
        start, end = start[order], end[order]
    reached = np.maximum.accumulate(end)
    first = np.concatenate([[True], start[1:] > reached[:-1]])
    last = np.concatenate([first[1:], [True]])
    return Intervals(start[first], reached[last])


def join(parts: Iterable[Intervals]) -> Intervals:
    """Return the time that any of the sets covers."""
    parts = [part for part in parts if len(part)]
    if len(parts) < 2:
        return parts[0] if parts else Intervals()
    return union(np.concatenate([part.start for part in parts]), np.concatenate([part.end for part in parts]))


def between(start: int, end: int) -> Intervals:
    """Return the set of one stretch from start to end; the empty set where it has no length."""
    return union(np.array([start], np.int64), np.array([end], np.int64))


def intersection(first: Intervals, second: Intervals) -> Intervals:
    """Return the time that both cover."""
    if not len(first) or not len(second):
        return Intervals()
    low = np.searchsorted(second.end, first.start, side="right")
    high = np.searchsorted(second.start, first.end, side="left")
    count = np.maximum(high - low, 0)
    if count.max() > 1:
        of_first = np.repeat(np.arange(len(first)), count)
        of_second = np.arange(len(of_first)) - np.repeat(np.cumsum(count) - count, count) + low[of_first]
    else:
        of_first = np.flatnonzero(count)
        of_second = low[of_first]
    return Intervals(
        np.maximum(first.start[of_first], second.start[of_second]),
        np.minimum(first.end[of_first], second.end[of_second]),
    )


def difference(first: Intervals, second: Intervals) -> Intervals:
    """Return the time that the first covers and the second does not."""
    if not len(first) or not len(second):
        return first
    low, high = min(first.start[0], second.start[0]), max(first.end[-1], second.end[-1])
    start = np.concatenate([[low], second.end])
    end = np.concatenate([second.start, [high]])
    kept = end > start
    return intersection(first, Intervals(start[kept], end[kept]))


def sweep(window: Intervals, layers: Iterable[Intervals]) -> tuple[list[Intervals], Intervals]:
    """Give every instant of the window to the first layer that covers it.

    Returns the part of each layer, and the rest of the window. They are disjoint and add up to the window.
    """
    parts, left = [], window
    for layer in layers:
        part = intersection(left, layer)
        parts.append(part)
        left = difference(left, part)
    return parts, left


def covered(intervals: Intervals, start: Int64s, end: Int64s) -> Int64s:
    """Return how much of each window [start, end) the set covers, (n,) int64; windows may overlap."""
    return _covered_before(intervals, end) - _covered_before(intervals, start)


def holds(intervals: Intervals, instants: Int64s) -> NDArray[np.bool_]:
    """Tell which instants lie within the set, (n,) bool."""
    if not len(intervals):
        return np.zeros(len(instants), np.bool_)
    index = np.searchsorted(intervals.start, instants, side="right") - 1
    return (index >= 0) & (instants < intervals.end[index])


def outermost(start: Int64s, end: Int64s) -> Int64s:
    """Return the indices of the stretches that lie in no earlier one; they are sorted by start."""
    reached = np.maximum.accumulate(end)
    return np.flatnonzero(np.concatenate([[True], start[1:] >= reached[:-1]]))


def _covered_before(intervals: Intervals, instants: Int64s) -> Int64s:
    """Return how much of the set lies before each instant, (n,) int64."""
    if not len(intervals):
        return np.zeros(len(instants), np.int64)
    sums = np.concatenate([[0], np.cumsum(intervals.end - intervals.start)])
    index = np.searchsorted(intervals.start, instants, side="right")
    inside = np.maximum(index - 1, 0)
    beyond = np.where(index > 0, np.maximum(intervals.end[inside] - instants, 0), 0)
    return sums[index] - beyond
