"""A line chart in a terminal, drawn with the dots of Braille letters: two values and four levels for each cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Unicode's Braille block: a letter is this plus a bit for each dot, by column and from the top.
BLANK = 0x2800
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
ACROSS, UP = len(DOTS), len(DOTS[0])


def line(values: Sequence[float | None], width: int, height: int) -> list[str]:
    """Return the newest values (0 to 1) as rows of `width` letters, the newest at the right; None leaves a gap.

    Neighbouring values are joined by a vertical stroke.
    """
    shown = list(values)[-ACROSS * width :]
    first = ACROSS * width - len(shown)
    cells = [[BLANK] * width for _ in range(height)]
    before: int | None = None
    for place, value in enumerate(shown, start=first):
        if value is None:
            before = None
            continue
        level = round((1 - min(1.0, max(0.0, value))) * (UP * height - 1))
        joined = level if before is None else before
        for dot in range(min(level, joined), max(level, joined) + 1):
            cells[dot // UP][place // ACROSS] |= DOTS[place % ACROSS][dot % UP]
        before = level
    return ["".join(map(chr, row)) for row in cells]
