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

# The first call traces and compiles. After it, so many calls in a row within this factor of each other count as
# steady; and warm-up ends after this share of the window in any case, since a noisy machine may never be steady.
STEADY_CALLS = 3
STEADY_FACTOR = 1.5
WARMUP_SHARE_OF_WINDOW = 0.5
# Fewer calls give no interval. More blocks than 16 would be so short that neighbours are not independent.
MIN_CALLS = 5
BLOCKS = 8
# Student's t for 95 % at 7 degrees of freedom, that is for 8 blocks.
T_95 = 2.365


class Action(Enum):
    """What the worker has to do now."""

    GO_ON = "go on"
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
    _first_done: bool = False

    def after_call(self, now_ns: int) -> Action:
        """Take note of a call that ended now, and say what to do next."""
        if self._phase == "warmup":
            return self._after_warmup_call(now_ns)
        self._ends_ns.append(now_ns)
        if self._phase == "window":
            return self._after_window_call()
        # The first traced call pays for starting the profiler, so one more is run than is wanted.
        wanted = 1 + math.ceil(self.spec.trace_steps / self.steps_per_call)
        return Action.STOP if len(self._ends_ns) - 1 >= wanted else Action.GO_ON

    def window_started(self, now_ns: int) -> None:
        """Begin to count: the device has finished all that was before."""
        self._phase, self._ends_ns = "window", [now_ns]

    def trace_started(self, now_ns: int) -> None:
        """Count the traced calls from now."""
        self._phase, self._ends_ns = "trace", [now_ns]

    def _after_warmup_call(self, now_ns: int) -> Action:
        self._ends_ns.append(now_ns)
        calls = _durations(self._ends_ns)
        if len(calls) < STEADY_CALLS:
            return Action.GO_ON
        recent = calls[-STEADY_CALLS:]
        steady = max(recent) <= STEADY_FACTOR * min(recent)
        spent_s = (now_ns - self._ends_ns[0]) / 1e9
        if steady or spent_s >= WARMUP_SHARE_OF_WINDOW * self.spec.window_s:
            return Action.START_WINDOW
        return Action.GO_ON

    def _after_window_call(self) -> Action:
        calls = len(self._ends_ns) - 1
        if self.spec.steps is not None:
            enough = calls * self.steps_per_call >= self.spec.steps
        else:
            spent_s = (self._ends_ns[-1] - self._ends_ns[0]) / 1e9
            enough = calls >= MIN_CALLS and (
                spent_s >= self.spec.window_s or (spent_s >= self.spec.window_min_s and self._precise_enough())
            )
        if not enough:
            return Action.GO_ON
        return Action.END_WINDOW if self.trace else Action.STOP

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
