"""Writes the phases of a watched training into the run's events as they happen.

A phase is written once it is certain: a window that ends too early, with its epoch, is relabelled as settling.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpuprobe.keras.moments import FEWEST_CALLS

if TYPE_CHECKING:
    from gpuprobe.measure.event_log import EventLog
    from gpuprobe.records import PhaseName


@dataclass
class _Piece:
    phase: PhaseName
    start_ns: int
    ends_ns: list[int] = field(default_factory=list)
    inside_ns: int = 0

    def median_ns(self) -> float:
        lengths = [
            later - earlier for earlier, later in zip([self.start_ns, *self.ends_ns], self.ends_ns, strict=False)
        ]
        return statistics.median(lengths) if lengths else 0.0


class Journal:
    """The phases so far. Of `rest`, which may last for days, only the start is kept."""

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []
        self._written = 0

    def enter(self, phase: PhaseName, now_ns: int) -> bool:
        """Begin a phase; return whether it is a new one."""
        if self._pieces and self._pieces[-1].phase == phase:
            return False
        self.close()
        self._pieces.append(_Piece(phase, now_ns))
        return True

    def call(self, began_ns: int, ended_ns: int) -> None:
        """Record a call of the train function."""
        piece = self._pieces[-1]
        if piece.phase != "rest":
            piece.ends_ns.append(ended_ns)
            piece.inside_ns += ended_ns - began_ns

    def close(self) -> None:
        """At the end, relabel a last window that is too short as settling."""
        if self._pieces and self._pieces[-1].phase == "window" and len(self._pieces[-1].ends_ns) < FEWEST_CALLS:
            self._pieces[-1].phase = "settle"

    def write(self, log: EventLog) -> None:
        """Write the phases not written yet, in order."""
        for piece in self._pieces[self._written :]:
            log.write("phase", piece.start_ns, name=piece.phase)
            if piece.ends_ns:
                log.write("calls", piece.ends_ns[-1], ends_ns=piece.ends_ns)
        self._written = len(self._pieces)

    def write_calls(self, log: EventLog) -> int:
        """Write the calls of the last phase, whose start was written when it began; return how many there are."""
        ends_ns = self._pieces[-1].ends_ns
        if ends_ns:
            log.write("calls", ends_ns[-1], ends_ns=ends_ns)
        return len(ends_ns)

    def slowdown(self) -> float | None:
        """Return the median call time of the last phase over that of the timed window; None where one has no call."""
        last, window = self._pieces[-1].median_ns(), self._window()
        timed = window.median_ns() if window else 0.0
        return last / timed if last and timed else None

    def outside_fraction(self) -> float | None:
        """Return the share of the timed window (0 to 1) spent outside the train function; None without a window."""
        window = self._window()
        if window is None or not window.ends_ns:
            return None
        return max(0.0, 1 - window.inside_ns / (window.ends_ns[-1] - window.start_ns))

    def _window(self) -> _Piece | None:
        return next((piece for piece in self._pieces if piece.phase == "window"), None)
