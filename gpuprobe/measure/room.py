"""Estimates from earlier runs whether memory holds several runs at once, so that they can take turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

from gpuprobe import wording
from gpuprobe.units import MIB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.measure.run_in_progress import RunInProgress
    from gpuprobe.records import Environment

# GPU memory of a process beside its allocator, for the CUDA context and libraries; an assumption.
CONTEXT_MIB = 500.0
# The share of a card's memory for one run: a paused run keeps its memory, so both have to fit.
PAUSED_SHARE = 0.5
# The usable share of the host's free memory: other programs need some.
USABLE_FRACTION = 0.9


class Room:
    """Learns the memory that runs need; `turns` is whether runs take turns, `reason` why they do not."""

    def __init__(self, environment: Environment, *, turns: bool) -> None:
        self.turns, self.reason = turns, ""
        self._card_mib = next((gpu.memory_mib for gpu in environment.gpus), None)
        self._host_mib, self._held_mib = 0.0, 0.0

    def learn(self, progress: RunInProgress) -> None:
        """Learn the peak memory of a run; where two such runs do not fit, runs no longer take turns."""
        self._host_mib = max(self._host_mib, progress.host_peak_mib or 0.0)
        if not progress.device_peak_mib:
            return
        held_mib = self._held_mib = max(self._held_mib, progress.device_peak_mib + CONTEXT_MIB)
        if self.turns and self._card_mib and held_mib > PAUSED_SHARE * self._card_mib:
            self._refuse(f"two runs of {wording.mebibytes(held_mib)} each do not fit into the GPU's memory")

    def size(self, lanes: int, gpu_free_mib: float | None = None) -> int:
        """Return how many runs may warm up at once, at most `lanes`, by the host's free memory.

        `gpu_free_mib` is the free memory of the GPU now, beside a paused run and other programs; None if not read.
        """
        if self.turns and gpu_free_mib is not None and self._held_mib > gpu_free_mib:
            self._refuse(
                f"another run of {wording.mebibytes(self._held_mib)} does not fit into the "
                f"{wording.mebibytes(gpu_free_mib)} of the GPU's memory that are free"
            )
        free_mib = USABLE_FRACTION * psutil.virtual_memory().available / MIB
        fitting = int(free_mib / self._host_mib) if self._host_mib else lanes
        if fitting < 1 and self.turns:
            self._refuse(f"another run of {wording.mebibytes(self._host_mib)} does not fit into the host's memory")
        return max(1, min(lanes, fitting))

    def notes(self, alone: Sequence[str]) -> tuple[str, ...]:
        """Return notes on the runs that could not take turns for lack of memory, those in `alone` included."""
        reasons = [f"The runs did not take turns, since {self.reason}"] if self.reason else []
        if alone:
            names = wording.listing([f"`{name}`" for name in alone])
            reasons.append(f"Memory did not hold {names} beside another run, with which to take turns")
        return tuple(f"{reason}: the ratios include what the machine did meanwhile." for reason in reasons)

    def _refuse(self, reason: str) -> None:
        self.turns, self.reason = False, reason
