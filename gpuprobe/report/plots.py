"""The charts as SVG files, transparent, in colours that read on light and on dark paper."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gpuprobe.foreign import visible
from gpuprobe.report.charts import SEEN, Bars, Boxes, Panels
from gpuprobe.report.palette import BLUE, INK, ORANGE, written_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from gpuprobe.report.charts import Bar, Chart

PAPER = "#ffffff80"
WIDTH_INCH = 9.0
# Panels beside each other, and a panel's height.
COLUMNS, PANEL_INCH = 4, 1.15
# The smallest part, as a share of the width, that holds its value in figures; and the width with the room for words.
ROOM_FOR_VALUE, ROOM_BESIDE = 0.075, 1.28
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


def render(charts: Sequence[Chart], *, simulated: bool) -> dict[str, bytes]:
    """Return the SVG of each chart by its file."""
    rendered = {}
    with mpl.rc_context(STYLE):
        for chart in charts:
            figure = _figure(chart)
            if simulated:
                figure.suptitle("SIMULATED", fontsize=10)
            buffer = io.BytesIO()
            figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
            rendered[chart.file] = buffer.getvalue()
    return rendered


def _figure(chart: Chart) -> Figure:
    drawn = chart.drawn
    if isinstance(drawn, Bars):
        return _bars(drawn)
    return _boxes(drawn) if isinstance(drawn, Boxes) else _panels(drawn)


def _rows(names: Sequence[str]) -> tuple[Figure, Axes]:
    """Return axes with a row for each name, the first on top."""
    figure = Figure(figsize=(WIDTH_INCH, max(1.8, 0.95 + 0.36 * len(names))), layout="constrained")
    axes = figure.subplots()
    axes.set_yticks(range(len(names)), [_label(name) for name in names])
    axes.invert_yaxis()
    axes.set_axisbelow(True)
    axes.grid(axis="x")
    return figure, axes


def _bars(drawn: Bars) -> Figure:
    figure, axes = _rows([bar.label for bar in drawn.rows])
    for place, bar in enumerate(drawn.rows):
        _bar(axes, place, bar, drawn.most)
    axes.set_xlim(0, ROOM_BESIDE * drawn.most)
    axes.set_xlabel(_label(drawn.unit))
    keys = [Patch(facecolor=look.paper, hatch=look.hatch, edgecolor=PAPER, label=look.legend) for look in drawn.legend]
    if len(keys) > 1:
        figure.legend(handles=keys, loc="outside lower left", frameon=False, fontsize=9, ncols=3)
    return figure


def _bar(axes: Axes, place: int, bar: Bar, most: float) -> None:
    left = 0.0
    for part in bar.parts:
        look = part.look
        axes.barh(
            place,
            part.value,
            left=left,
            color=look.paper,
            hatch=look.hatch,
            edgecolor=PAPER,
            height=0.62,
        )
        if len(bar.parts) > 1 and part.value >= ROOM_FOR_VALUE * most:
            paper = {"facecolor": look.paper, "edgecolor": "none", "pad": 1} if look.hatch else None
            middle = left + part.value / 2
            ink = written_on(look.paper)
            axes.text(middle, place, part.told, color=ink, fontsize=8, ha="center", va="center", bbox=paper)
        left += part.value
    end = left
    if bar.low is not None and bar.high is not None:
        error = [[max(0.0, left - bar.low)], [max(0.0, bar.high - left)]]
        axes.errorbar(left, place, xerr=error, color=INK, capsize=3, linewidth=1.4)
        end = min(max(left, bar.high), most)
    axes.text(end + 2 * SEEN * most, place, f" {_label(bar.told, bar.note)}", fontsize=9, va="center")


def _boxes(drawn: Boxes) -> Figure:
    figure, axes = _rows([box.label for box in drawn.rows])
    for place, box in enumerate(drawn.rows):
        axes.plot([box.p5, box.p95], [place, place], color=INK, linewidth=1.4)
        axes.barh(place, box.q3 - box.q1, left=box.q1, color=BLUE, height=0.5)
        axes.plot([box.median, box.median], [place - 0.33, place + 0.33], color=ORANGE, linewidth=2.5)
        axes.text(box.p95, place, f"  {_label(box.told, box.note)}", fontsize=8, va="center")
    axes.set_xlim(0, 1.6 * drawn.most)
    axes.set_xlabel(f"{drawn.unit}: median, middle half, 5th to 95th percentile")
    return figure


def _panels(drawn: Panels) -> Figure:
    columns = min(COLUMNS, len(drawn.panels))
    rows = math.ceil(len(drawn.panels) / columns)
    figure = Figure(figsize=(WIDTH_INCH, 0.7 + PANEL_INCH * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= len(drawn.panels):
            axes.set_visible(False)
            continue
        panel = drawn.panels[place]
        axes.plot(
            [x for x, _ in panel.points],
            [math.nan if y is None else y for _, y in panel.points],
            color=ORANGE if panel.note else BLUE,
            linewidth=1.3,
        )
        title_lines = [_label(text) for text in (panel.label, panel.told, panel.note) if text]
        axes.set_title("\n".join(title_lines), fontsize=8, loc="left")
        if drawn.mark is not None:
            axes.axvline(drawn.mark, color=INK, linewidth=1, linestyle=":")
    grid[0][0].set_ylim(drawn.bottom, drawn.top * 1.05)
    figure.supxlabel(drawn.across, fontsize=9, color=INK)
    figure.supylabel(drawn.up, fontsize=9, color=INK)
    return figure


def _label(*texts: str) -> str:
    """Write what is told as one line of a drawing; names of others are as long as a chart lets them be."""
    return "; ".join(" ".join(visible(text).split()) for text in texts if text)
