"""Divides a study's time among its runs, and learns how long a run takes outside its timed window."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

# A default study fits into ten minutes, a quick one into five and a half, start and report included.
DEFAULT_S, QUICK_S = 570.0, 310.0
DEFAULT_ROUNDS = 2
# What a run is assumed to take outside its window before any was measured; too much only shortens the first window.
FIRST_GUESS_S = 15.0
# A shorter window holds too few steps for a confidence interval; one longer than LONGEST_WINDOW_S adds nothing.
SHORTEST_WINDOW_S = 3.0
# The window of runs that take turns, and the least time for their turns: the turns show how the runs differ.
TURNS_WINDOW_S, SHORTEST_TURNS_S = 2.0, 6.0
LONGEST_WINDOW_S = 60.0
# A quick study of few strategies ends early instead of using longer windows.
LONGEST_QUICK_WINDOW_S = 30.0
# Time for so many runs is reserved: some cost twice as much as others to compile, and the last must still fit.
RESERVED_RUNS = 1
# Reserved for ranking, plots and report.
REPORT_S = 10.0


@dataclass
class Budget:
    """The remaining time of `total_s` seconds since `start_s`; the caller passes readings of one clock."""

    total_s: float
    start_s: float
    longest_window_s: float = LONGEST_WINDOW_S
    shortest_window_s: float = SHORTEST_WINDOW_S
    _beside_window_s: list[float] = field(default_factory=list)
    _alone_s: list[float] = field(default_factory=list)

    def window_s(self, now_s: float, runs_left: int, sharing: int = 1) -> float:
        """Return how long (s) the next run may time its steps, turns included; `runs_left` includes this one.

        `sharing` is 1 for runs that warm up side by side. For a run that warms up alone it is the number of runs that
        usually share a warm-up: such a run is expected to cost as much as earlier runs that were alone or, before there
        are any, `sharing` times as much as a run beside others.
        """
        run_costs_s = self._run_costs_s(sharing)
        reserved_s = RESERVED_RUNS * run_costs_s if runs_left > 1 else 0.0
        share_s = (self.left_s(now_s) - reserved_s) / runs_left - run_costs_s
        return min(self.longest_window_s, max(self.shortest_window_s, share_s))

    def allows(self, now_s: float, runs: int, alone: int = 0, sharing: int = 1) -> bool:
        """Whether there is time for `runs`, and for `alone` more that warm up alone, each with the shortest window.

        The first runs are always allowed.
        """
        if not self._beside_window_s:
            return True
        costs_s = runs * self._run_costs_s() + alone * self._run_costs_s(sharing)
        return self.left_s(now_s) >= costs_s + (runs + alone) * self.shortest_window_s

    def learn(self, beside_window_s: float, sharing: int = 1) -> None:
        """Learn that a run took so many seconds outside its timed window."""
        (self._beside_window_s if sharing == 1 else self._alone_s).append(beside_window_s)

    def left_s(self, now_s: float) -> float:
        """Return the seconds that are left for runs."""
        return self.total_s - REPORT_S - (now_s - self.start_s)

    def _run_costs_s(self, sharing: int = 1) -> float:
        if sharing > 1 and self._alone_s:
            return statistics.median(self._alone_s)
        return sharing * (statistics.median(self._beside_window_s) if self._beside_window_s else FIRST_GUESS_S)
