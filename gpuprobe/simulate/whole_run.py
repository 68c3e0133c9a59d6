"""The time of a simulated run outside its steps: before the first call, between epochs, and at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.records import WallPart
from gpuprobe.simulate.spec import WholeRun
from gpuprobe.units import NS_PER_MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.records import PartKind
    from gpuprobe.simulate.spec import Spec

# A pause: its begin, in seconds since the recording's start, and its length in seconds.
Pause = tuple[float, float]


def startup_s(spec: Spec) -> float:
    """Return the seconds before the warm-up."""
    return spec.run.startup_s + spec.run.first_call_s


def beside_ms(spec: Spec, calls: int) -> NDArray[np.float64]:
    """Return by how many ms each call of the window (calls,) is delayed by an end of an epoch just before it."""
    late_ms = np.zeros(calls)
    per_epoch = max(1, spec.run.steps_per_epoch // spec.host.steps_per_execution)
    late_ms[per_epoch::per_epoch] = spec.run.beside_ms
    return late_ms


def pauses(begin_s: float, call_ms: NDArray[np.float64], late_ms: NDArray[np.float64]) -> list[Pause]:
    """Return the pauses of a window that begins at `begin_s`; the lengths `call_ms` of its calls include them."""
    begins_s = begin_s + (np.cumsum(call_ms) - call_ms) / 1000
    where = np.flatnonzero(late_ms)
    return list(zip(begins_s[where].tolist(), (late_ms[where] / 1000).tolist(), strict=True))


def wall_parts(spec: Spec, step_ms: float) -> tuple[WallPart, ...]:
    """Return the whole-run breakdown as the Probe records it; empty for a run of steps only.

    The first call of each epoch waits for its first batch; that of the first epoch also traces and compiles.
    """
    run, several = spec.run, spec.host.steps_per_execution
    if run == WholeRun():
        return ()
    calls, call_ms = max(1, run.steps_per_epoch // several), step_ms * several
    first_ms = call_ms + run.epoch_start_ms
    run_parts: list[tuple[PartKind, str, float, int]] = [
        ("build", "", 1000 * run.startup_s, 1),
        ("fit", "", 0.0, 1),
        ("first_call", "", 1000 * run.first_call_s + first_ms, 1),
        ("epoch_start", "", 0.0, run.epochs),
        ("epoch_first_call", "", (run.epochs - 1) * first_ms, run.epochs - 1),
        ("steps", "", run.epochs * (calls - 1) * call_ms, run.epochs * (calls - 1)),
        ("validation", "", run.epochs * run.validation_ms, run.epochs),
        ("checkpoint", "ModelCheckpoint", run.epochs * run.checkpoint_ms, run.epochs),
        ("tail", "", 1000 * run.tail_s, 1),
    ]
    return tuple(
        WallPart(kind=kind, name=name, total_ns=round(ms * NS_PER_MS), times=times)
        for kind, name, ms, times in run_parts
        if ms or kind in {"fit", "epoch_start"}
    )
