"""The plots beside the report: SVG, transparent, in colours that read on light and on dark paper."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from gpuprobe.foreign import shortened, visible
from gpuprobe.ranking.rates import step_times_ms
from gpuprobe.report import account
from gpuprobe.report.palette import BLUE, COLOURS, GREEN, INK, ORANGE
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from gpuprobe.ranking.load import Loaded
    from gpuprobe.records import Run

PLOTS_FOLDER = "plots"
PAPER = "#ffffff80"
WIDTH_INCH = 9.0
LONGEST_LABEL = 40
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gpuprobe",
    "font.family": "sans-serif",
    "font.size": 10,
    # A dollar in a name is a dollar.
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": INK,
    "grid.alpha": 0.25,
}


def throughput(loaded: Loaded) -> Figure | None:
    """Samples per second of each strategy with its 95 % interval, the fastest on top."""
    rows = loaded.ranking.rows
    if not rows:
        return None
    figure, axes = _figure(0.5 + 0.36 * len(rows))
    for place, row in enumerate(reversed(rows)):
        rate = row.samples_per_s
        colour = GREEN if row.rank == rows[0].rank else BLUE
        axes.barh(place, rate.value, color=colour, height=0.62)
        error = [[max(0.0, rate.value - rate.low)], [max(0.0, rate.high - rate.value)]]
        axes.errorbar(rate.value, place, xerr=error, color=INK, capsize=3, linewidth=1.4)
    axes.set_yticks(range(len(rows)), [_label(row.strategy) for row in reversed(rows)])
    # One that is many times as uncertain as fast must not squeeze the others into a corner.
    axes.set_xlim(0, 1.15 * max(min(row.samples_per_s.high, 1.5 * row.samples_per_s.value) for row in rows))
    axes.set_xlabel("samples/s, 95 % interval; green: the first rank")
    axes.grid(axis="x")
    return figure


def utilization(loaded: Loaded) -> Figure | None:
    """GPU utilization over each run's time, or the cores that the training kept busy where there is no GPU."""
    runs = _first_round(loaded)
    if not runs:
        return None
    gpu = any(0 in loaded.telemetry[path].gpus for path in runs if path in loaded.telemetry)
    figure, axes = _figure(3.2)
    drawn = 0
    for path, run in runs.items():
        recording = loaded.telemetry.get(path)
        window = run.phase("window")
        if recording is None or window is None or not len(recording.t_ns):
            continue
        times, values = recording.series("gpu0_utilization_percent" if gpu else "tree_cpu_s")
        seconds = (times - window.start_ns) / NS_PER_S
        if not gpu:
            # A counter of seconds: its slope is the number of busy cores.
            values = np.diff(values) / np.diff(seconds) if len(values) > 1 else values[:0]
            seconds = seconds[1:]
        if len(values):
            axes.plot(
                seconds,
                values,
                color=_colour(drawn),
                linestyle=_dash(drawn),
                label=_label(run.spec.strategy),
                linewidth=1.3,
            )
            drawn += 1
    axes.axvline(0, color=INK, linewidth=1, linestyle=":")
    axes.set_xlabel("seconds from the start of the timed window (before it: start, build, warm-up)")
    axes.set_ylabel("GPU utilization (%)" if gpu else "cores busy")
    axes.set_ylim(bottom=0)
    return _with_legend(figure, axes) if drawn else None


def step_times(loaded: Loaded) -> Figure | None:
    """How the step times of each strategy are distributed: median, quartiles, and the 5th to 95th percentile."""
    found = {
        row.strategy: [step_times_ms(run) for run in loaded.runs.values() if run.spec.strategy == row.strategy]
        for row in loaded.ranking.rows
    }
    # A copy without traces has its ranking from a file of its own.
    times = {name: np.concatenate(parts) for name, parts in found.items() if parts}
    rows = list(times)
    if not rows:
        return None
    figure, axes = _figure(0.5 + 0.36 * len(rows))
    line = {"color": INK}
    axes.boxplot(
        [times[name] for name in reversed(rows)],
        orientation="horizontal",
        whis=(5, 95),
        showfliers=False,
        tick_labels=[_label(name) for name in reversed(rows)],
        boxprops=line,
        whiskerprops=line,
        capprops=line,
        medianprops={"color": ORANGE, "linewidth": 2},
    )
    axes.set_xlim(left=0)
    axes.set_xlabel("ms a step: median (orange), quartiles (box), 5th to 95th percentile (lines)")
    axes.grid(axis="x")
    return figure


def losses(loaded: Loaded) -> Figure | None:
    """The training loss against the samples seen."""
    runs = [run for run in _first_round(loaded).values() if run.losses]
    if not runs:
        return None
    figure, axes = _figure(3.2)
    for place, run in enumerate(runs):
        samples = [point.samples for point in run.losses]
        axes.plot(
            samples,
            [math.nan if point.loss is None else point.loss for point in run.losses],
            color=_colour(place),
            linestyle=_dash(place),
            label=_label(run.spec.strategy),
            linewidth=1.3,
        )
    axes.set_xlabel("training samples seen")
    axes.set_ylabel("training loss")
    return _with_legend(figure, axes)


def ledger(loaded: Loaded) -> Figure | None:
    """Where an average traced step of each strategy went, as parts of it; the fastest on top."""
    rows = [row for row in loaded.ranking.rows if row.account is not None]
    if not rows:
        return None
    figure, axes = _figure(0.9 + 0.36 * len(rows))
    seen: dict[str, None] = {}
    for place, row in enumerate(reversed(rows)):
        assert row.account is not None
        left = 0.0
        for line in account.lines(row.account):
            label = "_" + line.category if line.category in seen else line.shown.legend
            seen.setdefault(line.category)
            width, colour, hatch = 100 * line.fraction, line.shown.paper, line.shown.hatch
            axes.barh(place, width, left=left, color=colour, hatch=hatch, edgecolor=PAPER, height=0.62, label=label)
            left += width
    axes.set_yticks(range(len(rows)), [_label(row.strategy) for row in reversed(rows)])
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the traced step")
    return _with_legend(figure, axes, grid="x")


@dataclass(frozen=True)
class Plot:
    """A drawn plot: its file within the study's folder, its SVG; `first` stands before all tables."""

    file: str
    title: str
    svg: bytes
    first: bool
    says: str


PLOTS: tuple[tuple[str, str, str, Callable[[Loaded], Figure | None]], ...] = (
    (
        "ledger",
        "Where the step went",
        "One bar is one step, the fastest strategy on top. Green is work; everything else is time in which the device "
        "waits or copies.",
        ledger,
    ),
    ("throughput", "Throughput", "", throughput),
    ("utilization", "How busy the device was", "", utilization),
    ("step-times", "How long the steps took", "", step_times),
    ("losses", "The loss, for the same work", "", losses),
)


def render(loaded: Loaded) -> list[Plot]:
    """Draw every plot that has something to show, those that the report begins with first."""
    rendered = []
    with mpl.rc_context(STYLE):
        for name, title, says, draw in PLOTS:
            figure = draw(loaded)
            if figure is not None:
                if loaded.study.environment.simulated:
                    figure.suptitle("SIMULATED", fontsize=10)
                buffer = io.BytesIO()
                figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
                rendered.append(Plot(f"{PLOTS_FOLDER}/{name}.svg", title, buffer.getvalue(), bool(says), says))
    return rendered


def _figure(height_inch: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH_INCH, max(1.8, height_inch)), layout="constrained")
    return figure, figure.subplots()


def _with_legend(figure: Figure, axes: Axes, grid: Literal["x", "y"] = "y") -> Figure:
    axes.set_axisbelow(True)
    axes.grid(axis=grid)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    return figure


def _label(name: str) -> str:
    """Write a name as the label of what is drawn: one line that leaves room for the drawing."""
    return shortened(" ".join(visible(name).split()), LONGEST_LABEL)


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _dash(place: int) -> str:
    return ("-", "--", ":")[place // len(COLOURS) % 3]


def _first_round(loaded: Loaded) -> dict[Path, Run]:
    """The first good run of each strategy: one line each is what a plot can hold."""
    found: dict[str, tuple[Path, Run]] = {}
    for path, run in loaded.runs.items():
        if run.outcome.state == "done":
            found.setdefault(run.spec.strategy, (path, run))
    order = [row.strategy for row in loaded.ranking.rows]
    return {found[name][0]: found[name][1] for name in order if name in found}
