"""A line chart in a terminal, drawn with the dots of Braille letters: a cell shows two values at four levels each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Unicode's Braille block: a letter is this plus a bit for each dot, by column and from the top.
BLANK_CELL = 0x2800
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
DOTS_ACROSS, DOTS_UP = len(DOTS), len(DOTS[0])


def braille_line(loads: Sequence[float | None], width: int, height: int) -> list[str]:
    """Return the newest values (0 to 1) as rows of `width` letters, the newest at the right; None leaves a gap.

    Neighbouring values are joined by a vertical stroke.
    """
    shown_loads = list(loads)[-DOTS_ACROSS * width :]
    first_dot = DOTS_ACROSS * width - len(shown_loads)
    braille_cells = [[BLANK_CELL] * width for _ in range(height)]
    previous_level: int | None = None
    for dot_column, load in enumerate(shown_loads, start=first_dot):
        if load is None:
            previous_level = None
            continue
        level = round((1 - min(1.0, max(0.0, load))) * (DOTS_UP * height - 1))
        join_from = level if previous_level is None else previous_level
        for dot in range(min(level, join_from), max(level, join_from) + 1):
            braille_cells[dot // DOTS_UP][dot_column // DOTS_ACROSS] |= DOTS[dot_column % DOTS_ACROSS][dot % DOTS_UP]
        previous_level = level
    return ["".join(map(chr, row)) for row in braille_cells]
