"""What surrounds the steps in a recording: the time before the first call, and the pauses between the epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.simulate.spec import Spec

# A stretch in which no step is made: when it begins, in seconds since the recording's start, and how long it lasts.
Pause = tuple[float, float]


def startup_s(spec: Spec) -> float:
    """Return the seconds until the warm-up begins."""
    return spec.run.startup_s + spec.run.first_call_s


def beside_ms(spec: Spec, calls: int) -> NDArray[np.float64]:
    """Return (calls,) by how much each call of the window comes later, since an epoch ended before it."""
    late_ms = np.zeros(calls)
    per_epoch = max(1, spec.run.steps_per_epoch // spec.host.steps_per_execution)
    late_ms[per_epoch::per_epoch] = spec.run.beside_ms
    return late_ms


def pauses(begin_s: float, call_ms: NDArray[np.float64], late_ms: NDArray[np.float64]) -> list[Pause]:
    """Return the pauses of a window that begins at `begin_s`; `call_ms` are its calls, the pauses among them."""
    begins_s = begin_s + (np.cumsum(call_ms) - call_ms) / 1000
    where = np.flatnonzero(late_ms)
    return list(zip(begins_s[where].tolist(), (late_ms[where] / 1000).tolist(), strict=True))
