"""Decides after each call of a watched training which phase follows: settle, window, trace or rest.

A pure state machine: the time is an argument, and neither Keras nor the clock is used. The timed window lies within one
epoch, so that validation and checkpoints between epochs are not counted as steps; only where epochs have at most 8
calls does it span several. An automatic trace lies within one epoch too, where it fits. Where the number of calls is
known and none was traced before, the last calls are traced.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from gpuprobe.measure.run_phases import STEADY_CALLS, STEADY_FACTOR
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from gpuprobe.records import PhaseName

# Steady is defined as in `gpuprobe run`; after this time the window begins anyway.
SETTLE_S = 5.0
# So many calls are eight blocks of three; in this time NVML's one-second average is read a dozen times.
WINDOW_S = 15.0
WINDOW_CALLS = 24
# The window of a training of unknown length (a custom loop, an epoch of unknown length), which may end within seconds.
BRIEF_WINDOW_S = 1.0
# A window that its epoch's end cuts short is kept if it has more calls than this.
FEWEST_CALLS = 8
# The first calls of an epoch, in which buffers fill, are not traced. Where no window has been timed by call number
# `LATEST_TRACE`, the trace is taken without one.
SKIPPED_CALLS = 2
LATEST_TRACE = 100
# Where each `fit` is too short for a timed window: trace from this call on, when the input pipeline is likely running.
EARLY_TRACE_AT = 4
# A trace stops after this time: one call may run a whole epoch in a graph, and a longer trace is too large to open.
LONGEST_TRACE_S = 20.0
# The first traced call is slowed by the profiler's start, so one call is not enough.
FEWEST_TRACED = 2
# Where the training uses the profiler itself, tracing is tried again after so many calls, then after twice as many.
RETRY_CALLS = 50
MOST_TRIES = 6


class Action(Enum):
    """What the session does after a call."""

    GO_ON = "go on"
    ENTER = "enter the phase"
    START_TRACE = "start tracing"
    STOP_TRACE = "stop tracing"


@dataclass
class WatchPhases:
    """The current phase of one training. `trace_calls` calls are traced, from call `trace_at` on, counted from 1.

    Where `trace_at` is None, the trace follows the timed window; 0 means never. The window closes after `window_s`
    seconds, or with its epoch. `epoch_calls` is the number of calls in an epoch, `total_calls` that of all epochs; 0
    where not known yet. In the `last_epoch` a trace is taken even if it may not fit.
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
    _call_ends_ns: list[int] = field(default_factory=list)
    _before_trace: PhaseName = "rest"
    _trace_asked: bool = False
    _trace_done: bool = False
    _failed_starts: int = 0
    _next_try: int = 0
    _window_calls: int = WINDOW_CALLS

    def __post_init__(self) -> None:
        self._trace_done = self.trace_calls == 0 or self.trace_at == 0

    @property
    def awaits_trace(self) -> bool:
        """Whether a trace is still to come."""
        return not self._trace_done and not self._failed_starts

    def expect_calls(self, epoch_calls: int, epochs: int) -> None:
        """Set how many calls an epoch will have (0: unknown), and how many epochs."""
        self.epoch_calls, self.total_calls = epoch_calls, epoch_calls * epochs
        if not epoch_calls and epochs == 1:
            self._shorten_window()

    def join_short_training(self) -> None:
        """Count the next short training to this recording: its window and its trace may span several of them."""
        self._shorten_window()
        if self.trace_at is None:
            self.trace_at = EARLY_TRACE_AT

    def _shorten_window(self) -> None:
        self.window_s, self._window_calls = min(self.window_s, BRIEF_WINDOW_S), FEWEST_CALLS

    def ask_for_trace(self) -> None:
        """Trace from the next call on."""
        self._trace_asked = True

    def retry_trace_later(self, now_ns: int) -> None:
        """Leave a trace that failed to start for the phase before it, and try again later, up to 6 times."""
        self._enter(self._before_trace, now_ns)
        self._failed_starts += 1
        self._trace_done = self._failed_starts >= MOST_TRIES
        self._next_try = self.calls + RETRY_CALLS * 2 ** (self._failed_starts - 1)

    def after_call(self, now_ns: int) -> Action:
        """Count a call that ended now (Unix ns); return what to do."""
        self.calls += 1
        self._in_epoch += 1
        self._call_ends_ns.append(now_ns)
        if self.phase == "trace":
            is_too_long = now_ns - self._call_ends_ns[0] >= LONGEST_TRACE_S * NS_PER_S
            return (
                self._end_trace(now_ns) if is_too_long or len(self._call_ends_ns) > self.trace_calls else Action.GO_ON
            )
        if self._wants_trace():
            return self._begin_trace(now_ns)
        if self.phase == "warmup":
            return self._enter("settle", now_ns)
        if self.phase == "settle":
            return self._enter("window", now_ns) if self._is_steady() else Action.GO_ON
        if self.phase == "window":
            return self._after_window_call(now_ns)
        del self._call_ends_ns[SKIPPED_CALLS + 1 :]
        return Action.GO_ON

    def epoch_ended(self, now_ns: int) -> Action:
        """Close a window that has enough calls, or drop it and settle again."""
        self.epoch_calls = self._in_epoch
        if self._spans_epochs:
            return Action.GO_ON
        if self.phase == "window":
            if len(self._call_ends_ns) > FEWEST_CALLS:
                return self._enter("rest", now_ns)
            return self._enter("settle", now_ns)
        if self.phase == "settle":
            self._call_ends_ns = []
        return Action.GO_ON

    def epoch_began(self, now_ns: int, *, last: bool = False) -> None:
        """Count the calls of a new epoch; a running trace continues."""
        self._in_epoch, self.last_epoch = 0, last
        if self.phase != "trace" and not self._spans_epochs:
            self._call_ends_ns = [now_ns]

    def _wants_trace(self) -> bool:
        if self._trace_done or self._trace_asked:
            return self._trace_asked
        if self.calls < self._next_try:
            return False
        if self.trace_at is not None:
            return self.calls >= self.trace_at
        if self._is_last_chance():
            return True
        has_timed_window, is_late = self.phase == "rest", self.phase == "settle" and self.calls >= LATEST_TRACE
        epoch_has_begun = self._spans_epochs or len(self._call_ends_ns) > SKIPPED_CALLS
        return (has_timed_window or is_late) and epoch_has_begun and (self.last_epoch or self._trace_fits())

    def _is_last_chance(self) -> bool:
        """Whether the trace has to begin now, since no more calls are left than it takes."""
        calls_left = self.total_calls - self.calls
        return self.calls > SKIPPED_CALLS and FEWEST_TRACED <= calls_left <= self.trace_calls

    @property
    def _spans_epochs(self) -> bool:
        """Whether epochs are too short to hold a timed window."""
        return 0 < self.epoch_calls <= FEWEST_CALLS

    def _trace_fits(self) -> bool:
        """Whether the calls to trace still fit into this epoch, or at least as many as fit into any."""
        calls_left = self.epoch_calls - self._in_epoch
        return not self.epoch_calls or calls_left >= min(self.trace_calls, self.epoch_calls - SKIPPED_CALLS)

    def _after_window_call(self, now_ns: int) -> Action:
        calls = len(self._call_ends_ns) - 1
        is_long_enough = self._call_ends_ns[-1] - self._call_ends_ns[0] >= self.window_s * NS_PER_S
        if calls < self._window_calls or not is_long_enough:
            return Action.GO_ON
        return self._enter("rest", now_ns)

    def _begin_trace(self, now_ns: int) -> Action:
        # Where no window has been timed yet, it comes after the trace.
        has_timed_window = self.phase == "rest" or (self.phase == "window" and len(self._call_ends_ns) > FEWEST_CALLS)
        self._before_trace = "rest" if has_timed_window else "settle"
        self._trace_asked, self._trace_done = False, True
        self._enter("trace", now_ns)
        return Action.START_TRACE

    def _end_trace(self, now_ns: int) -> Action:
        self._enter(self._before_trace, now_ns)
        return Action.STOP_TRACE

    def _is_steady(self) -> bool:
        last_ends_ns = self._call_ends_ns[-STEADY_CALLS - 1 :]
        call_lengths_ns = [later - earlier for earlier, later in itertools.pairwise(last_ends_ns)]
        if len(call_lengths_ns) < STEADY_CALLS:
            return False
        return (
            max(call_lengths_ns) <= STEADY_FACTOR * min(call_lengths_ns)
            or last_ends_ns[-1] - self._call_ends_ns[0] >= SETTLE_S * NS_PER_S
        )

    def _enter(self, phase: PhaseName, now_ns: int) -> Action:
        self.phase, self._call_ends_ns = phase, [now_ns]
        return Action.ENTER
