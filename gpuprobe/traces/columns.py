"""The events of one XPlane line as columns, with the few stats that later stages read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.traces.timeline import UNKNOWN, Int32s, Int64s

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The kinds of a stat's value.
NUMBER, DOUBLE, TEXT = 0, 1, 2


@dataclass(frozen=True)
class StatColumn:
    """One stat of some of a line's events: `event` (m,) their indices, `value` (m,) int64, `kind` (m,) int8.

    A value is a number, the bits of a double, or an index in the plane's `Texts`, as `kind` says.
    """

    event: Int64s
    value: Int64s
    kind: NDArray[np.int8]


@dataclass(frozen=True)
class LineColumns:
    """The events of a line in file order: metadata ids, offsets and durations (n,), stats by name."""

    metadata: Int64s
    offset_ps: Int64s
    duration_ps: Int64s
    stats: dict[str, StatColumn] = field(default_factory=dict)

    def __len__(self) -> int:
        """Count the events."""
        return len(self.metadata)

    def numbers(self, stat: str, missing: int = UNKNOWN) -> Int64s:
        """Return a whole-number stat for every event, (n,) int64, `missing` where an event has none."""
        column = np.full(len(self), missing, np.int64)
        stat_column = self.stats.get(stat)
        if stat_column is not None:
            whole = stat_column.kind == NUMBER
            column[stat_column.event[whole]] = stat_column.value[whole]
        return column

    def doubles(self, stat: str) -> NDArray[np.float64]:
        """Return a stat that may have decimals for every event, (n,) float64, NaN where an event has none."""
        column = np.full(len(self), np.nan)
        stat_column = self.stats.get(stat)
        if stat_column is not None:
            whole, real = stat_column.kind == NUMBER, stat_column.kind == DOUBLE
            column[stat_column.event[whole]] = stat_column.value[whole]
            column[stat_column.event[real]] = stat_column.value[real].view(np.float64)
        return column

    def texts(self, stat: str) -> Int32s:
        """Return a stat's index in the plane's texts for every event, (n,) int32, UNKNOWN where it has none."""
        column = np.full(len(self), UNKNOWN, np.int32)
        stat_column = self.stats.get(stat)
        if stat_column is not None:
            text = stat_column.kind == TEXT
            column[stat_column.event[text]] = stat_column.value[text]
        return column
