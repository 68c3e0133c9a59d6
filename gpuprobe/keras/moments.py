"""Decides when a training that nobody planned is warm, what is timed, and when to trace.

A pure state machine: it is told the time, and touches neither Keras nor the clock. The timed window never spans the end
of an epoch, so that validation and checkpoints between epochs are no part of a step, unless epochs are so short that
what lies between them is part of each few steps. Nor does a trace that nobody asked for, where an epoch has room for
it. Where it is known how many calls there will be, the last of them are traced at the latest.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from gpuprobe.measure.conductor import STEADY_CALLS, STEADY_FACTOR
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from gpuprobe.records import PhaseName

# What is steady is as in `gpuprobe run`; after so long it goes on anyway.
SETTLE_S = 5.0
# Enough for eight blocks of a few calls each, and long enough for a dozen readings of NVML's one-second average.
WINDOW_S = 15.0
WINDOW_CALLS = 24
# Where nothing tells how long a training goes on, as in a loop of one's own or an epoch of open length: it may be over
# in seconds, as a tutorial is.
BRIEF_WINDOW_S = 1.0
# A window that an epoch's end cuts short is kept from this many calls on.
FEWEST_CALLS = 8
# The first calls of an epoch wait for buffers to fill. Where epochs are too short for a window, a trace is still due.
SKIPPED_CALLS = 2
LATEST_TRACE = 100
# Where each training is too short for a timed window, the trace comes as soon as its input is likely to flow.
EARLY_TRACE_AT = 4
# A call may hold a whole epoch, in a loop within a graph: what it leaves in a longer trace nobody can open.
LONGEST_TRACE_S = 20.0
# The first call of a trace pays for starting the profiler: one alone tells nothing.
FEWEST_TRACED = 2
# Where the training runs the profiler itself, a trace is tried again after so many calls, then twice as many.
RETRY_CALLS = 50
MOST_TRIES = 6


class Action(Enum):
    """What the session has to do after a call."""

    GO_ON = "go on"
    ENTER = "enter the phase"
    START_TRACE = "start tracing"
    STOP_TRACE = "stop tracing"


@dataclass
class Moments:
    """The state of one training. `trace_at` counts calls from 1; None means right after the timed window, 0 never.

    The window closes after `window_s` seconds, where no epoch's end closes it before. `epoch_calls` is how many calls
    an epoch has, `total_calls` all epochs together; 0 where that is not known yet. After the `last_epoch` there is no
    better moment for a trace.
    """

    trace_calls: int
    trace_at: int | None = None
    window_s: float = WINDOW_S
    phase: PhaseName = "warmup"
    calls: int = 0
    epoch_calls: int = 0
    total_calls: int = 0
    last_epoch: bool = False
    _in_epoch: int = 0
    _ends_ns: list[int] = field(default_factory=list)
    _before_trace: PhaseName = "rest"
    _asked: bool = False
    _traced: bool = False
    _tries: int = 0
    _not_before: int = 0
    _window_calls: int = WINDOW_CALLS

    def __post_init__(self) -> None:
        self._traced = self.trace_calls == 0 or self.trace_at == 0

    @property
    def awaits_trace(self) -> bool:
        """Whether a trace is still to come."""
        return not self._traced and not self._tries

    def expect(self, epoch_calls: int, epochs: int) -> None:
        """Take note of how many calls an epoch will have, and how many epochs; 0 where that is not known."""
        self.epoch_calls, self.total_calls = epoch_calls, epoch_calls * epochs
        if not epoch_calls and epochs == 1:
            self._be_brief()

    def go_on(self) -> None:
        """Another training of a few calls goes on where the last one ended: the trace may span several of them."""
        self._be_brief()
        if self.trace_at is None:
            self.trace_at = EARLY_TRACE_AT

    def _be_brief(self) -> None:
        self.window_s, self._window_calls = min(self.window_s, BRIEF_WINDOW_S), FEWEST_CALLS

    def ask_for_trace(self) -> None:
        """Trace from the next call on, whatever was planned."""
        self._asked = True

    def give_trace_up(self, now_ns: int) -> None:
        """Go on as before a trace that did not come about, and try again later, for some times."""
        self._enter(self._before_trace, now_ns)
        self._tries += 1
        self._traced = self._tries >= MOST_TRIES
        self._not_before = self.calls + RETRY_CALLS * 2 ** (self._tries - 1)

    def after_call(self, now_ns: int) -> Action:
        """Take note of a call that ended now, and say what to do."""
        self.calls += 1
        self._in_epoch += 1
        self._ends_ns.append(now_ns)
        if self.phase == "trace":
            long = now_ns - self._ends_ns[0] >= LONGEST_TRACE_S * NS_PER_S
            return self._end_trace(now_ns) if long or len(self._ends_ns) > self.trace_calls else Action.GO_ON
        if self._wants_trace():
            return self._begin_trace(now_ns)
        if self.phase == "warmup":
            return self._enter("settle", now_ns)
        if self.phase == "settle":
            return self._enter("window", now_ns) if self._steady() else Action.GO_ON
        if self.phase == "window":
            return self._after_window_call(now_ns)
        del self._ends_ns[SKIPPED_CALLS + 1 :]
        return Action.GO_ON

    def epoch_ended(self, now_ns: int) -> Action:
        """Close a window that is long enough, and begin one that is not anew. Steps of the next epoch settle again."""
        self.epoch_calls = self._in_epoch
        if self._spans_epochs:
            return Action.GO_ON
        if self.phase == "window":
            if len(self._ends_ns) > FEWEST_CALLS:
                return self._enter("rest", now_ns)
            return self._enter("settle", now_ns)
        if self.phase == "settle":
            self._ends_ns = []
        return Action.GO_ON

    def epoch_began(self, now_ns: int, *, last: bool = False) -> None:
        """Count from here; a trace that has begun counts on."""
        self._in_epoch, self.last_epoch = 0, last
        if self.phase != "trace" and not self._spans_epochs:
            self._ends_ns = [now_ns]

    def _wants_trace(self) -> bool:
        if self._traced or self._asked:
            return self._asked
        if self.calls < self._not_before:
            return False
        if self.trace_at is not None:
            return self.calls >= self.trace_at
        if self._must_begin():
            return True
        timed, late = self.phase == "rest", self.phase == "settle" and self.calls >= LATEST_TRACE
        begun = self._spans_epochs or len(self._ends_ns) > SKIPPED_CALLS
        return (timed or late) and begun and (self.last_epoch or self._has_room())

    def _must_begin(self) -> bool:
        """Whether no more calls are to come than a trace holds, of a training whose first calls are over."""
        left = self.total_calls - self.calls
        return self.calls > SKIPPED_CALLS and FEWEST_TRACED <= left <= self.trace_calls

    @property
    def _spans_epochs(self) -> bool:
        """Whether epochs are too short to hold a timed window."""
        return 0 < self.epoch_calls <= FEWEST_CALLS

    def _has_room(self) -> bool:
        """Whether the calls to be traced still fit into this epoch, or as many of them as any epoch has."""
        left = self.epoch_calls - self._in_epoch
        return not self.epoch_calls or left >= min(self.trace_calls, self.epoch_calls - SKIPPED_CALLS)

    def _after_window_call(self, now_ns: int) -> Action:
        calls = len(self._ends_ns) - 1
        long = self._ends_ns[-1] - self._ends_ns[0] >= self.window_s * NS_PER_S
        if calls < self._window_calls or not long:
            return Action.GO_ON
        return self._enter("rest", now_ns)

    def _begin_trace(self, now_ns: int) -> Action:
        # Where nothing was timed yet, the timed window is still to come.
        timed = self.phase == "rest" or (self.phase == "window" and len(self._ends_ns) > FEWEST_CALLS)
        self._before_trace = "rest" if timed else "settle"
        self._asked, self._traced = False, True
        self._enter("trace", now_ns)
        return Action.START_TRACE

    def _end_trace(self, now_ns: int) -> Action:
        self._enter(self._before_trace, now_ns)
        return Action.STOP_TRACE

    def _steady(self) -> bool:
        ends = self._ends_ns[-STEADY_CALLS - 1 :]
        lengths = [later - earlier for earlier, later in itertools.pairwise(ends)]
        if len(lengths) < STEADY_CALLS:
            return False
        return max(lengths) <= STEADY_FACTOR * min(lengths) or ends[-1] - self._ends_ns[0] >= SETTLE_S * NS_PER_S

    def _enter(self, phase: PhaseName, now_ns: int) -> Action:
        self.phase, self._ends_ns = phase, [now_ns]
        return Action.ENTER
