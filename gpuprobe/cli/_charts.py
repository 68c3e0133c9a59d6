"""Bar charts in a terminal: letters on colours, so that they can be read without colours too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Group
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gpuprobe.report.charts import Bar, Bars

GAP = 2
# The least cells of a bar: in a narrower terminal its label is on a line of its own above it.
NARROWEST = 24
LONGEST_BESIDE = 26
# Terminal colours that are dark in most themes.
DARK = frozenset({"red", "blue", "magenta", "bright_black"})


def bars(drawn: Bars, width: int) -> RenderableType:
    """Return the chart, at most `width` cells wide, with its legend, if any."""
    name = max(cell_len(bar.label) for bar in drawn.rows)
    length_words = max(cell_len(bar.told) for bar in drawn.rows)
    room = width - name - length_words - 2 * GAP
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
    """Return the style of a readable letter on a colour."""
    return f"bold {'white' if colour in DARK else 'black'} on {colour}"


def _cells(bar: Bar, most: float, room: int) -> Text:
    """Return the parts of a bar in whole cells that add up to its length (largest remainder method)."""
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
