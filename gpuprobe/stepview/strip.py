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

# The category of time outside all steps.
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


def strip_of(device: DeviceWorkings, most: int = MOST_SEGMENTS) -> Strip:
    """Return the strip of a device's steps, with about `most` segments at most."""
    breakdown, windows = device.breakdown, device.windows
    categories = CPU_CATEGORIES if breakdown.kind == "cpu" else GPU_CATEGORIES
    start, end, category = _segments(device, categories)
    bin_ps = 0
    if len(start) > most:
        start, end, category, bin_ps = _binned(device, categories, most)
    start, category = _closed(start, end, category)
    last = int(windows.end_ps[-1])
    return Strip(
        breakdown=breakdown,
        categories=categories,
        start_ps=start,
        category=category,
        end_ps=max(last, int(end[-1]) if len(end) else last),
        steps_ps=windows.start_ps,
        numbers=windows.number,
        counted=(breakdown.warmup, breakdown.warmup + breakdown.counted - 1),
        bin_ps=bin_ps,
    )


def _segments(device: DeviceWorkings, categories: tuple[str, ...]) -> tuple[Int64s, Int64s, Int64s]:
    parts = [device.parts[name] for name in categories]
    start = np.concatenate([part.start for part in parts])
    end = np.concatenate([part.end for part in parts])
    category = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    order = np.argsort(start, kind="stable")
    return start[order], end[order], category[order]


def _binned(device: DeviceWorkings, categories: tuple[str, ...], most: int) -> tuple[Int64s, Int64s, Int64s, int]:
    """Return segments sorted by category within each of so many bins; their sums are those of the breakdown."""
    begin, until = int(device.windows.start_ps[0]), int(device.windows.end_ps[-1])
    edges = np.linspace(begin, until, max(2, most // IN_A_BIN)).astype(np.int64)
    lasts = np.stack([covered(device.parts[name], edges[:-1], edges[1:]) for name in categories], axis=1)
    end = edges[:-1, None] + np.cumsum(lasts, axis=1)
    kept = (lasts > 0).reshape(-1)
    category = np.tile(np.arange(len(categories)), len(lasts))
    return (end - lasts).reshape(-1)[kept], end.reshape(-1)[kept], category[kept], int(edges[1] - edges[0])


def _closed(start: Int64s, end: Int64s, category: Int64s) -> tuple[Int64s, Int64s]:
    """Merge neighbours of one category, and fill time outside all segments with NO_STEP."""
    holes = np.flatnonzero(start[1:] > end[:-1])
    start = np.concatenate([start, end[holes]])
    category = np.concatenate([category, np.full(len(holes), NO_STEP)])
    order = np.argsort(start, kind="stable")
    start, category = start[order], category[order]
    new = np.append(True, category[1:] != category[:-1])
    return start[new], category[new]
