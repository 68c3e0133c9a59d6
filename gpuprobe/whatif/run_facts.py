"""Facts about a training from outside its trace."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.blocks import BLOCKS, block_means, half_width
from gpuprobe.records import Record
from gpuprobe.units import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.records import Environment, Evidence, Run


class Known(Record, frozen=True, kw_only=True):
    """Facts that a trace does not show; None where unknown.

    `name` names the training where several are compared. `untraced_step_ms` is the mean step without the profiler,
    `usual_step_ms` the median, and `repeats_within` the fraction by which the mean differs when it is measured
    again. One marker of the trace holds `steps_per_call` steps. `cores` is the number of cores of the processor; of
    these the process used `busy_cores` on average in the untraced steps, and other programs `other_cores`.
    `feed_dtype` is the type of the fed data, `jit_compile` whether XLA is on, `framework` the framework of the
    trace.
    """

    name: str = ""
    untraced_step_ms: float | None = None
    usual_step_ms: float | None = None
    repeats_within: float = 0.0
    steps_per_call: int = 1
    cores: int | None = None
    busy_cores: float | None = None
    other_cores: float | None = None
    feed_dtype: str | None = None
    jit_compile: bool | None = None
    framework: str = ""


def known_of(
    run: Run, cores: int | None = None, busy_cores: float | None = None, other_cores: float | None = None
) -> Known:
    """Return the facts of a measured run: the mean step of its timed window, and its effective settings."""
    window, settings = run.phase("window"), run.settings
    untraced, usual, repeats_within = None, None, 0.0
    if window is not None and len(window.call_ends_ns) > 1:
        calls = np.diff(window.call_ends_ns) / window.steps_per_call / NS_PER_MS
        untraced, usual, repeats_within = float(calls.mean()), float(np.median(calls)), repeats(calls)
    return Known(
        name=run.spec.strategy,
        untraced_step_ms=untraced,
        usual_step_ms=usual,
        repeats_within=repeats_within,
        steps_per_call=settings.steps_per_execution if settings else 1,
        cores=cores,
        busy_cores=busy_cores,
        other_cores=other_cores,
        feed_dtype=settings.feed_dtype if settings else None,
        jit_compile=settings.jit_compile if settings else None,
    )


def known_beside(run: Run, environment: Environment | None, readings: Evidence | None) -> Known:
    """Return the facts of a run, its machine, and its telemetry of the processor."""
    busy, others = (readings.number(name) if readings else None for name in ("cpu_cores", "other_cpu_cores"))
    return known_of(run, environment.cores if environment else None, busy, others)


def repeats(times: Sequence[float] | np.ndarray) -> float:
    """Return by which fraction the mean of (n,) successive times may differ if they are measured again, at 95 %.

    0 where there are too few to say.
    """
    if len(times) < BLOCKS:
        return 0.0
    means = block_means([float(time) for time in times])
    mean = sum(means) / len(means)
    # Times the square root of 2, since both means have this error.
    return half_width(means) * math.sqrt(2) / mean if mean > 0 else 0.0
