"""Shares a study's time out among its runs, and learns on the way what a run costs beside its timed window."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

# A study of the default kind fits ten minutes, one of the quick kind five and a half, start and report included.
DEFAULT_S, QUICK_S = 570.0, 310.0
DEFAULT_ROUNDS = 2
# Before the first run nothing is known; a guess that is too high makes the first window short, and no more.
FIRST_GUESS_S = 15.0
# A window shorter than this holds too few steps for an interval; one longer teaches nothing more.
SHORTEST_WINDOW_S = 3.0
# Of runs that take turns the window is that short: what they differ by is told by their turns, for which they need at
# least so much beside it.
TURNS_WINDOW_S, SHORTEST_TURNS_S = 2.0, 6.0
LONGEST_WINDOW_S = 60.0
# A quick study of few strategies ends sooner, and does not fill its time with longer windows.
LONGEST_QUICK_WINDOW_S = 30.0
# Compiling makes some runs cost twice as much as others, and the last must not be lost for long windows before it.
KEPT_BACK_RUNS = 1
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
    _alone_s: list[float] = field(default_factory=list)

    def window_s(self, now_s: float, runs_left: int, sharing: int = 1) -> float:
        """Return how long the next run may time its steps, turns included, where so many are left with this one.

        `sharing` is 1 for runs that warm up as most do. One that warms up alone is told by those that did; before, it
        is taken to cost as much as the `sharing` runs that warmed up side by side.
        """
        costs_s = self._run_costs_s(sharing)
        kept_back_s = KEPT_BACK_RUNS * costs_s if runs_left > 1 else 0.0
        share = (self._left_s(now_s) - kept_back_s) / runs_left - costs_s
        return min(self.longest_window_s, max(self.shortest_window_s, share))

    def allows(self, now_s: float, runs: int, alone: int = 0, sharing: int = 1) -> bool:
        """Whether so many runs of the shortest kind, and `alone` more, would still end in time.

        The first run is always allowed.
        """
        if not self._beside_window_s:
            return True
        needed_s = runs * self._run_costs_s() + alone * self._run_costs_s(sharing)
        return self._left_s(now_s) >= needed_s + self.shortest_window_s

    def learn(self, beside_window_s: float, sharing: int = 1) -> None:
        """Take note of a run that took so many seconds beside its timed window."""
        (self._beside_window_s if sharing == 1 else self._alone_s).append(beside_window_s)

    def _left_s(self, now_s: float) -> float:
        return self.total_s - REPORT_S - (now_s - self.start_s)

    def _run_costs_s(self, sharing: int = 1) -> float:
        if sharing > 1 and self._alone_s:
            return statistics.median(self._alone_s)
        return sharing * (statistics.median(self._beside_window_s) if self._beside_window_s else FIRST_GUESS_S)
