"""The live runs of a study: starts their processes, lets one at a time train, and ends and saves them."""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Protocol

from gpuprobe import telemetry
from gpuprobe.errors import GpuprobeError, OutputError
from gpuprobe.measure.active_run import ActiveRun
from gpuprobe.measure.folder import FolderGuard
from gpuprobe.recording import RUN_FILE, TELEMETRY_FILE, TRACE_FOLDER, run_folder
from gpuprobe.records import save

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gpuprobe.measure.process import Launcher
    from gpuprobe.measure.run_in_progress import RunInProgress
    from gpuprobe.records import Run, RunSpec, Study

POLL_EVERY_S = 0.1


class Observer(Protocol):
    """Gets the events of a study, for the live view."""

    def run_started(self, spec: RunSpec, index: int, total: int) -> None:
        """The run with this spec begins; it is number `index` (from 0) of `total`."""

    def run_progress(self, progress: RunInProgress) -> None:
        """Called now and then, and when events of a run come in."""

    def run_finished(self, run: Run) -> None:
        """The run has been measured, or failed; its record is saved."""


class LiveRuns:
    """The runs that are alive, in the order of their starts."""

    def __init__(self, study: Study, folder: Path, launcher: Launcher, observer: Observer) -> None:
        self._study, self._folder, self._launcher, self._observer = study, folder, launcher, observer
        self._folder_guard = FolderGuard(folder)
        self._live_runs: list[ActiveRun] = []
        self._samplers: dict[ActiveRun, ExitStack] = {}

    def start(self, spec: RunSpec) -> ActiveRun:
        """Start the process of a run, and its sampler. Raises OutputError where its folder cannot be made."""
        folder = run_folder(self._folder, spec.round, spec.strategy, spec.step)
        self._folder_guard.check()
        _make_empty(folder)
        worker = self._launcher.start(folder, spec)
        run = ActiveRun(spec, folder, worker, self._study.request.limit_s)
        self._live_runs.append(run)
        self._samplers[run] = ExitStack()
        self._samplers[run].enter_context(telemetry.sampling(folder / TELEMETRY_FILE, worker.pid))
        return run

    def wait_until_warm(self, runs: Sequence[ActiveRun]) -> None:
        """Wait until each run has warmed up and waits at its gate, or has ended."""
        while any(run.outcome is None and not run.waits_at_gate for run in runs):
            for run in runs:
                run.poll()
            self._observer.run_progress(runs[0].progress)
            time.sleep(POLL_EVERY_S)

    def measure(self, run: ActiveRun) -> None:
        """Let the run time its window and take its trace; afterwards its telemetry is no longer sampled."""
        if run.outcome is None:
            run.go()
            self._wait_until_at_gate(run)
        self._samplers.pop(run).close()
        _write_scalars(run.folder)

    def turn(self, run: ActiveRun, lap: int, turn_s: float) -> None:
        """Let the run take one turn."""
        run.go(lap=lap, turn_s=turn_s)
        self._wait_until_at_gate(run)

    def end(self, run: ActiveRun) -> None:
        """Let the run end, and save it."""
        if run.outcome is None:
            run.go(last=True)
        while run.outcome is None:
            run.poll()
            time.sleep(POLL_EVERY_S)
        self.save(run)
        self._live_runs.remove(run)

    def save(self, run: ActiveRun) -> Run:
        """Write the run's record as it is now, so that reports can use it."""
        record = run.record()
        save(record, run.folder / RUN_FILE)
        return record

    def stop(self) -> None:
        """Kill all runs, and save what they measured."""
        for run in self._live_runs:
            if run.outcome is None:
                run.kill()
            # The study may have stopped because the folder is gone.
            with suppress(OutputError):
                self.save(run)
        for sampler in self._samplers.values():
            sampler.close()

    def _wait_until_at_gate(self, run: ActiveRun) -> None:
        while True:
            run.poll()
            self._observer.run_progress(run.progress)
            if run.outcome is not None or run.waits_at_gate:
                return
            run.wait_for_event(POLL_EVERY_S)


def _write_scalars(folder: Path) -> None:
    """Copy the telemetry into TensorBoard scalars beside the trace; a failure is ignored."""
    if (folder / TRACE_FOLDER).is_dir():
        # TensorBoard, whose writer this uses, may not be installed.
        with suppress(GpuprobeError, ModuleNotFoundError):
            telemetry.write_scalars(telemetry.read(folder / TELEMETRY_FILE), folder / TRACE_FOLDER)


def _make_empty(folder: Path) -> None:
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error
