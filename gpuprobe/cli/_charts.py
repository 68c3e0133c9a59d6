"""Bars in a terminal: letters on colours, so that they read without colours too, on one scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Group
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gpuprobe.report.charts import Bar, Bars

GAP = 2
# A bar of fewer cells shows little: below that what is told of it stands above it, over the whole width.
NARROWEST = 24
LONGEST_BESIDE = 26
# The colours of a terminal that are dark by most themes.
DARK = frozenset({"red", "blue", "magenta", "bright_black"})


def bars(drawn: Bars, width: int) -> RenderableType:
    """Return the chart, no wider than `width` cells, with its legend where it has one."""
    name = max(cell_len(bar.label) for bar in drawn.rows)
    told = max(cell_len(bar.told) for bar in drawn.rows)
    room = width - name - told - 2 * GAP
    rows: list[RenderableType] = []
    for bar in drawn.rows:
        if room >= NARROWEST and name <= LONGEST_BESIDE:
            cells = _cells(bar, drawn.most, room)
            rows.append(Text.assemble(f"{bar.label:<{name}}  ", cells, " " * (room - cells.cell_len), f"  {bar.told}"))
            rows += [Text(f"{'':<{name}}  {bar.note}", "dim")] if bar.note else []
        else:
            note = f"; {bar.note}" if bar.note else ""
            rows += [Text(f"{bar.label}: {bar.told}{note}"), _cells(bar, drawn.most, width)]
    return Group(*rows, *_legend(drawn, width))


def painted(colour: str) -> str:
    """Return the style of a letter on a colour, on which it can be read."""
    return f"bold {'white' if colour in DARK else 'black'} on {colour}"


def _cells(bar: Bar, most: float, room: int) -> Text:
    """Return the parts of a bar in cells: by largest remainder, so that they add up to the bar's length."""
    exact = [room * part.value / most if most else 0.0 for part in bar.parts]
    whole = min(room, max(1, round(sum(exact))))
    cells = [int(value) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda place: cells[place] - exact[place])
    for place in by_remainder[: max(0, whole - sum(cells))]:
        cells[place] += 1
    text = Text()
    for part, count in zip(bar.parts, cells, strict=True):
        text.append(part.look.letter * count, painted(part.look.terminal))
    return text


def _legend(drawn: Bars, width: int) -> list[Text]:
    """Return the legend in lines; a key and its words stay together."""
    lines: list[Text] = []
    for look in drawn.legend if len(drawn.legend) > 1 else ():
        key = Text.assemble((look.letter, painted(look.terminal)), (f" {look.legend}", "dim"))
        if lines and lines[-1].cell_len + GAP + key.cell_len <= width:
            lines[-1].append("  ").append(key)
        else:
            lines.append(key)
    return lines
