"""Writes the phases of a watched training into the run's events as they happen.

A phase is written only once its name is certain: a window that its epoch's end cuts too short becomes settling.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpuprobe.keras.watch_phases import FEWEST_CALLS

if TYPE_CHECKING:
    from gpuprobe.measure.event_log import EventLog
    from gpuprobe.records import PhaseName


@dataclass
class _PhaseCalls:
    phase: PhaseName
    start_ns: int
    ends_ns: list[int] = field(default_factory=list)
    inside_ns: int = 0

    def typical_ns(self, *, by_mean: bool) -> float:
        call_lengths_ns = [
            later - earlier for earlier, later in zip([self.start_ns, *self.ends_ns], self.ends_ns, strict=False)
        ]
        typical = statistics.fmean if by_mean else statistics.median
        return typical(call_lengths_ns) if call_lengths_ns else 0.0


class PhaseJournal:
    """The phases so far. Of `rest`, which may last for days, only the start is kept."""

    def __init__(self) -> None:
        self._phases: list[_PhaseCalls] = []
        self._written_phases = 0

    def enter(self, phase: PhaseName, now_ns: int) -> bool:
        """Begin a phase; return whether it is a new one."""
        if self._phases and self._phases[-1].phase == phase:
            return False
        self.close()
        self._phases.append(_PhaseCalls(phase, now_ns))
        return True

    def call(self, began_ns: int, ended_ns: int) -> None:
        """Record a call of the train function."""
        phase_calls = self._phases[-1]
        if phase_calls.phase != "rest":
            phase_calls.ends_ns.append(ended_ns)
            phase_calls.inside_ns += ended_ns - began_ns

    def last_call_ended(self, ended_ns: int) -> None:
        """Move the end of the last call to when its step was computed; it had returned before."""
        phase_calls = self._phases[-1]
        if phase_calls.phase != "rest" and phase_calls.ends_ns:
            phase_calls.inside_ns += ended_ns - phase_calls.ends_ns[-1]
            phase_calls.ends_ns[-1] = ended_ns

    def close(self) -> None:
        """End the last phase: a window that is too short becomes settling."""
        if self._phases and self._phases[-1].phase == "window" and len(self._phases[-1].ends_ns) < FEWEST_CALLS:
            self._phases[-1].phase = "settle"

    def write(self, log: EventLog) -> None:
        """Write the phases not written yet, in order."""
        for phase_calls in self._phases[self._written_phases :]:
            log.write("phase", phase_calls.start_ns, name=phase_calls.phase)
            if phase_calls.ends_ns:
                log.write("calls", phase_calls.ends_ns[-1], ends_ns=phase_calls.ends_ns)
        self._written_phases = len(self._phases)

    def write_calls(self, log: EventLog) -> int:
        """Write the calls of the last phase, whose start is already written; return how many there are."""
        ends_ns = self._phases[-1].ends_ns
        if ends_ns:
            log.write("calls", ends_ns[-1], ends_ns=ends_ns)
        return len(ends_ns)

    def slowdown(self, *, by_mean: bool = False) -> float | None:
        """Return the median call time of the last phase over that of the window; None where one has no calls.

        Single calls that return early are not comparable: take the mean of each phase `by_mean`.
        """
        last_ns, window = self._phases[-1].typical_ns(by_mean=by_mean), self._window()
        window_ns = window.typical_ns(by_mean=by_mean) if window else 0.0
        return last_ns / window_ns if last_ns and window_ns else None

    def outside_fraction(self) -> float | None:
        """Return the share of the timed window (0 to 1) spent outside the train function; None without a window."""
        window = self._window()
        if window is None or not window.ends_ns:
            return None
        return max(0.0, 1 - window.inside_ns / (window.ends_ns[-1] - window.start_ns))

    def _window(self) -> _PhaseCalls | None:
        return next((phase_calls for phase_calls in self._phases if phase_calls.phase == "window"), None)
