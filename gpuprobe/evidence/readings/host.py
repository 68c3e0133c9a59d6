"""What the processors did in a stretch: the cores used by the command, by its busiest thread, and by others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from gpuprobe.evidence.readings.figures import HOST, THREADS, level_of, mean_of, missing, percentile_of, share_of
from gpuprobe.records import Signal
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.evidence.readings.stretch import Stretch
    from gpuprobe.records import Watch


def host_signals(stretch: Stretch, watch: Watch) -> tuple[Signal, ...]:
    """Return the host's signals over a stretch: the steady phase of a GPU, or all of the recording."""
    cores = stretch.rate("tree_cpu_s")
    limit = watch.cpu_limit
    share = cores / limit if limit else np.full(len(cores), np.nan)
    return (
        mean_of(stretch, cores, "cpu_cores", "cores"),
        Signal(name="cpu_limit", unit="cores", source=HOST, value=limit, missing=None if limit else "not recorded"),
        mean_of(stretch, share, "cpu_fraction", "1"),
        percentile_of(share, 95, "cpu_p95_fraction"),
        share_of((cores >= fixed.CORE_PINNED) & (cores <= fixed.ONE_CORE_AT_MOST), cores, "one_core_fraction", HOST),
        _pinned_core(stretch),
        _busiest_thread(stretch, watch),
        _not_below_zero(mean_of(stretch, _all_cores(stretch) - cores, "other_cpu_cores", "cores")),
        mean_of(stretch, _all_cores(stretch) / max(1, len(_core_columns(stretch))), "machine_fraction", "1"),
        share_of(stretch.rate("iowait_s") >= fixed.IOWAIT_CORES, stretch.rate("iowait_s"), "iowait_fraction", HOST),
        mean_of(stretch, stretch.rate("iowait_s"), "iowait_cores", "cores"),
        level_of(stretch, "tree_memory_mib", "host_memory_peak_mib", "MiB", 100, HOST),
        level_of(stretch, "memory_available_mib", "host_memory_left_mib", "MiB", 0, HOST),
    )


def _pinned_core(stretch: Stretch) -> Signal:
    """The share of the seconds in which one core was full while the others were less than half busy on average."""
    columns = _core_columns(stretch)
    if len(columns) < 2:
        return missing("pinned_core_fraction", "1", HOST, "the recording shows fewer than two cores")
    cores = np.vstack([stretch.rate(name) for name in columns])
    busiest = cores.max(axis=0, initial=0)
    others = (cores.sum(axis=0) - busiest) / (len(columns) - 1)
    return share_of((busiest >= fixed.CORE_PINNED) & (others < 0.5), busiest, "pinned_core_fraction", HOST)


def _core_columns(stretch: Stretch) -> list[str]:
    return [name for name in stretch.recording.columns if name.startswith("core") and name.endswith("_busy_s")]


def _all_cores(stretch: Stretch) -> NDArray[np.float64]:
    """The number of busy cores of the machine in each cell, (n,), whoever used them; NaN where not recorded."""
    total = np.zeros(len(stretch.widths_s))
    for name in _core_columns(stretch):
        total += stretch.rate(name)
    return total if _core_columns(stretch) else np.full(len(total), np.nan)


def _not_below_zero(signal: Signal) -> Signal:
    """Return the signal without negative values: the machine's and the process's counters tick at different times."""

    def clipped(value: float | None) -> float | None:
        return None if value is None else max(0.0, value)

    value = clipped(signal.value) if isinstance(signal.value, float) else signal.value
    return msgspec.structs.replace(signal, value=value, low=clipped(signal.low), high=clipped(signal.high))


def _busiest_thread(stretch: Stretch, watch: Watch) -> Signal:
    threads = watch.threads
    if not threads:
        return missing("busiest_thread_fraction", "1", THREADS, "no thread was seen twice")
    if stretch.widths_s.sum() < threads[0].seen_s * fixed.THREADS_COVERED:
        reason = "the threads were measured mostly outside the steady phase"
        return missing("busiest_thread_fraction", "1", THREADS, reason)
    first = threads[0]
    who = f"{THREADS}: {first.name or 'unnamed'}, thread {first.tid} of process {first.pid}"
    return Signal(name="busiest_thread_fraction", unit="1", source=who, value=first.cpu_s / first.seen_s)
