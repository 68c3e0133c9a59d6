"""Detects what disturbed the GPU during a run's turn: heat, reduced clocks, other programs.

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
# As for processors: a clock that is less than 15 % lower costs a few percent at most. A turn is compared with the
# fastest one of the same run, since other runs draw other power.
CLOCK_DOWN = 0.15
# Our choice, as for processors: a tenth of the card.
OTHERS_PERCENT = 10.0
# Our choice: the memory of a desktop's windows varies by less.
OTHERS_MIB = 256.0


class GpuDisturbance:
    """Reads the telemetry of the GPU with this number as it is written, turn by turn."""

    def __init__(self, path: Path, gpu: int) -> None:
        self._prefix = f"gpu{gpu}_"
        self._telemetry = telemetry.Follower(
            path, averaged=f"{self._prefix}sm_clock_mhz", flags=f"{self._prefix}throttle_reasons"
        )
        self._fastest_mhz: dict[int, float] = {}
        self._least_others_mib: float | None = None

    def begin(self) -> None:
        """Begin a turn."""
        self._telemetry.reset()

    def disturbance(self, pid: int) -> str:
        """Return what disturbed the last turn, in which the process `pid` trained; empty where nothing did."""
        self._telemetry.look()
        return "; ".join(words for words in (self._heat_words(), self._clock_words(pid), self._others_words()) if words)

    @property
    def free_mib(self) -> float | None:
        """The free memory of the GPU now, None where it was not read."""
        self._telemetry.look()
        return self._value("memory_free_mib")

    def _value(self, name: str) -> float | None:
        return self._telemetry.recent.get(self._prefix + name)

    def _heat_words(self) -> str:
        # A turn that is too short for a reading of its own is judged by the last reading before it.
        reasons = (self._telemetry.flags() | int(self._value("throttle_reasons") or 0)) & HEAT
        return "heat or the board lowered the GPU's clock" if reasons else ""

    def _clock_words(self, pid: int) -> str:
        clock_mhz = self._telemetry.mean()
        if clock_mhz is None:
            return ""
        fastest_mhz = self._fastest_mhz[pid] = max(clock_mhz, self._fastest_mhz.get(pid, 0.0))
        fell = clock_mhz <= (1 - CLOCK_DOWN) * fastest_mhz
        return f"the GPU's clock had fallen to {wording.significant(clock_mhz)} MHz" if fell else ""

    def _others_words(self) -> str:
        others_share, others_mib = self._value("other_sm_percent"), self._value("other_memory_mib")
        if others_share is not None and others_share >= OTHERS_PERCENT:
            return f"other programs took {wording.share(others_share / 100)} of the GPU"
        if others_mib is None:
            return ""
        self._least_others_mib = (
            others_mib if self._least_others_mib is None else min(others_mib, self._least_others_mib)
        )
        grown_mib = others_mib - self._least_others_mib
        return (
            f"another program took {wording.mebibytes(grown_mib)} of the GPU's memory"
            if grown_mib >= OTHERS_MIB
            else ""
        )


@contextmanager
def watching_gpu(gpu: int | None) -> Iterator[GpuDisturbance | None]:
    """Sample the GPU with this number during the `with` block; yields None where there is no GPU (None)."""
    if gpu is None:
        yield None
        return
    with scratch() as folder, telemetry.sampling(folder / "turns.csv", os.getpid()):
        yield GpuDisturbance(folder / "turns.csv", gpu)
