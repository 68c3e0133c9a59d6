"""From a timeline to the step-time breakdown of every device and host, and which device is the slowest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from gpuprobe.ledger import communication, exchanges, kernels
from gpuprobe.ledger.categories import CPU_CATEGORIES, GPU_CATEGORIES, LATE
from gpuprobe.ledger.cpu import cpu_time
from gpuprobe.ledger.cut import cut
from gpuprobe.ledger.exchanges import PROCESSOR
from gpuprobe.ledger.gaps import gaps_of, histogram, top_gaps
from gpuprobe.ledger.gpu import gpu_time
from gpuprobe.ledger.held_facts import held_facts, prepared_facts
from gpuprobe.ledger.host import TracedHost
from gpuprobe.ledger.host_clocks import clocks_of, too_far_apart
from gpuprobe.ledger.intervals import Intervals, covered, difference, join, union
from gpuprobe.ledger.lost import lost
from gpuprobe.ledger.names import framework, kinds
from gpuprobe.ledger.operations import made_up_of, on_device, on_processor
from gpuprobe.ledger.peers import peers_of, slowest_of, waited_for
from gpuprobe.ledger.pipeline import host_breakdown
from gpuprobe.ledger.proof import proof
from gpuprobe.ledger.quantiles import median
from gpuprobe.ledger.records import DeviceBreakdown, HostBreakdown, TraceBreakdown
from gpuprobe.ledger.recurrent import recurrent_facts
from gpuprobe.ledger.step_breakdowns import StepBreakdowns
from gpuprobe.ledger.trust import confidence_in, told_lost, trusted
from gpuprobe.ledger.untold import NO_CUPTI, at_rest, missing_of, why_no_step
from gpuprobe.units import PS_PER_MS, PS_PER_NS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpuprobe.ledger.cpu import CpuTime
    from gpuprobe.ledger.exchanges import Exchanges
    from gpuprobe.ledger.gpu import GpuTime
    from gpuprobe.ledger.lost import Lost
    from gpuprobe.ledger.steps import Windows
    from gpuprobe.traces.timeline import Timeline

EMPTY = f"{{}} is in the trace and did nothing: where the training did not run on the processor, {NO_CUPTI}"


@dataclass(frozen=True)
class Found:
    """A device's breakdown, with what it was made of: its host, the steps, their time by category, exclusive, and when
    the host was held by work.

    `held` is work of its own, `once` what is done once, whether or not the device idled meanwhile.
    """

    breakdown: DeviceBreakdown
    host: TracedHost
    windows: Windows
    parts: dict[str, Intervals]
    held: Intervals
    once: Intervals


@dataclass(frozen=True)
class Workings:
    """The breakdown of a trace, with what that of each of its devices was made of, and their matched exchanges."""

    timeline: Timeline
    breakdown: TraceBreakdown
    found: tuple[Found, ...]
    exchanged: Exchanges | None = None

    def made_of(self, device: DeviceBreakdown) -> Found:
        """Return what the breakdown of a device was made of."""
        return next(found for found in self.found if found.breakdown is device)


def breakdown_of(timeline: Timeline) -> TraceBreakdown:
    """Return the breakdown of every step of a trace, where its workings are not wanted."""
    return break_down(timeline).breakdown


def break_down(timeline: Timeline) -> Workings:
    """Account for every step of a trace; without a GPU in it the processor is the device.

    `devices` is empty where no step could be found, and the warnings say so.
    """
    known = kinds(timeline.names)
    hosts = {name: TracedHost(timeline, name, known) for name in host_names(timeline)}
    worked = any(len(device.kernels) or len(device.copies) for device in timeline.devices)
    missing = {name: lost(host) for name, host in hosts.items()}
    launched = sum(len(one.launch_ps) for one in missing.values())
    exchanged, unmatched = exchanges.match(timeline, hosts)
    clocks = clocks_of(exchanged)
    found = _devices(timeline, hosts, missing, exchanged)
    step_ms = max((one.breakdown.step_ms for one in found), default=0.0)
    untold = exchanges.too_few(timeline, exchanged) or too_far_apart(clocks, step_ms)
    if untold:
        exchanged, unmatched = None, untold
        found = _devices(timeline, hosts, missing, None)
    devices = [one.breakdown for one in found]
    warnings = timeline.warnings if devices else (*timeline.warnings, why_no_step(timeline, launched))
    if devices and timeline.devices and not worked:
        warnings = (*warnings, EMPTY.format(timeline.devices[0].name))
    warnings = (*warnings, *at_rest(timeline.devices))
    peers = peers_of(exchanged, devices)
    # Where exchanges tell that nobody is waited for, nobody is named.
    slowest, why = waited_for(devices, peers) or ((None, "") if peers or untold else slowest_of(devices))
    began, ended = _clock(timeline, [one.windows for one in found])
    breakdown = TraceBreakdown(
        source=timeline.source,
        format=timeline.format,
        devices=tuple(devices),
        hosts=_described(found),
        framework=framework(timeline.names, known),
        began_ns=began,
        ended_ns=ended,
        slowest=slowest,
        slowest_why=why,
        peers=peers,
        unmatched=unmatched,
        untold=untold,
        clocks=clocks,
        warnings=warnings,
    )
    return Workings(timeline, breakdown, tuple(found), exchanged)


def _devices(
    timeline: Timeline, hosts: Mapping[str, TracedHost], missing: Mapping[str, Lost], exchanged: Exchanges | None
) -> list[Found]:
    """Account for the GPUs, or without any that did something for the processors."""
    found = _on_gpus(timeline, hosts, missing, exchanged)
    worked = any(len(device.kernels) or len(device.copies) for device in timeline.devices)
    launched = any(len(one.launch_ps) for one in missing.values())
    return found if found or timeline.others or worked or launched else _on_processors(timeline, hosts, exchanged)


def _on_gpus(
    timeline: Timeline, hosts: Mapping[str, TracedHost], missing: Mapping[str, Lost], exchanged: Exchanges | None
) -> list[Found]:
    times = []
    for device in timeline.devices:
        host, waiting = hosts[device.host], _waiting(exchanged, device.name, device.host)
        times.append((host, waiting, gpu_time(timeline, device, host, missing[device.host], waiting)))
    return [
        Found(
            _gpu(timeline, time, host, waiting),
            host,
            time.windows,
            time.parts,
            time.idle.busy_held,
            time.idle.busy_once,
        )
        for host, waiting, time in times
        if time is not None
    ]


def _on_processors(timeline: Timeline, hosts: Mapping[str, TracedHost], exchanged: Exchanges | None) -> list[Found]:
    waits = [(host, _waiting(exchanged, PROCESSOR, host.name)) for host in hosts.values()]
    times = [(host, waiting, cpu_time(host, waiting)) for host, waiting in waits]
    return [
        Found(
            _cpu(timeline, host, spent, waiting),
            host,
            spent.windows,
            spent.parts,
            spent.parts["idle_host_work"],
            spent.parts["idle_once"],
        )
        for host, waiting, spent in times
        if spent is not None
    ]


def _waiting(exchanged: Exchanges | None, device: str, host: str) -> Intervals:
    return exchanged.waiting((device, host)) if exchanged else Intervals()


def _described(found: list[Found]) -> tuple[HostBreakdown, ...]:
    """Account for each host once, over the steps of its first device."""
    first = {one.host.name: one for one in reversed(found)}
    names = dict.fromkeys(one.host.name for one in found)
    return tuple(host_breakdown(first[name].host, first[name].windows) for name in names)


def _clock(timeline: Timeline, found: list[Windows]) -> tuple[int | None, int | None]:
    if not timeline.unix or not found:
        return None, None
    began = min(int(windows.start_ps[0]) for windows in found)
    ended = max(int(windows.end_ps[-1]) for windows in found)
    return timeline.origin_ns + began // PS_PER_NS, timeline.origin_ns + ended // PS_PER_NS


def host_names(timeline: Timeline) -> list[str]:
    """Return the names of a trace's hosts."""
    devices, threads = timeline.devices, timeline.threads
    return list(dict.fromkeys([*(device.host for device in devices), *(thread.host for thread in threads)]))


def _gpu(timeline: Timeline, time: GpuTime, host: TracedHost, waiting: Intervals) -> DeviceBreakdown:
    device, windows = time.device, time.windows
    steps = StepBreakdowns.of(windows, {name: time.parts[name] for name in GPU_CATEGORIES})
    span = max(time.span.total, 1)
    gaps = gaps_of(time)
    counted = slice(steps.warmup, steps.warmup + len(steps.counted))
    sm, occupied, outside = kernels.sm_efficiency(time, counted), kernels.occupancy(time), kernels.idle_outside(time)
    operations, loops = made_up_of(on_device(timeline.names, device), windows)
    return replace(
        _of_steps(device.name, device.host, "gpu", steps, windows),
        marker_step_ms=median(device.steps.duration_ps) / PS_PER_MS if len(device.steps) else None,
        gpu_span_ms=time.span.total / PS_PER_MS,
        kernel_fraction=time.kernels.total / span,
        exposed_copy_fraction=difference(time.copies, time.kernels).total / span,
        idle_outside_step_fraction=outside,
        sm_efficiency=sm,
        occupancy=occupied,
        overlap_fraction=kernels.overlap_fraction(time),
        model=str(device.facts["model"]) if "model" in device.facts else None,
        facts=dict(device.facts),
        joined_fraction=time.work.joined_fraction,
        lost_fraction=time.lost.fraction,
        confidence=trusted(steps.typical, time, host, told_lost(timeline)),
        kernels=kernels.kernel_facts(timeline.names, time),
        top_kernels=kernels.top_kernels(timeline.names, time),
        operations=operations,
        loops=loops,
        copies=kernels.copy_facts(time),
        communication=communication.of_gpu(timeline, time, host, waiting, counted),
        held=held_facts(time, host),
        recurrent=recurrent_facts(host, windows, join([time.parts[name] for name in LATE])),
        stalled_ms=_per_step_ms(time.idle.stalled, windows, counted),
        off_pace_ms=_per_step_ms(time.idle.off_pace, windows, counted),
        cut=cut(time, host),
        proof=proof(host, time.parts, windows.inside, time.idle),
        gaps=top_gaps(windows, time.parts, host, gaps),
        gap_histogram=histogram(gaps),
        missing=missing_of(device, sm, occupied, outside),
    )


def _per_step_ms(part: Intervals, windows: Windows, counted: slice) -> float:
    """The mean of a part's time over the steps that count."""
    return float(covered(part, windows.start_ps[counted], windows.end_ps[counted]).mean()) / PS_PER_MS


def _cpu(timeline: Timeline, host: TracedHost, spent: CpuTime, waiting: Intervals) -> DeviceBreakdown:
    windows, parts = spent.windows, spent.parts
    whole = max(union(windows.start_ps, windows.end_ps).total, 1)
    steps = StepBreakdowns.of(windows, {name: parts[name] for name in CPU_CATEGORIES})
    operations, loops = made_up_of(on_processor(host), windows)
    events = proof(host, parts, windows.inside)
    counted = slice(steps.warmup, steps.warmup + len(steps.counted))
    return replace(
        _of_steps(PROCESSOR, host.name, "cpu", steps, windows),
        confidence=confidence_in(steps.typical, 1.0, told_lost(timeline)),
        overhead_fraction=spent.overhead.total / whole,
        dispatch_fraction=spent.dispatching.total / whole,
        communication=communication.of_processor(host, windows, parts["cpu_collective"], waiting, counted),
        recurrent=recurrent_facts(host, windows, join([parts["cpu_compute"], parts["cpu_dispatch"]])),
        operations=operations,
        loops=loops,
        held=prepared_facts(windows, parts["idle_host_work"], events.get("idle_host_work", ())),
        proof=events,
        missing={"kernel_fraction": "there is no GPU in the trace"},
    )


def _of_steps(
    name: str, host: str, kind: Literal["gpu", "cpu"], steps: StepBreakdowns, windows: Windows
) -> DeviceBreakdown:
    """Return the breakdown with what all kinds of devices have: the time of their steps."""
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
