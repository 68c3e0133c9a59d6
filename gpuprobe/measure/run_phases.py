"""Decides after each call of the train function which phase of a run follows: settle, window, trace, turn or pause.

A pure state machine: the time is an argument, and neither TensorFlow nor the clock is used.
"""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from gpuprobe.blocks import BLOCKS, block_means, half_width
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpuprobe.records import RunSpec

# Steps are steady after so many calls in a row within this factor of each other. Settling ends after this share of the
# window in any case, since a noisy machine may never be steady.
STEADY_CALLS = 3
STEADY_FACTOR = 1.5
SETTLE_SHARE_OF_WINDOW = 0.4
# Fewer calls give no confidence interval.
MIN_CALLS = 3
# A trace ends after this time, even if one call fills it.
TRACE_S = 3.0
# A shorter trace may show a short disturbance and little else, so more of short steps are traced, up to a number that
# fits into the profiler's buffers.
LEAST_TRACE_S, MOST_TRACED_CALLS = 0.2, 20
# The first steps after a pause find prefetched batches, and caches filled by other runs. Measured: the first takes 8 %
# longer, the third as long as all later ones.
REFILL_STEPS = 2
# A turn has at least so many steps, be it in several calls or in one.
LEAST_TURN_STEPS = 3
# At least so many calls are traced: the first is slowed by the profiler's start, and the last has no end.
LEAST_TRACED_CALLS = 3


class Action(Enum):
    """What the worker does next."""

    GO_ON = "go on"
    HOLD = "hold"
    START_WINDOW = "start window"
    END_WINDOW = "end window"
    START_TRACE = "start trace"
    START_TURN = "start turn"
    PAUSE = "pause"


@dataclass
class RunPhases:
    """The current phase of one run; `after_call` gets the end of each call (Unix ns) and returns what to do next.

    `epoch_calls` is the number of calls in an epoch, None until it is known. The time between two epochs is not part of
    a step. So a trace does not span the end of an epoch, where it fits into one, and a turn in which an epoch ends
    begins again, unless epochs are shorter than turns.
    """

    spec: RunSpec
    steps_per_call: int
    trace: bool
    epoch_calls: int | None = None
    _in_epoch: int = 0
    _refill_s: float = 0.0
    _turn_s: float = 0.0
    _turn_begun_again: bool = False
    _short_epochs: bool = False
    _call_ends_ns: list[int] = field(default_factory=list)
    _phase: str = "warmup"

    def after_call(self, now_ns: int) -> Action:
        """Count a call that ended now (ns); return what to do next."""
        self._in_epoch += 1
        if self._phase == "warmup":
            return Action.HOLD
        self._call_ends_ns.append(now_ns)
        decide_after: dict[str, Callable[[], Action]] = {
            "settle": self._after_settling_call,
            "window": self._after_window_call,
            "before trace": lambda: Action.START_TRACE if self.may_trace else Action.GO_ON,
            "trace": self._after_traced_call,
            "refill": lambda: self._after_at_least(REFILL_STEPS, self._refill_s, Action.START_TURN),
            "turn": self._after_turn_call,
        }
        return decide_after[self._phase]()

    def epoch_began(self) -> None:
        """Note that the next call belongs to a new epoch."""
        if self._in_epoch:
            self.epoch_calls = self._in_epoch
        self._in_epoch = 0

    def settling_started(self, now_ns: int) -> None:
        """Begin settling: wait for steady calls."""
        self._phase, self._call_ends_ns = "settle", [now_ns]

    def window_started(self, now_ns: int) -> None:
        """Begin the timed window; the device has finished all earlier work."""
        self._phase, self._call_ends_ns = "window", [now_ns]

    @property
    def may_trace(self) -> bool:
        """Whether the calls to trace still fit into this epoch, or at least as many as fit into any."""
        return self._left_in_epoch() >= min(self._traced_at_least(), self.epoch_calls or 1)

    def trace_started(self, now_ns: int) -> None:
        """Begin the trace."""
        self._phase, self._call_ends_ns = "trace", [now_ns]

    def refill_started(self, now_ns: int, refill_s: float, turn_s: float) -> None:
        """Train for `refill_s` seconds on the batches that were prepared during a pause, before a turn of `turn_s`."""
        self._phase, self._call_ends_ns = "refill", [now_ns]
        self._refill_s, self._turn_s, self._turn_begun_again = refill_s, turn_s, False

    def turn_started(self, now_ns: int) -> None:
        """Begin a turn; the device has finished all earlier work."""
        self._phase, self._call_ends_ns = "turn", [now_ns]

    def _after_at_least(self, steps: int, seconds: float, then: Action) -> Action:
        enough = self._calls_of_phase() * self.steps_per_call >= steps
        return then if enough and self._phase_s() >= seconds else Action.GO_ON

    def _after_turn_call(self) -> Action:
        if self._in_epoch == 1 and not self._short_epochs:
            # An epoch has ended within this turn: it may take seconds to close its iterator and to open the next.
            self._short_epochs, self._turn_begun_again = self._turn_begun_again, True
            if not self._short_epochs:
                return Action.START_TURN
        return self._after_at_least(LEAST_TURN_STEPS, self._turn_s, Action.PAUSE)

    def _after_settling_call(self) -> Action:
        recent_lengths = _durations(self._call_ends_ns)[-STEADY_CALLS:]
        steady = len(recent_lengths) == STEADY_CALLS and max(recent_lengths) <= STEADY_FACTOR * min(recent_lengths)
        if steady or self._phase_s() >= SETTLE_SHARE_OF_WINDOW * self.spec.window_s:
            return Action.START_WINDOW
        return Action.GO_ON

    def _after_window_call(self) -> Action:
        calls = self._calls_of_phase()
        if self.spec.steps is not None:
            window_is_long_enough = calls * self.steps_per_call >= self.spec.steps
        else:
            spent_s = self._phase_s()
            window_is_long_enough = calls >= MIN_CALLS and (
                spent_s >= self.spec.window_s or (spent_s >= self.spec.window_min_s and self._precise_enough())
            )
        if not window_is_long_enough:
            return Action.GO_ON
        if not self.trace:
            return Action.PAUSE
        self._phase = "before trace"
        return Action.END_WINDOW

    def _after_traced_call(self) -> Action:
        calls, spent_s = self._calls_of_phase(), self._phase_s()
        enough = calls >= self._traced_at_least() and (spent_s >= LEAST_TRACE_S or calls >= MOST_TRACED_CALLS)
        too_long = calls > 1 and spent_s >= TRACE_S
        at_end = calls >= LEAST_TRACED_CALLS and self._left_in_epoch() == self.epoch_calls
        return Action.PAUSE if enough or too_long or at_end else Action.GO_ON

    def _traced_at_least(self) -> int:
        """The least number of calls to trace: one more than asked for, since the profiler's start slows the first."""
        return 1 + math.ceil(self.spec.trace_steps / self.steps_per_call)

    def _left_in_epoch(self) -> float:
        """How many calls are left in this epoch; after its last call, in the next."""
        return self.epoch_calls - self._in_epoch % self.epoch_calls if self.epoch_calls else math.inf

    def _calls_of_phase(self) -> int:
        return len(self._call_ends_ns) - 1

    def _phase_s(self) -> float:
        return (self._call_ends_ns[-1] - self._call_ends_ns[0]) / NS_PER_S

    def _precise_enough(self) -> bool:
        call_lengths = _durations(self._call_ends_ns)
        calls_per_block = len(call_lengths) // BLOCKS
        # The check must be cheap, so it is made once for each block and not after each call.
        if calls_per_block < 1 or len(call_lengths) % calls_per_block:
            return False
        block_lengths = block_means(call_lengths)
        return half_width(block_lengths) <= self.spec.precise_fraction * statistics.fmean(block_lengths)


def _durations(ends_ns: list[int]) -> list[int]:
    return [later - earlier for earlier, later in itertools.pairwise(ends_ns)]
