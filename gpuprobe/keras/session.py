"""One watched training in the user's process: times its calls, samples the GPU, traces, and saves a recording."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuprobe import telemetry, wording
from gpuprobe.backends.backend import current
from gpuprobe.keras.core_use import CoreUseMeter
from gpuprobe.keras.new_recording import NewRecording
from gpuprobe.keras.phase_journal import PhaseJournal
from gpuprobe.keras.process_wall import process_wall
from gpuprobe.keras.watch_phases import Action, WatchPhases
from gpuprobe.measure import folder
from gpuprobe.measure.event_log import EventLog
from gpuprobe.measure.run_in_progress import run_of_events
from gpuprobe.recording import RUN_FILE, TELEMETRY_FILE, TRACE_FOLDER
from gpuprobe.records import Given, Outcome, Run, Settings, TraceInfo, save
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from gpuprobe.keras.options import ProbeOptions
    from gpuprobe.measure.wall import Tally
    from gpuprobe.records import PhaseName, State

# How often the figures in the progress bar are renewed.
FIGURES_EVERY_NS = 500_000_000
# How often the whole-run breakdown is saved, since the training may be killed.
WALL_EVERY_NS = 5_000_000_000
TOO_SHORT = (
    "the training ended after {}, before a trace was due; "
    "with trace_at=4, Probe and window trace from the fourth call on"
)
# One more call is traced, since the first is slowed by the profiler's start.
EXTRA_CALLS = 1


class ProbeSession:
    """One watched training. The caller wraps each call of the train function and reports where epochs begin and end."""

    def __init__(self, options: ProbeOptions) -> None:
        self._options, self.backend = options, current()
        traced_calls = 0 if self.backend.no_trace or not options.trace_steps else options.trace_steps + EXTRA_CALLS
        self._phases = WatchPhases(traced_calls, options.trace_at, options.window_s)
        self._journal = PhaseJournal()
        self._core_use = CoreUseMeter()
        self._answer: Any = None
        self._epoch_calls = 0
        self._training_began: tuple[int, Tally] | None = None
        self.samples_per_call = 0
        self.figures: dict[str, float] = {}
        self._recording = NewRecording(options.name, Path(options.out))
        self.study_folder, self.folder = self._recording.study_folder, self._recording.run_folder
        with ExitStack() as stack:
            stack.enter_context(folder.locked(self.study_folder))
            self._recording.save()
            self._log = EventLog(self.folder)
            stack.callback(self._log.close)
            stack.enter_context(telemetry.sampling(self.folder / TELEMETRY_FILE, os.getpid()))
            self._follower = telemetry.Follower(self.folder / TELEMETRY_FILE, averaged="gpu0_utilization_percent")
            self._epoch_began_ns = self._figures_ns = self._last_ns = self._wall_ns = time.time_ns()
            self._enter("warmup", self._epoch_began_ns)
            if self.backend.no_trace:
                self._log.write("trace", trace=TraceInfo(path=None, missing=self.backend.no_trace))
            self._stack = stack.pop_all()

    @property
    def calls(self) -> int:
        """How many calls have ended."""
        return self._phases.calls

    @property
    def last_ns(self) -> int:
        """When the last call ended (Unix ns)."""
        return self._last_ns

    def training_began(self) -> None:
        """Note that the recorded training began: its whole-run breakdown starts here."""
        self._training_began = self._training_began or process_wall().began

    def ask_for_trace(self) -> None:
        """Trace the next calls."""
        if not self.backend.no_trace:
            self._phases.trace_calls = self._phases.trace_calls or self._options.trace_steps + EXTRA_CALLS
            self._phases.ask_for_trace()

    def marker(self) -> AbstractContextManager[Any]:
        """Return the profiler's step marker for the next call; it has to enclose the whole call, input included."""
        return self.backend.marker(self._phases.calls)

    def call_returned(self, answer: Any) -> None:
        """While tracing, wait for the result of a call before its marker ends."""
        self._answer = answer
        if self._phases.phase == "trace":
            self.backend.finish(answer)

    def call_ended(self, began_ns: int) -> None:
        """Record a call that began at `began_ns` (Unix ns) and ended now."""
        self._last_ns = now_ns = time.time_ns()
        self._epoch_calls += 1
        self._journal.call(began_ns, now_ns)
        action = self._phases.after_call(now_ns)
        if action is not Action.GO_ON and self.backend.returns_early:
            # The steps of a phase end with the phase: else a short window would time how fast they are handed over.
            self.backend.wait(self._answer)
            now_ns = time.time_ns()
            self._journal.last_call_ended(now_ns)
        self._answer = None
        self._carry_out(action, now_ns)
        # What the first call compiles, and what the profiler does at its start and end, is no training.
        self._core_use.begin()
        if now_ns - self._figures_ns >= FIGURES_EVERY_NS:
            self._update_figures(now_ns)

    def epoch_began(self, *, last: bool = False) -> None:
        """Begin an epoch, the `last` one if that is known."""
        self._epoch_began_ns = time.time_ns()
        self._epoch_calls = 0
        self._phases.epoch_began(self._epoch_began_ns, last=last)
        self._follower.reset()

    def epoch_ended(self) -> None:
        """End an epoch: close its timed window, and set `figures` to those of all its steps."""
        # The epoch's steps end with the last call: validation has run since.
        self._update_figures(self._last_ns)
        self._carry_out(self._phases.epoch_ended(self._last_ns), self._last_ns)

    def expect_calls(self, epoch_calls: int, epochs: int) -> None:
        """Set how many calls an epoch will have (0: unknown), and how many epochs."""
        self._phases.expect_calls(epoch_calls, epochs)

    def join_short_training(self) -> None:
        """Continue with another short training as part of this one."""
        self._phases.join_short_training()

    def save_arguments(self, given: Given) -> None:
        """Save the arguments of the training."""
        self._log.write("given", given=given)

    def save_settings(self, settings: Settings | None, steps_per_epoch: int) -> None:
        """Save what is known after the first call: the settings, and the number of steps in an epoch (0: unknown)."""
        batch_size = settings.batch_size if settings else self.samples_per_call
        self._recording.save_batch_size(batch_size, steps_per_epoch * batch_size)
        if settings is not None:
            self._log.write("settings", settings=settings)
        self._log.write("loops", loops=self.backend.loops())

    def save_samples_of_epoch(self, samples: int) -> None:
        """Save how many samples an epoch has, counted over a whole one."""
        self._recording.save_counted_samples(samples)

    @property
    def no_gpu(self) -> str:
        """Why no GPU can be used, empty where one can."""
        return self._recording.study.environment.no_gpu or ""

    def end(self, state: State = "done", message: str = "") -> Run:
        """Stop tracing and sampling; save and return the record of the run."""
        self._core_use.end()
        with self._stack:
            if self._phases.phase == "trace":
                self._stop_trace()
            elif self._phases.awaits_trace:
                self._log.write(
                    "trace", trace=TraceInfo(path=None, missing=TOO_SHORT.format(wording.count(self.calls, "call")))
                )
            self._journal.close()
            self._journal.write(self._log)
            self._log.write("outside", fraction=self._journal.outside_fraction())
            if (core_use := self._core_use.total) is not None:
                self._log.write("core_use", core_use=core_use)
            self._write_wall(complete=state == "done")
            self._log.write("done" if state == "done" else "error", state=state, message=message)
        run = run_of_events(self.folder, self._recording.spec, Outcome(state=state, message=message))
        save(run, self.folder / RUN_FILE)
        return run

    def _carry_out(self, action: Action, now_ns: int) -> None:
        if action is Action.GO_ON:
            return
        if action is Action.STOP_TRACE:
            self._stop_trace()
        self._enter(self._phases.phase, time.time_ns() if action is Action.STOP_TRACE else now_ns)
        if action is Action.START_TRACE:
            self._start_trace()

    def _enter(self, phase: PhaseName, now_ns: int) -> None:
        if self._journal.enter(phase, now_ns) and phase in {"rest", "trace"}:
            self._journal.write(self._log)

    def _update_figures(self, now_ns: int) -> None:
        self._figures_ns = now_ns
        if now_ns - self._wall_ns >= WALL_EVERY_NS:
            self._write_wall(complete=False)
        process_wall().save(complete=False)
        self._follower.look(now_ns)
        seconds = (now_ns - self._epoch_began_ns) / NS_PER_S
        calls_per_s = self._epoch_calls / seconds if seconds > 0 else 0.0
        samples = self.samples_per_call
        figures = {"samples_per_s": calls_per_s * samples} if samples else {"calls_per_s": calls_per_s}
        if (gpu_percent := self._follower.mean()) is not None:
            figures["gpu_utilization"] = gpu_percent / 100
        self.figures = figures

    def _write_wall(self, *, complete: bool) -> None:
        self._wall_ns = self._last_ns
        if self._training_began is not None and process_wall().is_recorded_thread:
            self._log.write("wall", wall=process_wall().training(self._training_began, complete=complete))

    def _start_trace(self) -> None:
        self._core_use.end()
        try:
            with process_wall().part("gpuprobe"):
                self.backend.start_trace(self.folder / TRACE_FOLDER, self._stop_for_other_profiler)
        except Exception as error:  # noqa: BLE001 - each backend's profiler has errors of its own
            self._without_trace(f"the profiler did not start: {error}")

    def _stop_for_other_profiler(self) -> None:
        """Stop tracing, since the training is starting the profiler itself."""
        with suppress(Exception):
            self.backend.stop_trace()
        with suppress(Exception):
            self._without_trace("the training started the profiler itself")

    def _without_trace(self, reason: str) -> None:
        now_ns = time.time_ns()
        self._phases.retry_trace_later(now_ns)
        self._enter(self._phases.phase, now_ns)
        shutil.rmtree(self.folder / TRACE_FOLDER, ignore_errors=True)
        self._log.write("trace", trace=TraceInfo(path=None, missing=reason))

    def _stop_trace(self) -> None:
        self._core_use.end()
        try:
            with process_wall().part("gpuprobe"):
                self.backend.stop_trace()
        except Exception as error:  # noqa: BLE001 - each backend's profiler has errors of its own
            self._log.write("trace", trace=TraceInfo(path=None, missing=f"the profiler saved nothing: {error}"))
            return
        calls = self._journal.write_calls(self._log)
        info = TraceInfo(
            path=TRACE_FOLDER, steps=calls, slowdown=self._journal.slowdown(by_mean=self.backend.returns_early)
        )
        self._log.write("trace", trace=info)
