"""Which runs take turns with which, and which of them stays alive for later ones."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gpuprobe.measure.plan import next_baseline_run
from gpuprobe.measure.run_spec import has_turns_window

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from gpuprobe.measure.active_run import ActiveRun
    from gpuprobe.measure.live_runs import LiveRuns
    from gpuprobe.measure.memory_fit import MemoryFit
    from gpuprobe.measure.plan import PlannedRun
    from gpuprobe.measure.turns import Turns


class Partners:
    """Lets the runs of a group take turns, with each other and with the anchor: a live run of the baseline.

    Where the baseline fails and no run of it is alive, the first strategy that is measured then takes its place.
    """

    def __init__(self, baseline: str, live_runs: LiveRuns, turns: Turns, memory_fit: MemoryFit) -> None:
        self._live_runs, self._turns, self._memory_fit = live_runs, turns, memory_fit
        self._strategy, self._failed = baseline, False
        self._measured: list[PlannedRun] = []
        self._anchor: ActiveRun | None = None
        # The seconds that the anchor has for turns of its own, should none take turns with it.
        self._spare_s = 0.0

    @property
    def has_anchor(self) -> bool:
        """Whether there is an anchor."""
        return self._anchor is not None

    def note(self, planned: PlannedRun, *, is_measured: bool) -> None:
        """Note a run of the plan that was measured, or that failed before."""
        if is_measured:
            self._measured.append(planned)
        if planned.strategy == self._strategy:
            self._failed = not is_measured

    def next_anchor(self, waiting: Collection[PlannedRun], alone: Collection[PlannedRun]) -> list[PlannedRun]:
        """Return the run that replaces an anchor whose process is gone; empty where none is needed, or none can.

        Memory holds those in `alone` only by themselves.
        """
        was_measured = any(run.strategy == self._strategy for run in self._measured)
        if self._anchor is not None or self._failed or not was_measured or not self._memory_fit.allows_turns:
            return []
        return [next_baseline_run(waiting, self._measured, self._strategy, alone)]

    def take_turns(self, group: Sequence[PlannedRun], runs: Sequence[ActiveRun], share_s: float) -> float:
        """Let the runs of a group take turns, or one that has no partner alone; return the seconds that it took.

        Those that are alive fit into memory, even where no others are to join them. `share_s` are the seconds of each
        run for its window and turns.
        """
        began_s = time.monotonic()
        alive = self._taking_turns(runs)
        if len(alive) > 1:
            self._turns.take(alive, began_s + len(runs) * share_s - sum(run.progress.window_s for run in runs))
            alive = self._taking_turns(runs)
        for planned, run in zip(group, runs, strict=True):
            if alive == [run] and not self._becomes_anchor(planned, run):
                self._turns.take_alone(run, began_s + share_s - run.progress.window_s)
        return time.monotonic() - began_s

    def conclude(self, group: Sequence[PlannedRun], runs: Sequence[ActiveRun], share_s: float) -> None:
        """Save and end the runs of a group, but one that stays alive as the new anchor."""
        for run in (self._anchor, *runs):
            # Save all before any is reported: runs that took turns are compared with each other.
            if run is not None:
                self._live_runs.save(run)
        if self._anchor is not None and self._anchor.outcome is not None:
            self.end_anchor()
        for planned, run in zip(group, runs, strict=True):
            if self._becomes_anchor(planned, run):
                self.end_anchor()
                self._anchor, self._spare_s = run, share_s - run.progress.window_s
                self._strategy, self._failed = planned.strategy, False
            else:
                self._live_runs.end(run)

    def end_anchor(self, left_s: float = 0.0) -> None:
        """End the anchor; one with which none took turns takes them alone before, if `left_s` seconds are left."""
        run, self._anchor = self._anchor, None
        if run is None:
            return
        if run.outcome is None and has_turns_window(run.spec) and run.progress.last_timed is None:
            self._turns.take_alone(run, time.monotonic() + min(self._spare_s, left_s))
        self._live_runs.end(run)

    def _taking_turns(self, runs: Sequence[ActiveRun]) -> list[ActiveRun]:
        """Return the live runs that take turns: the anchor, and those of a group with a short window."""
        with_turns_window = [run for run in runs if has_turns_window(run.spec)]
        return [run for run in (self._anchor, *with_turns_window) if run is not None and run.outcome is None]

    def _becomes_anchor(self, planned: PlannedRun, run: ActiveRun) -> bool:
        replaces_baseline = self._failed and self._anchor is None
        may_be = not planned.step and (planned.strategy == self._strategy or replaces_baseline)
        return may_be and run.outcome is None and self._memory_fit.allows_turns
