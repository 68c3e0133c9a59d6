"""Decides, after every call of the train function, what comes next: warm up, measure, trace, or stop.

A pure state machine: it is told the time, and touches neither TensorFlow nor the clock.
"""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpuprobe.records import RunSpec

# After the first call, so many in a row within this factor of each other count as steady; and the settling ends
# after this share of the window in any case, since a noisy machine may never be steady.
STEADY_CALLS = 3
STEADY_FACTOR = 1.5
SETTLE_SHARE_OF_WINDOW = 0.4
# Fewer calls give no interval. More blocks than 8 would be so short that neighbours are not independent.
MIN_CALLS = 3
BLOCKS = 8
# Student's t for 95 % at 7 degrees of freedom, that is for 8 blocks.
T_95 = 2.365
# A traced call that takes this long holds all there is to see; more of them would only take time.
TRACE_S = 3.0


class Action(Enum):
    """What the worker has to do now."""

    GO_ON = "go on"
    HOLD = "hold"
    START_WINDOW = "start window"
    END_WINDOW = "end window"
    STOP = "stop"


@dataclass
class Conductor:
    """The state of one run's measuring; `after_call` is told the end of each call in nanoseconds."""

    spec: RunSpec
    steps_per_call: int
    trace: bool
    _ends_ns: list[int] = field(default_factory=list)
    _phase: str = "warmup"

    def after_call(self, now_ns: int) -> Action:
        """Take note of a call that ended now, and say what to do next."""
        if self._phase == "warmup":
            return Action.HOLD
        self._ends_ns.append(now_ns)
        if self._phase == "settle":
            return self._after_settling_call()
        if self._phase == "window":
            return self._after_window_call()
        return self._after_traced_call()

    def settling_started(self, now_ns: int) -> None:
        """Begin to look for steady calls."""
        self._phase, self._ends_ns = "settle", [now_ns]

    def window_started(self, now_ns: int) -> None:
        """Begin to count: the device has finished all that was before."""
        self._phase, self._ends_ns = "window", [now_ns]

    def trace_started(self, now_ns: int) -> None:
        """Count the traced calls from now."""
        self._phase, self._ends_ns = "trace", [now_ns]

    def _after_settling_call(self) -> Action:
        recent = _durations(self._ends_ns)[-STEADY_CALLS:]
        steady = len(recent) == STEADY_CALLS and max(recent) <= STEADY_FACTOR * min(recent)
        if steady or self._spent_s() >= SETTLE_SHARE_OF_WINDOW * self.spec.window_s:
            return Action.START_WINDOW
        return Action.GO_ON

    def _after_window_call(self) -> Action:
        calls = len(self._ends_ns) - 1
        if self.spec.steps is not None:
            enough = calls * self.steps_per_call >= self.spec.steps
        else:
            spent_s = self._spent_s()
            enough = calls >= MIN_CALLS and (
                spent_s >= self.spec.window_s or (spent_s >= self.spec.window_min_s and self._precise_enough())
            )
        if not enough:
            return Action.GO_ON
        return Action.END_WINDOW if self.trace else Action.STOP

    def _after_traced_call(self) -> Action:
        # The first traced call pays for starting the profiler, so one more is run than is wanted.
        calls, wanted = len(self._ends_ns) - 1, 1 + math.ceil(self.spec.trace_steps / self.steps_per_call)
        return Action.STOP if calls >= wanted or (calls > 1 and self._spent_s() >= TRACE_S) else Action.GO_ON

    def _spent_s(self) -> float:
        return (self._ends_ns[-1] - self._ends_ns[0]) / 1e9

    def _precise_enough(self) -> bool:
        calls = _durations(self._ends_ns)
        size = len(calls) // BLOCKS
        # The check itself must cost nothing, so that it is made once per block and not once per call.
        if size < 1 or len(calls) % size:
            return False
        blocks = [statistics.fmean(calls[i * size : (i + 1) * size]) for i in range(BLOCKS)]
        half_width = T_95 * statistics.stdev(blocks) / math.sqrt(BLOCKS)
        return half_width <= self.spec.precise_fraction * statistics.fmean(blocks)


def _durations(ends_ns: list[int]) -> list[int]:
    return [later - earlier for earlier, later in itertools.pairwise(ends_ns)]
