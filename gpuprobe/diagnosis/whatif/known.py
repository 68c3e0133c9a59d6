"""What is known of a training beside its trace."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from gpuprobe.records import Record

if TYPE_CHECKING:
    from gpuprobe.records import Run

NS_PER_MS = 1e6


class Known(Record, frozen=True, kw_only=True):
    """What a trace does not tell; None where nobody does.

    `untraced_step_ms` is the step without the profiler, `steps_per_call` how many steps one marker of the trace holds,
    `cores` those of the processor, `busy_cores` how many of them the process used on average in those steps,
    `feed_dtype` of what is fed, `jit_compile` whether XLA is on, `framework` whose trace it is.
    """

    untraced_step_ms: float | None = None
    steps_per_call: int = 1
    cores: int | None = None
    busy_cores: float | None = None
    feed_dtype: str | None = None
    jit_compile: bool | None = None
    framework: str = ""


def known_of(run: Run, cores: int | None = None, busy_cores: float | None = None) -> Known:
    """Return what a run that was measured tells: the mean step of its timed window, and its effective settings."""
    window, settings = run.phase("window"), run.settings
    untraced = None
    if window is not None and len(window.call_ends_ns) > 1:
        calls = [later - earlier for earlier, later in pairwise(window.call_ends_ns)]
        untraced = sum(calls) / len(calls) / window.steps_per_call / NS_PER_MS
    return Known(
        untraced_step_ms=untraced,
        steps_per_call=settings.steps_per_execution if settings else 1,
        cores=cores,
        busy_cores=busy_cores,
        feed_dtype=settings.feed_dtype if settings else None,
        jit_compile=settings.jit_compile if settings else None,
    )
