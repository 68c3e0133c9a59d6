"""Follows one column of a `telemetry.csv` that is being written, at next to no cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Twice a second at 20 rows a second reads a few kilobytes; a row has well under a thousand characters.
MOST_BYTES = 1 << 20


class Tail:
    """The mean of a column since it was last reset; None while there is nothing, as where there is no GPU."""

    def __init__(self, path: Path, column: str) -> None:
        self._path, self._column = path, column
        self._offset, self._place = 0, -1
        self._sum, self._count = 0.0, 0

    def reset(self) -> None:
        """Begin a new mean; rows that were written before and not read yet are left out."""
        self.look()
        self._sum, self._count = 0.0, 0

    def mean(self) -> float | None:
        """Return the mean of what was read since the last reset."""
        return self._sum / self._count if self._count else None

    def look(self, until_ns: int | None = None) -> None:
        """Read the rows that were added since the last look; later ones than `until_ns` do not count."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(MOST_BYTES)
        except OSError:
            return
        complete = data[: data.rfind(b"\n") + 1]
        self._offset += len(complete)
        for line in complete.decode(errors="replace").splitlines():
            cells = line.split(",")
            if cells[0] == "t_ns":
                self._place = cells.index(self._column) if self._column in cells else -1
            elif 0 < self._place < len(cells) and (until_ns is None or int(cells[0]) <= until_ns):
                self._take(cells[self._place])

    def _take(self, cell: str) -> None:
        try:
            self._sum += float(cell)
        except ValueError:
            return
        self._count += 1
