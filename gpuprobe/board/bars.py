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
    """Bars on one scale, whose top is `most`, in words; `each` says what one bar stands for."""

    most: str
    each: str
    bars: tuple[Bar, ...]


def of_steps(device: DeviceBreakdown) -> Chart:
    """Return the chart of the steps of a trace, in order."""
    steps = [(step.step_ms, step.ledger_ms) for step in device.each_step]
    steps_a_bar = -(-len(steps) // MOST_BARS)
    step_groups = [steps[first_step : first_step + steps_a_bar] for first_step in range(0, len(steps), steps_a_bar)]
    group_means = [
        (_mean([ms for ms, _ in grouped_steps]), _mean_ledger_ms([category_ms for _, category_ms in grouped_steps]))
        for grouped_steps in step_groups
    ]
    bar_labels = [
        _step_numbers(first_step * steps_a_bar + 1, len(grouped_steps))
        for first_step, grouped_steps in enumerate(step_groups)
    ]
    bar_stands_for = "A bar is a step" if steps_a_bar == 1 else f"A bar is the mean of {steps_a_bar} steps"
    return _chart(list(zip(bar_labels, bar_labels, group_means, strict=True)), bar_stands_for)


def of_traces(devices: Sequence[tuple[str, str, DeviceBreakdown]]) -> Chart:
    """Return the chart of several traces, one bar each for its mean step; `devices` are (name, time, device)."""
    titled_bars = [
        (f"{profile_name}, {taken_at}", taken_at, (device.step_ms, device.ledger_ms))
        for profile_name, taken_at, device in devices
    ]
    return _chart(titled_bars, "A bar is the mean step of a trace, the oldest first")


def _chart(bars: Sequence[tuple[str, str, tuple[float, dict[str, float]]]], bar_stands_for: str) -> Chart:
    longest_ms = max((ms for _, _, (ms, _) in bars), default=0.0)
    drawn_bars = tuple(
        Bar(f"{title}: {_bar_title(ms, category_ms)}", label, _coloured_parts(category_ms, longest_ms))
        for title, label, (ms, category_ms) in bars
    )
    return Chart(wording.milliseconds(longest_ms), bar_stands_for, drawn_bars)


def _coloured_parts(ledger_ms: dict[str, float], scale_ms: float) -> tuple[Part, ...]:
    return tuple(
        Part(style_of(category), 100 * ms / scale_ms) for category, ms in ledger_ms.items() if ms > 0 and scale_ms > 0
    )


def _bar_title(step_ms: float, ledger_ms: dict[str, float]) -> str:
    longest_categories = sorted(ledger_ms.items(), key=lambda category_and_ms: -category_and_ms[1])[:4]
    category_words = [
        f"{CATEGORIES[category].legend} {wording.milliseconds(ms)}" for category, ms in longest_categories if ms > 0
    ]
    return f"{wording.milliseconds(step_ms)}; {'; '.join(category_words)}"


def _step_numbers(first_step: int, step_count: int) -> str:
    return f"step {first_step}" if step_count == 1 else f"steps {first_step} to {first_step + step_count - 1}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _mean_ledger_ms(ledgers: Sequence[dict[str, float]]) -> dict[str, float]:
    return {category: _mean([ledger.get(category, 0.0) for ledger in ledgers]) for category in ledgers[0]}
