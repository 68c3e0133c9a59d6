"""Compares the traces of two runs: which kinds of time in a step grew from one to the other, and by how much."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from gpuprobe.ranking.scaling import GrownTime, Kind
from gpuprobe.thresholds import DEFAULTS, Thresholds, fixed

if TYPE_CHECKING:
    from gpuprobe.ledger.records import TraceBreakdown

# The categories of each kind. What is in none of them belongs to the rest, which nothing explains.
CATEGORIES: dict[Kind, tuple[str, ...]] = {
    "transfer": ("gpu_collective", "cpu_collective"),
    "peers": ("idle_peer",),
    "input": ("idle_input",),
    "computing": ("gpu_compute", "cpu_compute"),
    "host": ("idle_launch", "idle_host_work", "idle_between_steps", "cpu_dispatch"),
}
# The transfer and the wait for peers, where the traces do not tell one from the other.
EXCHANGE: tuple[Kind, Kind] = ("transfer", "peers")


def grown(
    before: tuple[TraceBreakdown | None, float],
    now: tuple[TraceBreakdown | None, float],
    limits: Thresholds = DEFAULTS,
) -> tuple[GrownTime, ...]:
    """Return by how many ms of a step each kind of time grew from the run `before` to the run `now`.

    A run is given as its trace and its timed step (ms). A kind's time is its share of the traced step, the mean over
    the devices, times the timed step: so the kinds and the rest add up to the difference of the timed steps. Empty
    where a trace is missing, or the traced steps are not like the timed ones.
    """
    (trace_before, before_ms), (trace_now, now_ms) = before, now
    if trace_before is None or trace_now is None:
        return ()
    if not (_comparable(trace_before, before_ms, limits) and _comparable(trace_now, now_ms, limits)):
        return ()
    if {device.kind for device in trace_before.devices} != {device.kind for device in trace_now.devices}:
        return ()
    return tuple(
        GrownTime(kind=kind, ms=ms)
        for kind, categories in _kinds(trace_before, trace_now).items()
        if abs(ms := _category_ms(trace_now, now_ms, categories) - _category_ms(trace_before, before_ms, categories))
        >= fixed.GROWN_MS
    )


def _comparable(trace: TraceBreakdown, timed_ms: float, limits: Thresholds) -> bool:
    """Whether the traced steps are like the timed ones.

    Neither much slower, as a profiler can make them, nor much faster.
    """
    if not trace.devices:
        return False
    traced_ms = fmean(device.step_ms for device in trace.devices)
    return traced_ms < limits.traced_apart * timed_ms and timed_ms <= limits.pace_apart * traced_ms


def _kinds(*traces: TraceBreakdown) -> dict[Kind, tuple[str, ...]]:
    """Return the kinds and their categories.

    Where a trace's exchanges were not matched, a transfer may contain waits for peers: both are then one kind.
    """
    traces_with_exchange = [
        trace for trace in traces if any(_category_ms(trace, 1.0, CATEGORIES[kind]) for kind in EXCHANGE)
    ]
    if all(trace.peers for trace in traces_with_exchange):
        return CATEGORIES
    kinds: dict[Kind, tuple[str, ...]] = {"exchange": tuple(name for kind in EXCHANGE for name in CATEGORIES[kind])}
    kinds.update((kind, names) for kind, names in CATEGORIES.items() if kind not in EXCHANGE)
    return kinds


def _category_ms(trace: TraceBreakdown, step_ms: float, categories: tuple[str, ...]) -> float:
    return step_ms * fmean(sum(device.share(name) for name in categories) for device in trace.devices)
