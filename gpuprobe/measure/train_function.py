"""Wraps Keras's train function: times every call, and does what the conductor decides.

Keras's batch callbacks convert the loss to a Python float after each step, for which the host waits for the device. The
train function leaves the loss on the device. So that is timed instead: the host does not wait, and what is measured is
the training that a user would have without gpuprobe.
"""

from __future__ import annotations

import itertools
import statistics
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from gpuprobe.measure.losses import loss_points
from gpuprobe.measure.machine import host_peak_mib
from gpuprobe.measure.run_phases import Action
from gpuprobe.records import TraceInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import keras

    from gpuprobe.backends.backend import Backend
    from gpuprobe.measure.event_log import EventLog
    from gpuprobe.measure.gate import Gate
    from gpuprobe.measure.run_phases import RunPhases
    from gpuprobe.records import PhaseName

# How often calls are written: often enough for the live view and for little loss by a kill, but not in each step.
WRITE_EVERY_NS = 500_000_000
# The phases in which the loss of each step is kept: runs are compared after the same number of samples, and most runs
# do not train longer.
COMPARED = frozenset({"warmup", "settle", "window"})


class TimedTrainFunction:
    """Measures one model's training. Call `attach` once, then let the feed train until the model stops."""

    def __init__(
        self,
        run_phases: RunPhases,
        backend: Backend,
        log: EventLog,
        trace_folder: Path,
        samples_per_call: int,
        gate: Gate,
        on_first_call: Callable[[], None],
    ) -> None:
        self._phases, self._log, self._trace_folder = run_phases, log, trace_folder
        self._backend = backend
        self._samples_per_call, self._gate, self._on_first_call = samples_per_call, gate, on_first_call
        self._phase: PhaseName = "warmup"
        self._lap = 0
        self._calls = 0
        self._since_reset = 0
        self._unwritten: list[int] = []
        self._written_ns = 0
        self._window_ns: list[int] = []
        self._trace_ns: list[int] = []
        # (samples seen, samples since Keras reset its running mean, the running mean on the device)
        self._losses: list[tuple[int, int, Any]] = []

    def attach(self, model: keras.Model) -> None:
        """Wrap the model's train function, and watch for Keras's resets of its running means."""
        model.make_train_function()
        train_function, reset_metrics = model.train_function, model.reset_metrics

        def timed_train_function(*args: Any) -> Any:
            with self._marker():
                answer = train_function(*args)
                if self._phase == "trace":
                    self._backend.finish(answer)
            if self._after_call(answer):
                model.stop_training = True
            return answer

        def reset_and_note() -> None:
            self._since_reset = 0
            reset_metrics()

        model.train_function, model.reset_metrics = timed_train_function, reset_and_note

    def _marker(self) -> AbstractContextManager[Any]:
        if self._phase != "trace":
            return nullcontext()
        return self._backend.marker(self._calls)

    def _after_call(self, answer: Any) -> bool:
        now_ns = time.time_ns()
        self._calls += 1
        self._since_reset += self._samples_per_call
        self._unwritten.append(now_ns)
        if self._phase in COMPARED and (loss := self._backend.running_loss(answer)) is not None:
            self._losses.append((self._calls * self._samples_per_call, self._since_reset, loss))
        {"window": self._window_ns, "trace": self._trace_ns}.get(self._phase, []).append(now_ns)
        action = self._phases.after_call(now_ns)
        carry_out: dict[Action, Callable[[], None]] = {
            Action.HOLD: self._hold_at_gate,
            Action.START_WINDOW: self._start_window,
            Action.END_WINDOW: self._end_window,
            Action.START_TRACE: self._start_trace,
            Action.START_TURN: self._start_turn,
        }
        if action is Action.PAUSE:
            self._backend.wait(answer)
            return self._pause()
        if action in carry_out:
            self._backend.wait(answer)
            carry_out[action]()
        elif now_ns - self._written_ns >= WRITE_EVERY_NS or self._calls == 1:
            self._write_calls()
        return False

    def _write_calls(self) -> None:
        self._log.write("calls", ends_ns=self._unwritten)
        self._unwritten, self._written_ns = [], time.time_ns()

    def _enter(self, phase: PhaseName, **about: int) -> int:
        self._write_calls()
        self._phase = phase
        now_ns = time.time_ns()
        self._log.write("phase", now_ns, name=phase, **about)
        return now_ns

    def _hold_at_gate(self) -> None:
        self._on_first_call()
        self._enter("held")
        self._gate.wait()
        self._phases.settling_started(self._enter("settle"))

    def _start_window(self) -> None:
        now_ns = self._enter("window")
        self._window_ns = [now_ns]
        self._phases.window_started(now_ns)

    def _end_window(self) -> None:
        # After the barrier: the last call ended when the device finished, not when Python returned.
        self._unwritten[-1] = self._window_ns[-1] = time.time_ns()
        self._enter("trace")
        self._write_losses()
        if self._phases.may_trace:
            self._start_trace()

    def _start_trace(self) -> None:
        try:
            self._backend.start_trace(self._trace_folder, self._stop_for_other_profiler)
        except Exception as error:  # noqa: BLE001 - each backend's profiler has errors of its own
            self._log.write("trace", trace=TraceInfo(path=None, missing=f"the profiler did not start: {error}"))
        now_ns = time.time_ns()
        self._trace_ns = [now_ns]
        self._phases.trace_started(now_ns)

    def _stop_for_other_profiler(self) -> None:
        """Stop the trace, since the training itself starts the profiler."""
        with suppress(Exception):
            self._backend.stop_trace()

    def _start_turn(self) -> None:
        self._phases.turn_started(self._enter("turn", lap=self._lap))

    def _pause(self) -> bool:
        """Wait at the gate for a turn or the end; return whether it is the end."""
        self._end_phase()
        self._enter("paused")
        cpu_before_s = time.process_time()
        command = self._gate.wait()
        if command.last:
            return True
        # Training on the batches that its threads prepared while it waited takes about as long as preparing them took.
        cpu_s = time.process_time() - cpu_before_s
        self._lap = command.lap
        self._phases.refill_started(self._enter("refill"), cpu_s, command.turn_s)
        return False

    def _end_phase(self) -> None:
        """End the timed phase: its last call ended when the device finished, not when Python returned."""
        self._unwritten[-1] = time.time_ns()
        if self._phase == "trace":
            self._trace_ns[-1] = self._unwritten[-1]
            self._write_calls()
            self._stop_trace()
        elif self._phase == "window":
            self._window_ns[-1] = self._unwritten[-1]
            self._write_calls()
            self._write_losses()
        if self._phase != "turn":
            device_mib = self._backend.device_peak_mib()
            self._log.write("memory", host_peak_mib=host_peak_mib(), device_peak_mib=device_mib)

    def _stop_trace(self) -> None:
        try:
            self._backend.stop_trace()
        except Exception as error:  # noqa: BLE001 - each backend's profiler has errors of its own
            self._log.write("trace", trace=TraceInfo(path=None, missing=f"the profiler saved nothing: {error}"))
            return
        # A traced call waits for its step to finish. Other calls may return earlier, so only the mean of many is
        # comparable.
        typical_call = _mean_call if self._backend.returns_early else _median_call
        slowdown = typical_call(self._trace_ns[1:]) / typical_call(self._window_ns)
        traced_calls = len(self._trace_ns) - 1
        self._log.write("trace", trace=TraceInfo(path=self._trace_folder.name, steps=traced_calls, slowdown=slowdown))

    def _write_losses(self) -> None:
        means = [
            (samples_seen, samples_since_reset, float(mean)) for samples_seen, samples_since_reset, mean in self._losses
        ]
        self._log.write("losses", points=loss_points(means))


def _mean_call(ends_ns: list[int]) -> float:
    return (ends_ns[-1] - ends_ns[0]) / (len(ends_ns) - 1)


def _median_call(ends_ns: list[int]) -> float:
    return statistics.median(later - earlier for earlier, later in itertools.pairwise(ends_ns))
