"""What is known of a training beside its trace."""

from __future__ import annotations

from gpuprobe.records import Record


class Known(Record, frozen=True, kw_only=True):
    """What a trace does not tell; None where nobody does.

    `untraced_step_ms` is the step without the profiler, `steps_per_call` how many steps one marker holds, `cores` those
    of the processor, `feed_dtype` of what is fed.
    """

    untraced_step_ms: float | None = None
    steps_per_call: int = 1
    cores: int | None = None
    feed_dtype: str | None = None
