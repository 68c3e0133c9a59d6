"""One watched training in the user's process: times its calls, samples the GPU, traces, and saves a recording."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gpuprobe import telemetry, wording
from gpuprobe.backends.backend import current
from gpuprobe.keras.core_use import CoreUseMeter
from gpuprobe.keras.journal import Journal
from gpuprobe.keras.moments import WINDOW_S, Action, Moments
from gpuprobe.keras.phases import phases
from gpuprobe.measure import folder
from gpuprobe.measure.environment import environment
from gpuprobe.measure.event_log import EventLog
from gpuprobe.measure.run_in_progress import fold
from gpuprobe.recording import RUN_FILE, SPEC_FILE, STUDY_FILE, TELEMETRY_FILE, TRACE_FOLDER, run_folder
from gpuprobe.records import Given, Outcome, Request, Run, RunSpec, Settings, StrategyInfo, Study, TraceInfo, save
from gpuprobe.tf_config import own_task
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from gpuprobe.measure.wall import Tally
    from gpuprobe.records import PhaseName, State

STRATEGY = "fit"
# How often the figures in the progress bar are renewed.
LOOK_EVERY_NS = 500_000_000
# How often the whole-run breakdown is saved, since the training may be killed.
WALL_EVERY_NS = 5_000_000_000
TOO_SHORT = (
    "the training ended after {}, before a trace was due; "
    "with trace_at=4, Probe and window trace from the fourth call on"
)
# One more call is traced, since the first is slowed by the profiler's start.
EXTRA_CALLS = 1


@dataclass(frozen=True)
class ProbeOptions:
    """The user's options: name and folder of the recording, calls to trace, seconds to time.

    `trace_at` counts calls of the train function from 1; None is right after the timed window, 0 never.
    """

    name: str
    out: str | os.PathLike[str] = "reports"
    trace_steps: int = 5
    trace_at: int | None = None
    window_s: float = WINDOW_S


class ProbeSession:
    """One watched training. The caller wraps each call of the train function and reports where epochs begin and end."""

    def __init__(self, options: ProbeOptions) -> None:
        self._options, self._backend = options, current()
        traced = 0 if self._backend.no_trace else options.trace_steps
        self._moments = Moments(traced + EXTRA_CALLS if traced else 0, options.trace_at, options.window_s)
        self._journal = Journal()
        self._core_use = CoreUseMeter()
        self._epoch_calls = 0
        self._began: tuple[int, Tally] | None = None
        self.samples_per_call = 0
        self.figures: dict[str, float] = {}
        now = datetime.now(timezone.utc)
        self.study_folder = folder.make(Path(options.out), f"{now:%Y%m%d-%H%M%S}-{options.name}")
        self.folder = run_folder(self.study_folder, 1, STRATEGY)
        self.folder.mkdir(parents=True)
        self._study = self._described()
        self._spec = RunSpec(strategy=STRATEGY, round=1, seed=0, batch_size=0, task=own_task(os.environ))
        with ExitStack() as stack:
            stack.enter_context(folder.locked(self.study_folder))
            save(self._study, self.study_folder / STUDY_FILE)
            save(self._spec, self.folder / SPEC_FILE)
            self._log = EventLog(self.folder)
            stack.callback(self._log.close)
            stack.enter_context(telemetry.sampling(self.folder / TELEMETRY_FILE, os.getpid()))
            self._follower = telemetry.Follower(self.folder / TELEMETRY_FILE, averaged="gpu0_utilization_percent")
            self._began_ns = self._looked_ns = self._last_ns = self._wall_ns = time.time_ns()
            self._enter("warmup", self._began_ns)
            if self._backend.no_trace:
                self._log.write("trace", trace=TraceInfo(path=None, missing=self._backend.no_trace))
            self._stack = stack.pop_all()

    @property
    def calls(self) -> int:
        """How many calls have ended."""
        return self._moments.calls

    @property
    def last_ns(self) -> int:
        """When the last call ended (Unix ns)."""
        return self._last_ns

    def training_began(self) -> None:
        """Note that the recorded training began: its whole-run breakdown starts here."""
        self._began = self._began or phases().began

    def ask_for_trace(self) -> None:
        """Trace the next calls."""
        if not self._backend.no_trace:
            self._moments.trace_calls = self._moments.trace_calls or self._options.trace_steps + EXTRA_CALLS
            self._moments.ask_for_trace()

    def marker(self) -> AbstractContextManager[Any]:
        """Return the profiler's step marker for the next call; it has to enclose the whole call, input included."""
        return self._backend.marker(self._moments.calls)

    def call_returned(self, answer: Any) -> None:
        """While tracing, wait for the result of a call before its marker ends."""
        if self._moments.phase == "trace":
            self._backend.finish(answer)

    def call_ended(self, began_ns: int) -> None:
        """Record a call that began at `began_ns` (Unix ns) and ended now."""
        self._last_ns = now_ns = time.time_ns()
        self._epoch_calls += 1
        self._journal.call(began_ns, now_ns)
        self._carry_out(self._moments.after_call(now_ns), now_ns)
        # What the first call compiles, and what the profiler does at its start and end, is no training.
        self._core_use.begin()
        if now_ns - self._looked_ns >= LOOK_EVERY_NS:
            self._look(now_ns)

    def epoch_began(self, *, last: bool = False) -> None:
        """Begin an epoch, the `last` one if that is known."""
        self._began_ns = time.time_ns()
        self._epoch_calls = 0
        self._moments.epoch_began(self._began_ns, last=last)
        self._follower.reset()

    def epoch_ended(self) -> None:
        """End an epoch: close its timed window, and set `figures` to those of all its steps."""
        # The epoch's steps end with the last call: validation has run since.
        self._look(self._last_ns)
        self._carry_out(self._moments.epoch_ended(self._last_ns), self._last_ns)

    def expect(self, epoch_calls: int, epochs: int) -> None:
        """Set how many calls an epoch will have (0: unknown), and how many epochs."""
        self._moments.expect(epoch_calls, epochs)

    def go_on(self) -> None:
        """Continue with another short training as part of this one."""
        self._moments.go_on()

    def was_given(self, given: Given) -> None:
        """Save the arguments of the training."""
        self._log.write("given", given=given)

    def describe(self, settings: Settings | None, steps_per_epoch: int) -> None:
        """Save what is known after the first call: the settings, and the number of steps in an epoch (0: unknown)."""
        batch = settings.batch_size if settings else self.samples_per_call
        self._study = msgspec.structs.replace(self._study, batch_size=batch)
        self._epoch_is(steps_per_epoch * batch, counted=False)
        self._spec = msgspec.structs.replace(self._spec, batch_size=batch)
        save(self._spec, self.folder / SPEC_FILE)
        if settings is not None:
            self._log.write("settings", settings=settings)
        self._log.write("loops", loops=self._backend.loops())

    def epoch_has(self, samples: int) -> None:
        """Save how many samples an epoch has, counted over a whole one."""
        if 0 <= self._study.epoch_samples - samples < self._study.batch_size:
            self._epoch_is(samples, counted=True)

    def _epoch_is(self, samples: int, *, counted: bool) -> None:
        known = {"train_samples": samples, "epoch_samples": samples, "counted": counted}
        self._study = msgspec.structs.replace(self._study, **known)
        save(self._study, self.study_folder / STUDY_FILE)

    def samples_counted(self, model: Any, answer: Any) -> int:
        """Return how many samples a Keras model's first call trained on, 0 where the backend does not count them."""
        return self._backend.samples_counted(model, answer)

    def settings(self, model: Any, batch_size: int, feed_dtype: str) -> Settings:
        """Return the effective settings of a Keras model."""
        return self._backend.settings(model, batch_size, feed_dtype)

    @property
    def no_gpu(self) -> str:
        """Why no GPU can be used, empty where one can."""
        return self._study.environment.no_gpu or ""

    def end(self, state: State = "done", message: str = "") -> Run:
        """Stop tracing and sampling, and save the record of the run."""
        self._core_use.end()
        with self._stack:
            if self._moments.phase == "trace":
                self._stop_trace()
            elif self._moments.awaits_trace:
                self._log.write(
                    "trace", trace=TraceInfo(path=None, missing=TOO_SHORT.format(wording.count(self.calls, "call")))
                )
            self._journal.close()
            self._journal.write(self._log)
            self._log.write("outside", fraction=self._journal.outside_fraction())
            if (core_use := self._core_use.told) is not None:
                self._log.write("core_use", core_use=core_use)
            self._write_wall(complete=state == "done")
            self._log.write("done" if state == "done" else "error", state=state, message=message)
        run = fold(self.folder, self._spec, Outcome(state=state, message=message))
        save(run, self.folder / RUN_FILE)
        return run

    def _carry_out(self, action: Action, now_ns: int) -> None:
        if action is Action.GO_ON:
            return
        if action is Action.STOP_TRACE:
            self._stop_trace()
        self._enter(self._moments.phase, time.time_ns() if action is Action.STOP_TRACE else now_ns)
        if action is Action.START_TRACE:
            self._start_trace()

    def _enter(self, phase: PhaseName, now_ns: int) -> None:
        if self._journal.enter(phase, now_ns) and phase in {"rest", "trace"}:
            self._journal.write(self._log)

    def _look(self, now_ns: int) -> None:
        self._looked_ns = now_ns
        if now_ns - self._wall_ns >= WALL_EVERY_NS:
            self._write_wall(complete=False)
        phases().save(complete=False)
        self._follower.look(now_ns)
        seconds = (now_ns - self._began_ns) / NS_PER_S
        per_s = self._epoch_calls / seconds if seconds > 0 else 0.0
        rate = {"samples_per_s": per_s * self.samples_per_call} if self.samples_per_call else {"calls_per_s": per_s}
        busy = self._follower.mean()
        self.figures = {**rate, **({} if busy is None else {"gpu_utilization": busy / 100})}

    def _write_wall(self, *, complete: bool) -> None:
        self._wall_ns = self._last_ns
        if self._began is not None and phases().ours:
            self._log.write("wall", wall=phases().training(self._began, complete=complete))

    def _start_trace(self) -> None:
        self._core_use.end()
        try:
            with phases().doing("gpuprobe"):
                self._backend.start_trace(self.folder / TRACE_FOLDER, self._give_way)
        except Exception as error:  # noqa: BLE001 - each backend's profiler has errors of its own
            self._without_trace(f"the profiler did not start: {error}")

    def _give_way(self) -> None:
        """Stop tracing, since the training is starting the profiler itself."""
        with suppress(Exception):
            self._backend.stop_trace()
        with suppress(Exception):
            self._without_trace("the training started the profiler itself")

    def _without_trace(self, reason: str) -> None:
        now_ns = time.time_ns()
        self._moments.give_trace_up(now_ns)
        self._enter(self._moments.phase, now_ns)
        shutil.rmtree(self.folder / TRACE_FOLDER, ignore_errors=True)
        self._log.write("trace", trace=TraceInfo(path=None, missing=reason))

    def _stop_trace(self) -> None:
        self._core_use.end()
        try:
            with phases().doing("gpuprobe"):
                self._backend.stop_trace()
        except Exception as error:  # noqa: BLE001 - each backend's profiler has errors of its own
            self._log.write("trace", trace=TraceInfo(path=None, missing=f"the profiler saved nothing: {error}"))
            return
        calls = self._journal.write_calls(self._log)
        info = TraceInfo(path=TRACE_FOLDER, steps=calls, slowdown=self._journal.slowdown())
        self._log.write("trace", trace=info)

    def _described(self) -> Study:
        return Study(
            name=self.study_folder.name,
            created_ns=time.time_ns(),
            command=shlex.join(sys.orig_argv),
            environment=environment(),
            workload=self._options.name,
            data_name="the training's own data",
            data_source="The training's own data, as its author feeds it.",
            batch_size=0,
            train_samples=0,
            epoch_samples=0,
            strategies=(StrategyInfo(name=STRATEGY, sentence="The training as its author wrote it."),),
            # No rounds: a watched training cannot be repeated by `gpuprobe run`.
            request=Request(rounds=0, budget_s=0.0, batch_size=0, seed=0),
        )
