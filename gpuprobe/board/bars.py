"""Breakdowns as bar charts: a bar for each step of a trace, or for each trace of a log folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report.categories import CATEGORIES
from gpuprobe.stepview.page import style_of

if TYPE_CHECKING:
    from gpuprobe.ledger.records import DeviceBreakdown

# At most so many bars; a trace with more steps has one bar for several.
MOST_BARS = 120


@dataclass(frozen=True)
class Part:
    """One coloured part of a bar: its look, and its height as a percentage of the scale."""

    style: str
    height: float


@dataclass(frozen=True)
class Bar:
    """One bar: its label, its figures in words, and its parts from the bottom up."""

    title: str
    label: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Chart:
    """Bars on one scale, whose top is `most`; `each` says what one bar stands for."""

    most: str
    each: str
    bars: tuple[Bar, ...]


def of_steps(device: DeviceBreakdown) -> Chart:
    """Return the chart of the steps of a trace, in order."""
    steps = [(step.step_ms, step.ledger_ms) for step in device.each_step]
    together = -(-len(steps) // MOST_BARS)
    groups = [steps[place : place + together] for place in range(0, len(steps), together)]
    means = [(_mean([ms for ms, _ in group]), _means([parts for _, parts in group])) for group in groups]
    names = [_steps_named(place * together + 1, len(group)) for place, group in enumerate(groups)]
    each = "A bar is a step" if together == 1 else f"A bar is the mean of {together} steps"
    return _chart(list(zip(names, names, means, strict=True)), each)


def of_traces(devices: Sequence[tuple[str, str, DeviceBreakdown]]) -> Chart:
    """Return the chart of several traces, one bar each for its mean step; given their names, times and devices."""
    bars = [(f"{name}, {taken}", taken, (device.step_ms, device.ledger_ms)) for name, taken, device in devices]
    return _chart(bars, "A bar is the mean step of a trace, the oldest first")


def _chart(bars: Sequence[tuple[str, str, tuple[float, dict[str, float]]]], each: str) -> Chart:
    most = max((ms for _, _, (ms, _) in bars), default=0.0)
    made = tuple(Bar(f"{title}: {_told(ms, parts)}", label, _parts(parts, most)) for title, label, (ms, parts) in bars)
    return Chart(wording.milliseconds(most), each, made)


def _parts(ledger_ms: dict[str, float], most: float) -> tuple[Part, ...]:
    return tuple(Part(style_of(name), 100 * ms / most) for name, ms in ledger_ms.items() if ms > 0 and most > 0)


def _told(step_ms: float, ledger_ms: dict[str, float]) -> str:
    longest = sorted(ledger_ms.items(), key=lambda item: -item[1])[:4]
    parts = [f"{CATEGORIES[name].legend} {wording.milliseconds(ms)}" for name, ms in longest if ms > 0]
    return f"{wording.milliseconds(step_ms)}; {'; '.join(parts)}"


def _steps_named(first: int, count: int) -> str:
    return f"step {first}" if count == 1 else f"steps {first} to {first + count - 1}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _means(parts: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: _mean([part.get(name, 0.0) for part in parts]) for name in parts[0]}
