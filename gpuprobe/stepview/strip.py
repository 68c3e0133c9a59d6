"""The breakdown as a strip along the time axis, whose segments add up to the printed breakdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.categories import CPU_CATEGORIES, GPU_CATEGORIES
from gpuprobe.ledger.intervals import covered

if TYPE_CHECKING:
    from gpuprobe.ledger.device_breakdown import DeviceWorkings
    from gpuprobe.ledger.records import DeviceBreakdown
    from gpuprobe.traces.timeline import Int64s

# The category index of time outside all steps.
NO_STEP = -1
# The most segments of all strips of a page together.
MOST_SEGMENTS = 200_000
# The usual number of categories in a bin.
IN_A_BIN = 4


@dataclass(frozen=True)
class Strip:
    """The time of one device's steps by category.

    Segment i lasts from `start_ps[i]` (n,) to the next start, the last one to `end_ps`; its category is
    `categories[category[i]]` (n,), or NO_STEP. `steps_ps` (k,) are the starts of the steps, `numbers` (k,) their
    numbers in the trace (-1: none). The breakdown is the mean of the steps from the first to the last of `counted`. If
    `bin_ps` is above 0, segments are sorted by category within bins of that length, and only their sums are exact.
    """

    breakdown: DeviceBreakdown
    categories: tuple[str, ...]
    start_ps: Int64s
    category: Int64s
    end_ps: int
    steps_ps: Int64s
    numbers: Int64s
    counted: tuple[int, int]
    bin_ps: int = 0


def strip_of(device: DeviceWorkings, most_segments: int = MOST_SEGMENTS) -> Strip:
    """Return the strip of a device's steps, with about `most_segments` segments at most."""

    breakdown, windows = device.breakdown, device.windows
    categories = CPU_CATEGORIES if breakdown.kind == "cpu" else GPU_CATEGORIES
    start, end, category = _segments(device, categories)
    bin_ps = 0
    if len(start) > most_segments:
        start, end, category, bin_ps = _binned_segments(device, categories, most_segments)
    start, category = _merged_segments(start, end, category)
    last_step_end = int(windows.end_ps[-1])
    return Strip(
        breakdown=breakdown,
        categories=categories,
        start_ps=start,
        category=category,
        end_ps=max(last_step_end, int(end[-1]) if len(end) else last_step_end),
        steps_ps=windows.start_ps,
        numbers=windows.number,
        counted=(breakdown.warmup, breakdown.warmup + breakdown.counted - 1),
        bin_ps=bin_ps,
    )


def _segments(device: DeviceWorkings, categories: tuple[str, ...]) -> tuple[Int64s, Int64s, Int64s]:
    category_intervals = [device.parts[category_name] for category_name in categories]
    start = np.concatenate([intervals.start for intervals in category_intervals])
    end = np.concatenate([intervals.end for intervals in category_intervals])
    category = np.repeat(np.arange(len(category_intervals)), [len(intervals) for intervals in category_intervals])
    order = np.argsort(start, kind="stable")
    return start[order], end[order], category[order]


def _binned_segments(
    device: DeviceWorkings, categories: tuple[str, ...], most_segments: int
) -> tuple[Int64s, Int64s, Int64s, int]:
    """Return segments sorted by category within each bin, and the length of a bin; the sums stay exact."""
    first_ps, last_ps = int(device.windows.start_ps[0]), int(device.windows.end_ps[-1])
    bin_edges = np.linspace(first_ps, last_ps, max(2, most_segments // IN_A_BIN)).astype(np.int64)
    covered_ps = np.stack(
        [covered(device.parts[category_name], bin_edges[:-1], bin_edges[1:]) for category_name in categories], axis=1
    )
    end = bin_edges[:-1, None] + np.cumsum(covered_ps, axis=1)
    is_covered = (covered_ps > 0).reshape(-1)
    category = np.tile(np.arange(len(categories)), len(covered_ps))
    return (
        (end - covered_ps).reshape(-1)[is_covered],
        end.reshape(-1)[is_covered],
        category[is_covered],
        int(bin_edges[1] - bin_edges[0]),
    )


def _merged_segments(start: Int64s, end: Int64s, category: Int64s) -> tuple[Int64s, Int64s]:
    """Merge neighbours of one category, and fill time outside all segments with NO_STEP."""
    before_hole = np.flatnonzero(start[1:] > end[:-1])
    start = np.concatenate([start, end[before_hole]])
    category = np.concatenate([category, np.full(len(before_hole), NO_STEP)])
    order = np.argsort(start, kind="stable")
    start, category = start[order], category[order]
    category_changes = np.append(True, category[1:] != category[:-1])
    return start[category_changes], category[category_changes]
