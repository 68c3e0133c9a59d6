"""The breakdown of each device of a trace, given when it waited for other devices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from gpuprobe.ledger import communication, kernels
from gpuprobe.ledger.categories import CPU_CATEGORIES, GPU_CATEGORIES, LATE
from gpuprobe.ledger.cpu import cpu_time
from gpuprobe.ledger.cut import cut
from gpuprobe.ledger.gaps import gaps_of, histogram, top_gaps
from gpuprobe.ledger.gpu import gpu_time
from gpuprobe.ledger.held_facts import held_facts, prepared_facts
from gpuprobe.ledger.host import TracedHost
from gpuprobe.ledger.intervals import Intervals, covered, difference, join, union
from gpuprobe.ledger.lost_launches import lost_launches
from gpuprobe.ledger.missing_reasons import missing_of
from gpuprobe.ledger.names import kinds
from gpuprobe.ledger.operations import made_up_of, on_device, on_processor
from gpuprobe.ledger.own_exchanges import PROCESSOR
from gpuprobe.ledger.proof import proof
from gpuprobe.ledger.records import DeviceBreakdown
from gpuprobe.ledger.recurrent import recurrent_facts
from gpuprobe.ledger.step_breakdowns import StepBreakdowns
from gpuprobe.ledger.trust import confidence_in, trusted
from gpuprobe.quantiles import median
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from gpuprobe.ledger.cpu import CpuTime
    from gpuprobe.ledger.gpu import GpuTime
    from gpuprobe.ledger.lost_launches import LostLaunches
    from gpuprobe.ledger.own_exchanges import Member
    from gpuprobe.ledger.steps import Windows
    from gpuprobe.traces.timeline import Timeline


@dataclass(frozen=True)
class DeviceWorkings:
    """A device's breakdown, with its host, its steps, and their time by exclusive category (`parts`).

    `held` is when the host did work of its own, `once` when it did one-time work, whether or not the device idled.
    """

    breakdown: DeviceBreakdown
    host: TracedHost
    windows: Windows
    parts: dict[str, Intervals]
    held: Intervals
    once: Intervals


class PreparedTrace:
    """A trace prepared for its breakdown: the kind of each name, its hosts, and the work that the profiler lost."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.kinds: NDArray[np.int32] = kinds(timeline.names)
        self.hosts = {name: TracedHost(timeline, name, self.kinds) for name in host_names(timeline)}

    @cached_property
    def missing(self) -> dict[str, LostLaunches]:
        """The launches of each host whose work no device shows."""
        return {name: lost_launches(host) for name, host in self.hosts.items()}

    @property
    def launched(self) -> int:
        """The number of launches whose work no device shows."""
        return sum(len(lost_calls.launch_ps) for lost_calls in self.missing.values())

    def account(self, waiting: Mapping[Member, Intervals], lost_share: float) -> list[DeviceWorkings]:
        """Return the breakdown of each GPU, with its workings; of the processors if no device shows any work.

        `waiting` is when each device was in an exchange that another had not reached, `lost_share` the share of work
        that the profiler says it lost (0 to 1).
        """
        on_gpus = self._gpus(waiting, lost_share)
        has_devices = (
            self.timeline.others
            or self.launched
            or any(len(device.kernels) or len(device.copies) for device in self.timeline.devices)
        )
        return on_gpus if on_gpus or has_devices else self._processors(waiting, lost_share)

    def _gpus(self, waiting: Mapping[Member, Intervals], lost_share: float) -> list[DeviceWorkings]:
        accounted = []
        for device in self.timeline.devices:
            host, waits = self.hosts[device.host], waiting.get((device.name, device.host), Intervals())
            time = gpu_time(self.timeline, device, host, self.missing[device.host], waits)
            if time is not None:
                breakdown = _gpu_breakdown(self.timeline, time, host, waits, lost_share)
                idle = time.idle
                accounted.append(
                    DeviceWorkings(breakdown, host, time.windows, time.parts, idle.busy_held, idle.busy_once)
                )
        return accounted

    def _processors(self, waiting: Mapping[Member, Intervals], lost_share: float) -> list[DeviceWorkings]:
        accounted = []
        for host in self.hosts.values():
            waits = waiting.get((PROCESSOR, host.name), Intervals())
            time = cpu_time(host, waits)
            if time is not None:
                parts = time.parts
                breakdown = _processor_breakdown(host, time, waits, lost_share)
                accounted.append(
                    DeviceWorkings(breakdown, host, time.windows, parts, parts["idle_host_work"], parts["idle_once"])
                )
        return accounted


def host_names(timeline: Timeline) -> list[str]:
    """Return the names of a trace's hosts."""
    devices, threads = timeline.devices, timeline.threads
    return list(dict.fromkeys([*(device.host for device in devices), *(thread.host for thread in threads)]))


def _gpu_breakdown(
    timeline: Timeline, time: GpuTime, host: TracedHost, waiting: Intervals, lost_share: float
) -> DeviceBreakdown:
    device, windows = time.device, time.windows
    steps = StepBreakdowns.of(windows, {name: time.parts[name] for name in GPU_CATEGORIES})
    span_ps = max(time.span.total, 1)
    gaps = gaps_of(time)
    counted = slice(steps.warmup, steps.warmup + len(steps.counted))
    sm = kernels.sm_efficiency(timeline.names, time, counted)
    occupied, outside = kernels.occupancy(time), kernels.idle_outside(time)
    operations, loops = made_up_of(on_device(timeline.names, device), windows)
    return replace(
        _of_steps(device.name, device.host, "gpu", steps, windows),
        marker_step_ms=median(device.steps.duration_ps) / PS_PER_MS if len(device.steps) else None,
        gpu_span_ms=time.span.total / PS_PER_MS,
        kernel_fraction=time.kernels.total / span_ps,
        exposed_copy_fraction=difference(time.copies, time.kernels).total / span_ps,
        idle_outside_step_fraction=outside,
        sm_efficiency=sm,
        occupancy=occupied,
        overlap_fraction=kernels.overlap_fraction(time),
        model=str(device.facts["model"]) if "model" in device.facts else None,
        facts=dict(device.facts),
        joined_fraction=time.work.joined_fraction,
        lost_fraction=time.lost.fraction,
        confidence=trusted(steps.typical, time, host, lost_share),
        kernels=kernels.kernel_facts(timeline.names, time, host),
        top_kernels=kernels.top_kernels(timeline.names, time),
        operations=operations,
        loops=loops,
        copies=kernels.copy_facts(time),
        communication=communication.of_gpu(timeline, time, host, waiting, counted),
        held=held_facts(time, host),
        recurrent=recurrent_facts(host, windows, join([time.parts[name] for name in LATE]), short_too=True),
        stalled_ms=_per_step_ms(time.idle.stalled, windows, counted),
        stalled_in_ms={name: _per_step_ms(part, windows, counted) for name, part in time.idle.stalled_in.items()},
        off_pace_ms=_per_step_ms(time.idle.off_pace, windows, counted),
        cut=cut(time, host),
        proof=proof(host, time.parts, windows.inside, time.idle),
        gaps=top_gaps(windows, time.parts, host, gaps),
        gap_histogram=histogram(gaps),
        missing=missing_of(device, sm, occupied, outside),
    )


def _per_step_ms(part: Intervals, windows: Windows, counted: slice) -> float:
    """Return the mean time of a part in the steps that count."""
    return float(covered(part, windows.start_ps[counted], windows.end_ps[counted]).mean()) / PS_PER_MS


def _processor_breakdown(host: TracedHost, time: CpuTime, waiting: Intervals, lost_share: float) -> DeviceBreakdown:
    windows, parts = time.windows, time.parts
    steps_ps = max(union(windows.start_ps, windows.end_ps).total, 1)
    steps = StepBreakdowns.of(windows, {name: parts[name] for name in CPU_CATEGORIES})
    operations, loops = made_up_of(on_processor(host), windows)
    events = proof(host, parts, windows.inside)
    counted = slice(steps.warmup, steps.warmup + len(steps.counted))
    waited_ms = _per_step_ms(time.unstarted, windows, counted)
    return replace(
        _of_steps(PROCESSOR, host.name, "cpu", steps, windows),
        confidence=confidence_in(steps.typical, 1.0, lost_share, waited_ms),
        waited_ms=waited_ms,
        overhead_fraction=time.overhead.total / steps_ps,
        dispatch_fraction=time.dispatching.total / steps_ps,
        communication=communication.of_processor(host, windows, parts["cpu_collective"], waiting, counted),
        recurrent=recurrent_facts(host, windows, join([parts["cpu_compute"], parts["cpu_dispatch"]]), short_too=False),
        operations=operations,
        loops=loops,
        held=prepared_facts(windows, parts["idle_host_work"], events.get("idle_host_work", ())),
        proof=events,
        missing={"kernel_fraction": "there is no GPU in the trace"},
    )


def _of_steps(
    name: str, host: str, kind: Literal["gpu", "cpu"], steps: StepBreakdowns, windows: Windows
) -> DeviceBreakdown:
    """Return the breakdown with the fields that GPUs and processors share: those about their steps."""
    return DeviceBreakdown(
        name=name,
        host=host,
        kind=kind,
        step_ms=steps.typical.step_ms,
        steps=len(steps.each),
        ledger_ms=steps.typical.ledger_ms,
        steps_from=windows.source,
        inside_from=windows.inside_source,
        warmup=steps.warmup,
        counted=len(steps.counted),
        spread=steps.spread,
        each_step=tuple(steps.each),
    )
