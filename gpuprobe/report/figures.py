"""The charts as parts of a page: text that flows, selects and prints, on lengths in percent; no script, no picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jinja2

from gpuprobe.foreign import shown
from gpuprobe.report.charts import Bars, Boxes
from gpuprobe.report.palette import written_on

if TYPE_CHECKING:
    from gpuprobe.report.charts import Chart, Look, Panel, Panels

# The longest bar, in percent of the width: the rest is for the end of its interval.
LONGEST_PERCENT = 96.0
# A panel's line is drawn in these units, whatever the size of the panel is in the end.
PANEL_WIDTH, PANEL_HEIGHT = 200.0, 60.0
HATCHES = {"": "", "///": "lines", "...": "dots"}
TEMPLATES = {Bars: "bars", Boxes: "boxes"}


def render(chart: Chart, *, simulated: bool = False) -> str:
    """Return the chart as HTML, in which all of its text is escaped."""
    template_name = TEMPLATES.get(type(chart.drawn), "panels")
    template = _environment.get_template("chart.html.jinja")
    return shown(template.render(chart=chart, drawn=chart.drawn, kind=template_name, simulated=simulated))


def _percent_of_width(length: float, longest: float) -> str:
    """Return a length as a share of the widest, in percent with its sign."""
    return f"{max(0.0, min(LONGEST_PERCENT, LONGEST_PERCENT * length / longest)) if longest > 0 else 0.0:.3f}%"


def _look_style(look: Look) -> str:
    return f"background-color:{look.paper};color:{written_on(look.paper)}"


def _hatch_class(look: Look) -> str:
    return HATCHES[look.hatch]


def _panel_path(panel: Panel, drawn: Panels) -> str:
    """Return the line of a panel as an SVG path: a new piece after each gap."""
    panel_width, panel_height = drawn.right - drawn.left or 1.0, drawn.top - drawn.bottom or 1.0
    path_pieces, path_command = [], "M"
    for x, y in panel.points:
        if y is None:
            path_command = "M"
            continue
        height = max(0.0, min(1.0, (y - drawn.bottom) / panel_height))
        path_pieces.append(
            f"{path_command}{PANEL_WIDTH * (x - drawn.left) / panel_width:.1f} {PANEL_HEIGHT * (1 - height):.1f}"
        )
        path_command = "L"
    return "".join(path_pieces)


def _panel_x(value: float, drawn: Panels) -> str:
    return f"{PANEL_WIDTH * (value - drawn.left) / (drawn.right - drawn.left or 1.0):.1f}"


_environment = jinja2.Environment(
    loader=jinja2.PackageLoader("gpuprobe.report"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)
_environment.filters |= {
    "percent": _percent_of_width,
    "style": _look_style,
    "hatch": _hatch_class,
    "path": _panel_path,
    "at": _panel_x,
}
_environment.globals |= {"width": PANEL_WIDTH, "height": PANEL_HEIGHT}
