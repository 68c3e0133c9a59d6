"""Bar charts in a terminal: letters on colours, so that they can also be read without colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Group
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gpuprobe.report.charts import Bar, Bars

GAP = 2
# The fewest cells of a bar. In a narrower terminal its label is on a line of its own above it.
NARROWEST = 24
LONGEST_BESIDE = 26
# Terminal colours that are dark in most themes.
DARK = frozenset({"red", "blue", "magenta", "bright_black"})


def bar_chart(drawn: Bars, width: int) -> RenderableType:
    """Return the chart, at most `width` cells wide, with its legend, if any."""
    label_width = max(cell_len(bar.label) for bar in drawn.rows)
    length_words = max(cell_len(bar.told) for bar in drawn.rows)
    bar_width = width - label_width - length_words - 2 * GAP
    chart_rows: list[RenderableType] = []
    for bar in drawn.rows:
        if bar_width >= NARROWEST and label_width <= LONGEST_BESIDE:
            bar_cells = _bar_text(bar, drawn.most, bar_width)
            chart_rows.append(
                Text.assemble(
                    f"{bar.label:<{label_width}}  ", bar_cells, " " * (bar_width - bar_cells.cell_len), f"  {bar.told}"
                )
            )
            chart_rows += [Text(f"{'':<{label_width}}  {bar.note}", "dim")] if bar.note else []
        else:
            note = f"; {bar.note}" if bar.note else ""
            chart_rows += [Text(f"{bar.label}: {bar.told}{note}"), _bar_text(bar, drawn.most, width)]
    return Group(*chart_rows, *_legend_lines(drawn, width))


def letter_style(colour: str) -> str:
    """Return the style of a readable letter on a colour."""
    return f"bold {'white' if colour in DARK else 'black'} on {colour}"


def _bar_text(bar: Bar, longest: float, bar_width: int) -> Text:
    """Return the parts of a bar in whole cells that add up to its length (largest remainder method)."""
    exact_cells = [bar_width * bar_part.value / longest if longest else 0.0 for bar_part in bar.parts]
    bar_length = min(bar_width, max(1, round(sum(exact_cells))))
    whole_cells = [int(part_cells) for part_cells in exact_cells]
    by_remainder = sorted(
        range(len(exact_cells)), key=lambda part_index: whole_cells[part_index] - exact_cells[part_index]
    )
    for part_index in by_remainder[: max(0, bar_length - sum(whole_cells))]:
        whole_cells[part_index] += 1
    bar_text = Text()
    for bar_part, count in zip(bar.parts, whole_cells, strict=True):
        bar_text.append(bar_part.look.letter * count, letter_style(bar_part.look.terminal))
    return bar_text


def _legend_lines(drawn: Bars, width: int) -> list[Text]:
    """Return the legend in lines; a letter and its words stay on one line."""
    legend_lines: list[Text] = []
    for look in drawn.legend if len(drawn.legend) > 1 else ():
        legend_key = Text.assemble((look.letter, letter_style(look.terminal)), (f" {look.legend}", "dim"))
        if legend_lines and legend_lines[-1].cell_len + GAP + legend_key.cell_len <= width:
            legend_lines[-1].append("  ").append(legend_key)
        else:
            legend_lines.append(legend_key)
    return legend_lines
