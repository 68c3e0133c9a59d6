"""The breakdown of a trace as named signals: all that the rules see of it.

They speak of the device that the verdict is about (`main_device`). A signal that the trace does not give says why in
`missing`.

- The device: `device_kind` (gpu, cpu), `device`, `framework`, `breakdown_confidence`, `step_ms`.
- Shares of the step (0 to 1): `share.<category>`, and the sums `share.copy`, `share.launch` and `share.exchange`. On a
  processor also `share.overhead` and `share.dispatch`, which overlap the categories, and `share.waited`, the part of
  `unattributed` in which a function waited for its threads.
- Parts of a category: `share.stalled`, the parts of `idle_queue`, `idle_sync` and `idle_between_steps` that
  `share.launch` and theirs leave out, since nothing shows why launched work did not start; `share.off_pace`, the part
  of `idle_launch` in pauses that are long for the pace of launching.
- The GPU's work: `kernel_fraction`, `exposed_copy_fraction`, `idle_outside_step_fraction`, `sm_efficiency`,
  `occupancy`, `joined_fraction`, `lost_fraction`, `kernels_per_step`, `launches_per_step` (the calls that
  launched them), `kernel_median_us`, `kernels_under_10us_time_fraction`, `kernels_under_10us_count_fraction`,
  `tensor_core_time_fraction`, `eligible_time_fraction`, `device_clock_mhz` (the card's clock by CUDA),
  `copy_h2d_gb_per_s`.
- The host: `slowest_iterator`, `input_stage`, `pipeline_stages`, `mapped_after_cache`, `shuffled`,
  `maps_samples`,
  `pipeline_busy_fraction`,
  `eager_share`, `host_outside_share`, `graphs_built`, `compile_ms`; `proof.<category>`, the events of the host behind a
  category.
- Several devices: `straggler_ratio`, `straggler_share`, `straggler_device`, `kept_waiting_share`, `last_to_exchanges`,
  `late_by`, `late_beyond_chance`, `waited_for_always`, `waited_for_steps`, `waited_for_ms`, `waited_for`,
  `exchange_volume_ms`, `exchange_exposed_ms`, `exchange_blocking_ms`, `gradient_packs`, `exchange_ahead_ms`, `shards`,
  `shard_dropped_share`.
- Where the host was held without launching anything: `held_by`, `held_kind`, `held_stretches`, `held_steps`,
  `held_told_fraction`, `once_proven_fraction`.
- Where a recurrent layer runs as a loop: `recurrent_layer`, `recurrent_share`, `recurrent_operations`,
  `recurrent_setting`.
- The signals of `evidence.operations` and `evidence.other_calls`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.evidence.held import held_signals, proof, recurrent
from gpuprobe.evidence.input_stage import input_stage, pipeline_signals
from gpuprobe.evidence.operations import operation_signals
from gpuprobe.evidence.other_calls import other_calls
from gpuprobe.evidence.peers import exchanged, peers, straggler
from gpuprobe.evidence.several import dropped
from gpuprobe.ledger.categories import COPIES
from gpuprobe.ledger.peers import waited_for
from gpuprobe.records import Evidence, Signal
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from gpuprobe.ledger.records import DeviceBreakdown, HostBreakdown, TraceBreakdown

ONLY_BUFFERS = "only stages that hand on ready batches were seen while the training waited"
NO_KERNELS = "there are no kernels in the trace"


def evidence_of(breakdown: TraceBreakdown) -> Evidence:
    """Gather the signals of a trace; no signals where its breakdown holds no device."""
    device = main_device(breakdown)
    if device is None:
        return Evidence()
    host = next((host for host in breakdown.hosts if host.host == device.host), None)
    return Evidence(
        signals=(
            *_device_signals(device),
            Signal(name="framework", unit="", source="trace, names of its events", value=breakdown.framework),
            *_share_signals(device),
            *_kernel_signals(device),
            *_host_signals(host, device),
            *operation_signals(device, host),
            *straggler(breakdown),
            *peers(breakdown, device),
            *exchanged(device),
            *dropped(host, device),
            *held_signals(device),
            *recurrent(device),
            *proof(device),
        )
    )


def main_device(breakdown: TraceBreakdown) -> DeviceBreakdown | None:
    """Return the device that the verdict is about; None where the breakdown holds none.

    It is the device that the others wait for in their exchanges. Where no exchange shows that, it is the slowest device
    with a full part in the computing, since the others must wait for it; of equally slow ones, the one that computes
    most.
    """
    awaited = waited_for(breakdown.devices, breakdown.peers)
    if awaited is not None:
        return breakdown.devices[awaited[0]]
    most_ms = max(map(_computed_ms, breakdown.devices), default=0.0)
    computing = [device for device in breakdown.devices if _computed_ms(device) >= fixed.FULL_PART * most_ms]
    slowest_ms = max((device.step_ms for device in computing), default=0.0)
    slow = [device for device in computing if device.step_ms >= (1 - fixed.AS_SLOW) * slowest_ms]
    return max(slow, key=_computed_ms, default=None)


def _computed_ms(device: DeviceBreakdown) -> float:
    return (device.kernel_fraction or 0.0) * (device.gpu_span_ms or 0.0)


def _device_signals(device: DeviceBreakdown) -> list[Signal]:
    source = f"trace, steps by {device.steps_from}"
    step = Signal(
        name="step_ms",
        unit="ms",
        source=source,
        value=device.step_ms,
        low=device.spread.p5_ms,
        high=device.spread.p95_ms,
        n=device.counted,
    )
    return [
        Signal(name="device_kind", unit="", source="trace", value=device.kind),
        Signal(name="device", unit="", source="trace", value=device.model or device.name),
        Signal(name="breakdown_confidence", unit="", source="trace, launches joined", value=device.confidence),
        step,
    ]


def _share_signals(device: DeviceBreakdown) -> list[Signal]:
    shares = {name: device.share(name) for name in device.ledger_ms}
    if device.kind == "gpu":
        sums = {
            "copy": sum(device.share(name) for name in COPIES),
            "launch": device.share("idle_launch") + device.share("idle_queue") - device.stalled_ms / device.step_ms,
            **{name: device.share(name) - ms / device.step_ms for name, ms in device.stalled_in_ms.items()},
            "stalled": (device.stalled_ms + sum(device.stalled_in_ms.values())) / device.step_ms,
            "off_pace": device.off_pace_ms / device.step_ms,
            "exchange": device.share("gpu_collective"),
        }
    else:
        across = {"overhead": device.overhead_fraction, "dispatch": device.dispatch_fraction}
        sums = {name: value for name, value in across.items() if value is not None}
        sums["exchange"] = device.share("cpu_collective")
        sums["waited"] = device.waited_ms / device.step_ms
    return [
        Signal(name=f"share.{name}", unit="of the step", source="ledger", value=value, n=device.counted)
        for name, value in (shares | sums).items()
    ]


def _kernel_signals(device: DeviceBreakdown) -> list[Signal]:
    kernels = device.kernels
    of_span, clock_mhz = "of the GPU span", device.facts.get("clock_mhz")
    figures: list[tuple[str, str, float | None]] = [
        ("kernel_fraction", of_span, device.kernel_fraction),
        ("exposed_copy_fraction", of_span, device.exposed_copy_fraction),
        ("idle_outside_step_fraction", of_span, device.idle_outside_step_fraction),
        ("sm_efficiency", "of the step", device.sm_efficiency),
        ("occupancy", "of the threads that fit", device.occupancy),
        ("joined_fraction", "of the device's work", device.joined_fraction),
        ("lost_fraction", "of the launch calls", device.lost_fraction),
        ("kernels_per_step", "per step", kernels.count / device.steps if kernels else None),
        ("launches_per_step", "per step", kernels.calls / device.steps if kernels and kernels.calls else None),
        ("kernel_median_us", "us", kernels.median_us if kernels else None),
        ("kernels_under_10us_count_fraction", "of the kernels", kernels.under_10us_count_fraction if kernels else None),
        ("kernels_under_10us_time_fraction", "of kernel time", kernels.under_10us_time_fraction if kernels else None),
        ("tensor_core_time_fraction", "of kernel time", kernels.tensor_core_time_fraction if kernels else None),
        ("eligible_time_fraction", "of kernel time", kernels.eligible_time_fraction if kernels else None),
        ("device_clock_mhz", "MHz", clock_mhz if isinstance(clock_mhz, float) else None),
        ("copy_h2d_gb_per_s", "GB/s", next((copy.gb_per_s for copy in device.copies if copy.direction == "h2d"), None)),
    ]
    return [
        Signal(
            name=name,
            unit=unit,
            source="ledger",
            value=value,
            missing=None if value is not None else device.missing.get(name, _why_missing(device, name)),
        )
        for name, unit, value in figures
    ]


def _why_missing(device: DeviceBreakdown, name: str) -> str:
    if device.kind == "cpu":
        return "there is no GPU in the trace"
    if device.kernels is None:
        return NO_KERNELS
    return "the trace holds no such copy with its size" if name.startswith("copy") else "the trace does not give it"


def _host_signals(host: HostBreakdown | None, device: DeviceBreakdown) -> list[Signal]:
    if host is None:
        return []
    iterator = host.slowest_iterator
    missing = None if iterator else "no stage of tf.data was seen while the training waited"
    source = "trace, self time of the iterators while the training waited"
    stage = input_stage(host.iterators, device.share("idle_input"))
    return [
        Signal(name="slowest_iterator", unit="", source=source, value=iterator, missing=missing),
        Signal(
            name="input_stage", unit="", source=source, value=stage, missing=None if stage else missing or ONLY_BUFFERS
        ),
        *pipeline_signals(host.iterators),
        Signal(
            name="eager_share",
            unit="of the step",
            source="trace, operations that Python started one by one",
            value=_share_of_all_steps(host.eager_ms_per_step, device),
        ),
        _host_outside(host, device),
        Signal(
            name="pipeline_busy_fraction",
            unit="of the steps",
            source="trace, threads of tf.data that make batches ahead",
            value=host.pipeline_busy_fraction,
        ),
        Signal(name="graphs_built", unit="", source="trace", value=float(host.graphs_built)),
        Signal(name="compile_ms", unit="ms in all steps", source="trace", value=host.compile_ms),
        *other_calls(host, device),
    ]


def _share_of_all_steps(ms: float, device: DeviceBreakdown) -> float:
    """Return ms per step as a share of the mean traced step, warm-up included."""
    steps_ms = [step.step_ms for step in device.each_step]
    return ms * len(steps_ms) / sum(steps_ms) if steps_ms else ms / device.step_ms


def _host_outside(host: HostBreakdown, device: DeviceBreakdown) -> Signal:
    """The share of the step in which the host is outside the training function, whatever the device does meanwhile."""
    outside_ms = host.between_steps_ms_per_step
    return Signal(
        name="host_outside_share",
        unit="of the step",
        source="trace, time outside the training function",
        value=None if outside_ms is None else _share_of_all_steps(outside_ms, device),
        n=device.counted,
        missing=None if outside_ms is not None else "the trace names no training function",
    )
