"""Estimates by earlier runs whether several fit into memory at once, so that they can take turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

from gpuprobe import wording
from gpuprobe.units import MIB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.measure.run_in_progress import RunInProgress
    from gpuprobe.records import Environment, Run

# GPU memory of a process beside its allocator, for the CUDA context and libraries; an assumption.
CONTEXT_MIB = 500.0
# The share of a card's memory for one run: a paused run keeps its memory, so both have to fit.
PAUSED_SHARE = 0.5
# The usable share of the host's free memory: other programs need some.
USABLE_FRACTION = 0.9


class MemoryFit:
    """Learns how much memory runs need; `allows_turns` is whether runs take turns, `reason` why they do not."""

    def __init__(self, environment: Environment, *, turns: bool) -> None:
        self.allows_turns, self.reason = turns, ""
        self._gpu_memory_mib = next((gpu.memory_mib for gpu in environment.gpus), None)
        self._host_run_mib, self._gpu_run_mib = 0.0, 0.0

    def learn(self, run: RunInProgress | Run) -> None:
        """Learn the peak memory of a run; where two such runs do not fit, runs no longer take turns."""
        self._host_run_mib = max(self._host_run_mib, run.host_peak_mib or 0.0)
        if not run.device_peak_mib:
            return
        gpu_run_mib = self._gpu_run_mib = max(self._gpu_run_mib, run.device_peak_mib + CONTEXT_MIB)
        if self.allows_turns and self._gpu_memory_mib and gpu_run_mib > PAUSED_SHARE * self._gpu_memory_mib:
            self._refuse(f"two runs of {wording.mebibytes(gpu_run_mib)} each do not fit into the GPU's memory")

    def runs_at_once(self, most_runs: int, gpu_free_mib: float | None = None) -> int:
        """Return how many runs may warm up at once, at most `most_runs`, by the host's free memory.

        `gpu_free_mib` is the free memory of the GPU now, beside a paused run and other programs; None if not read.
        """
        if self.allows_turns and gpu_free_mib is not None and self._gpu_run_mib > gpu_free_mib:
            self._refuse(
                f"another run of {wording.mebibytes(self._gpu_run_mib)} does not fit into the "
                f"{wording.mebibytes(gpu_free_mib)} of the GPU's memory that are free"
            )
        free_mib = USABLE_FRACTION * psutil.virtual_memory().available / MIB
        fitting_runs = int(free_mib / self._host_run_mib) if self._host_run_mib else most_runs
        if fitting_runs < 1 and self.allows_turns:
            self._refuse(f"another run of {wording.mebibytes(self._host_run_mib)} does not fit into the host's memory")
        return max(1, min(most_runs, fitting_runs))

    def notes(self, runs_alone: Sequence[str]) -> tuple[str, ...]:
        """Return notes on the runs that could not take turns for lack of memory, those in `runs_alone` included."""
        reasons = [f"Not all runs took turns, since {self.reason}"] if self.reason else []
        if runs_alone:
            names = wording.listing([f"`{name}`" for name in runs_alone])
            reasons.append(f"Memory did not hold {names} beside another run, so they took no turns")
        return tuple(
            f"{reason}: changes of the machine between the runs are part of their ratios." for reason in reasons
        )

    def _refuse(self, reason: str) -> None:
        self.allows_turns, self.reason = False, reason
