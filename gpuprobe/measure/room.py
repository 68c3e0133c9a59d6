"""Whether memory holds several runs at once, estimated from those that were seen, so that they may take turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

from gpuprobe import wording
from gpuprobe.units import MIB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.measure.events import RunInProgress
    from gpuprobe.records import Environment

# Beside what its allocator holds, a process on a GPU has its context and its libraries there; an assumption.
CONTEXT_MIB = 500.0
# Of a card's memory: one that pauses must leave the other as much.
PAUSED_SHARE = 0.5
# Of the host's memory that is free now: others on the machine need some.
USABLE_FRACTION = 0.9


class Room:
    """Learns from each run what it needs; `turns` says whether runs take turns, `reason` why they do not."""

    def __init__(self, environment: Environment, *, turns: bool) -> None:
        self.turns, self.reason = turns, ""
        self._card_mib = next((gpu.memory_mib for gpu in environment.gpus), None)
        self._host_mib, self._held_mib = 0.0, 0.0

    def learn(self, progress: RunInProgress) -> None:
        """Take note of what a run needed at most; where two of it do not fit, runs follow each other from now on."""
        self._host_mib = max(self._host_mib, progress.host_peak_mib or 0.0)
        if not progress.device_peak_mib:
            return
        held_mib = self._held_mib = max(self._held_mib, progress.device_peak_mib + CONTEXT_MIB)
        if self.turns and self._card_mib and held_mib > PAUSED_SHARE * self._card_mib:
            self._refuse(f"two runs of {wording.mebibytes(held_mib)} each do not fit into the GPU's memory")

    def size(self, lanes: int, gpu_free_mib: float | None = None) -> int:
        """Return how many runs may warm up at once, at most `lanes`, in the host's memory that is free now.

        `gpu_free_mib` is that of the GPU, beside the run that pauses there and what others hold; None: not read.
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
        """Say which runs followed each other for want of memory, those of `alone` among them, and what that costs."""
        said = [f"Runs followed each other, since {self.reason}"] if self.reason else []
        if alone:
            said.append(f"Memory did not hold {wording.listing([f'`{name}`' for name in alone])} beside another run")
        return tuple(f"{words}: what the machine did meanwhile is a part of the ratios." for words in said)

    def _refuse(self, reason: str) -> None:
        self.turns, self.reason = False, reason
