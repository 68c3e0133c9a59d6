"""Shares a study's time out among its runs, and learns on the way what a run costs beside its timed window."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

# A study of the default kind fits ten minutes, one of the quick kind five, their start and their report included.
DEFAULT_S, QUICK_S = 570.0, 280.0
DEFAULT_ROUNDS = 2
# Before the first run nothing is known; a guess that is too high makes the first window short, and no more.
FIRST_GUESS_S = 15.0
# A window shorter than this holds too few steps for an interval; one longer teaches nothing more.
SHORTEST_WINDOW_S = 3.0
# Of runs that take turns the window is that short: what they differ by is told by their turns, for which they need at
# least so much beside it.
SHORTEST_TURNS_S = 4.0
LONGEST_WINDOW_S = 60.0
# A quick study of few strategies ends sooner, and does not fill its time with longer windows.
LONGEST_QUICK_WINDOW_S = 15.0
# Compiling makes some runs cost twice as much as others, and the last must not be lost for long windows before it.
KEPT_BACK_RUNS = 2
# Ranking, plots and report at the end.
REPORT_S = 10.0


@dataclass
class Budget:
    """What is left of `total_s` seconds, from `start_s` of the clock whose readings are passed in."""

    total_s: float
    start_s: float
    longest_window_s: float = LONGEST_WINDOW_S
    shortest_window_s: float = SHORTEST_WINDOW_S
    _beside_window_s: list[float] = field(default_factory=list)

    def window_s(self, now_s: float, runs_left: int, sharing: int = 1) -> float:
        """Return how long the next run may time its steps, turns included, where so many are left with this one.

        A run that warms up alone costs as much as the `sharing` runs that warmed up side by side when it was learnt.
        """
        costs_s = sharing * self._run_costs_s()
        kept_back_s = KEPT_BACK_RUNS * self._run_costs_s() if runs_left > 1 else 0.0
        share = (self._left_s(now_s) - kept_back_s) / runs_left - costs_s
        return min(self.longest_window_s, max(self.shortest_window_s, share))

    def allows(self, now_s: float, runs: int) -> bool:
        """Whether so many runs of the shortest kind would still end in time. The first run is always allowed.

        A run that warms up alone counts as many times as there are runs that warm up side by side else.
        """
        if not self._beside_window_s:
            return True
        return self._left_s(now_s) >= runs * self._run_costs_s() + self.shortest_window_s

    def learn(self, beside_window_s: float) -> None:
        """Take note of a run that took so many seconds beside its timed window."""
        self._beside_window_s.append(beside_window_s)

    def _left_s(self, now_s: float) -> float:
        return self.total_s - REPORT_S - (now_s - self.start_s)

    def _run_costs_s(self) -> float:
        return statistics.median(self._beside_window_s) if self._beside_window_s else FIRST_GUESS_S
