"""Detects what disturbed the GPU in a run's block (its turn): heat, reduced clocks, other programs.

The sampler is a process of its own, so that a driver that hangs does not hang the study.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpuprobe import telemetry, wording
from gpuprobe.scratch import scratch
from gpuprobe.telemetry.signals import THROTTLE_REASONS, THROTTLED_MASK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The power limit is not counted: it reduces the clocks of most busy cards all the time, and the clock shows its effect.
HEAT = THROTTLED_MASK - THROTTLE_REASONS["power_cap"]
# As for processors: a clock that is less than 15 % lower costs a few percent at most. A block is compared with the
# fastest one of the same run, since other runs draw other power.
CLOCK_DOWN = 0.15
# Our choice, as for processors: a tenth of the card.
OTHERS_PERCENT = 10.0
# Our choice: the memory of a desktop's windows varies by less.
OTHERS_MIB = 256.0


class BesideGpu:
    """Follows a recording of the GPU with this number, block by block."""

    def __init__(self, path: Path, gpu: int) -> None:
        self._prefix = f"gpu{gpu}_"
        self._readings = telemetry.Follower(
            path, averaged=f"{self._prefix}sm_clock_mhz", flags=f"{self._prefix}throttle_reasons"
        )
        self._fastest_mhz: dict[int, float] = {}
        self._least_mib: float | None = None

    def begin(self) -> None:
        """Begin a block."""
        self._readings.reset()

    def disturbance(self, pid: int) -> str:
        """Return what disturbed the last block, in which the process `pid` trained; empty where nothing did."""
        self._readings.look()
        return "; ".join(words for words in (self._heat(), self._clock(pid), self._others()) if words)

    @property
    def free_mib(self) -> float | None:
        """The free memory of the GPU now, None where it was not read."""
        self._readings.look()
        return self._value("memory_free_mib")

    def _value(self, name: str) -> float | None:
        return self._readings.recent.get(self._prefix + name)

    def _heat(self) -> str:
        # A block that is too short for a reading of its own is judged by the last reading before it.
        reasons = (self._readings.flags() | int(self._value("throttle_reasons") or 0)) & HEAT
        return "heat or the board held the GPU's clock down" if reasons else ""

    def _clock(self, pid: int) -> str:
        clock_mhz = self._readings.mean()
        if clock_mhz is None:
            return ""
        fastest_mhz = self._fastest_mhz[pid] = max(clock_mhz, self._fastest_mhz.get(pid, 0.0))
        fell = clock_mhz <= (1 - CLOCK_DOWN) * fastest_mhz
        return f"the GPU's clock had fallen to {wording.significant(clock_mhz)} MHz" if fell else ""

    def _others(self) -> str:
        share, held_mib = self._value("other_sm_percent"), self._value("other_memory_mib")
        if share is not None and share >= OTHERS_PERCENT:
            return f"other programs took {wording.share(share / 100)} of the GPU"
        if held_mib is None:
            return ""
        self._least_mib = held_mib if self._least_mib is None else min(held_mib, self._least_mib)
        more_mib = held_mib - self._least_mib
        return (
            f"another program took {wording.mebibytes(more_mib)} of the GPU's memory" if more_mib >= OTHERS_MIB else ""
        )


@contextmanager
def watching(gpu: int | None) -> Iterator[BesideGpu | None]:
    """Sample the GPU of that number during the block; yields None without a GPU."""
    if gpu is None:
        yield None
        return
    with scratch() as folder, telemetry.sampling(folder / "turns.csv", os.getpid()):
        yield BesideGpu(folder / "turns.csv", gpu)
