"""The charts as SVG files, transparent, in colours that read on light and on dark paper."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gpuprobe.foreign import visible
from gpuprobe.report.charts import VISIBLE_SHARE, Bars, Boxes, Panels
from gpuprobe.report.palette import BLUE, INK, ORANGE, written_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from gpuprobe.report.charts import Bar, Chart

HATCH_COLOUR = "#ffffff80"
WIDTH_INCH = 9.0
# Panels beside each other, and a panel's height.
COLUMNS, PANEL_INCH = 4, 1.15
# The smallest part, as a share of the scale, in which its value is written; and the axis length that leaves room for
# the words beside the bars, in scales.
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
            figure = _figure_of_chart(chart)
            if simulated:
                figure.suptitle("SIMULATED", fontsize=10)
            buffer = io.BytesIO()
            figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
            rendered[chart.file] = buffer.getvalue()
    return rendered


def _figure_of_chart(chart: Chart) -> Figure:
    drawn = chart.drawn
    if isinstance(drawn, Bars):
        return _bars_figure(drawn)
    return _boxes_figure(drawn) if isinstance(drawn, Boxes) else _panels_figure(drawn)


def _row_axes(row_labels: Sequence[str]) -> tuple[Figure, Axes]:
    """Return axes with a row for each name, the first on top."""
    figure = Figure(figsize=(WIDTH_INCH, max(1.8, 0.95 + 0.36 * len(row_labels))), layout="constrained")
    axes = figure.subplots()
    axes.set_yticks(range(len(row_labels)), [_label(row_label) for row_label in row_labels])
    axes.invert_yaxis()
    axes.set_axisbelow(True)
    axes.grid(axis="x")
    return figure, axes


def _bars_figure(drawn: Bars) -> Figure:
    figure, axes = _row_axes([bar.label for bar in drawn.rows])
    for row, bar in enumerate(drawn.rows):
        _draw_bar(axes, row, bar, drawn.most)
    axes.set_xlim(0, ROOM_BESIDE * drawn.most)
    axes.set_xlabel(_label(drawn.unit))
    legend_patches = [
        Patch(facecolor=look.paper, hatch=look.hatch, edgecolor=HATCH_COLOUR, label=look.legend)
        for look in drawn.legend
    ]
    if len(legend_patches) > 1:
        figure.legend(handles=legend_patches, loc="outside lower left", frameon=False, fontsize=9, ncols=3)
    return figure


def _draw_bar(axes: Axes, row: int, bar: Bar, longest: float) -> None:
    part_start = 0.0
    for bar_part in bar.parts:
        look = bar_part.look
        axes.barh(
            row,
            bar_part.value,
            left=part_start,
            color=look.paper,
            hatch=look.hatch,
            edgecolor=HATCH_COLOUR,
            height=0.62,
        )
        if len(bar.parts) > 1 and bar_part.value >= ROOM_FOR_VALUE * longest:
            text_box = {"facecolor": look.paper, "edgecolor": "none", "pad": 1} if look.hatch else None
            part_middle = part_start + bar_part.value / 2
            text_colour = written_on(look.paper)
            axes.text(
                part_middle, row, bar_part.told, color=text_colour, fontsize=8, ha="center", va="center", bbox=text_box
            )
        part_start += bar_part.value
    bar_end = part_start
    if bar.low is not None and bar.high is not None:
        interval = [[max(0.0, part_start - bar.low)], [max(0.0, bar.high - part_start)]]
        axes.errorbar(part_start, row, xerr=interval, color=INK, capsize=3, linewidth=1.4)
        bar_end = min(max(part_start, bar.high), longest)
    axes.text(bar_end + 2 * VISIBLE_SHARE * longest, row, f" {_label(bar.told, bar.note)}", fontsize=9, va="center")


def _boxes_figure(drawn: Boxes) -> Figure:
    figure, axes = _row_axes([box.label for box in drawn.rows])
    for row, box in enumerate(drawn.rows):
        axes.plot([box.p5, box.p95], [row, row], color=INK, linewidth=1.4)
        axes.barh(row, box.q3 - box.q1, left=box.q1, color=BLUE, height=0.5)
        axes.plot([box.median, box.median], [row - 0.33, row + 0.33], color=ORANGE, linewidth=2.5)
        axes.text(box.p95, row, f"  {_label(box.told, box.note)}", fontsize=8, va="center")
    axes.set_xlim(0, 1.6 * drawn.most)
    axes.set_xlabel(f"{drawn.unit}: median, middle half, 5th to 95th percentile")
    return figure


def _panels_figure(drawn: Panels) -> Figure:
    columns = min(COLUMNS, len(drawn.panels))
    rows = math.ceil(len(drawn.panels) / columns)
    figure = Figure(figsize=(WIDTH_INCH, 0.7 + PANEL_INCH * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for panel_index, axes in enumerate(grid.flat):
        if panel_index >= len(drawn.panels):
            axes.set_visible(False)
            continue
        panel = drawn.panels[panel_index]
        axes.plot(
            [x for x, _ in panel.points],
            [math.nan if y is None else y for _, y in panel.points],
            color=ORANGE if panel.note else BLUE,
            linewidth=1.3,
        )
        title_lines = [_label(title_line) for title_line in (panel.label, panel.told, panel.note) if title_line]
        axes.set_title("\n".join(title_lines), fontsize=8, loc="left")
        if drawn.mark is not None:
            axes.axvline(drawn.mark, color=INK, linewidth=1, linestyle=":")
    grid[0][0].set_ylim(drawn.bottom, drawn.top * 1.05)
    figure.supxlabel(drawn.across, fontsize=9, color=INK)
    figure.supylabel(drawn.up, fontsize=9, color=INK)
    return figure


def _label(*label_texts: str) -> str:
    """Join texts as one line of a drawing; control characters of names that others chose are made visible."""
    return "; ".join(" ".join(visible(label_text).split()) for label_text in label_texts if label_text)
