"""The rate of one block: what runs that took turns are compared by."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from gpuprobe.records import Phase


def log_rate(phase: Phase, batch_size: int) -> float | None:
    """Return the logarithm of the samples per second of one block, None where it has too few steps."""
    if phase.steps < fixed.STEPS_OF_A_TURN or phase.steps_per_s is None:
        return None
    return math.log(phase.steps_per_s * batch_size)
