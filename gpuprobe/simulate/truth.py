"""What is true of a simulated session: its account, its primary cause, and what each fix would give.

The gain of a fix is not estimated: the session is simulated again with that one thing changed.
"""

from __future__ import annotations

from statistics import fmean, median
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gpuprobe.records import Record
from gpuprobe.simulate import fixes, ledger
from gpuprobe.simulate.engine import simulate, steady
from gpuprobe.simulate.session import Kind, Session
from gpuprobe.simulate.spec import Spec
from gpuprobe.units import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

# From the design: compute-bound where kernels fill this much of the span of the GPU's events; a lead of less than
# ten points of the step is a tie.
BUSY_FRACTION, NEAR_BUSY = 0.80, 0.02
TIE_SHARE = 0.10
# A cause that costs less of the step than this is no cause: XProf's threshold for "moderately" is 5 %.
LEAST_SHARE = 0.05
# A special cause stands for the general one where it alone makes up most of it.
SPECIAL = {"pcie_degraded": "copy_bound", "straggler": "collective_bound"}
MOST_OF_IT = 0.5
# From here on too much of the trace is lost for anyone to say.
TOO_MUCH_DROPPED = 0.3
# Causes that make kernels longer: the device is busy, and yet something is wrong.
BUSY_CAUSES = frozenset(
    ("tensor_cores_unused", "fp16_without_tensor_cores", "throttled", "gpu_shared", "batch_too_small")
)
STAGES = ("python_feed", "cold_cache", "shuffle_fill", "slow_map", "no_prefetch")


class TrueDevice(Record, frozen=True, kw_only=True):
    """The account of one device: `ledger_ms` is the mean over the steps, `steps_ms` each step's own."""

    name: str
    step_ms: float
    ledger_ms: dict[str, float]
    steps_ms: tuple[dict[str, float], ...]
    gpu_span_ms: float | None
    kernel_fraction: float | None
    exposed_copy_fraction: float | None


class TrueGain(Record, frozen=True, kw_only=True):
    """What a fix gives: the step time then, and the ratio of samples per second then and now."""

    step_ms: float
    ratio: float


class Truth(Record, frozen=True, kw_only=True):
    """`truth.json`. `accepted` are all causes that nobody could fault: the primary, and those that tie with it.

    `costs` is the share of the step that goes when a cause is removed. `step_ms` is that of the training without the
    profiler, `traced_step_ms` that of the trace. A session is `answerable` where its recording holds enough to tell.
    """

    schema: int = 1
    simulated: bool = True
    primary: str
    stage: str | None
    accepted: tuple[str, ...]
    by_account: str
    healthy: bool
    answerable: bool
    step_ms: float
    traced_step_ms: float
    samples_per_s: float
    steps_per_call: int
    profiler_slowdown: float
    devices: tuple[TrueDevice, ...]
    costs: dict[str, float]
    fixes: dict[str, TrueGain]
    spec: Spec


def tell(spec: Spec, session: Session | None = None) -> Truth:
    """Return the truth about a spec; `session` is what `simulate` returned for it, where that was done already."""
    session = session or simulate(spec)
    now_ms = steady(spec).step_ms
    devices = tuple(device_truth(session.recorded, index) for index in range(session.devices))
    costs = _costs(spec, now_ms)
    by_account = _by_account(spec, devices)
    accepted = _accepted(costs, by_account)
    traced_ms = median(device.step_ms for device in devices) / spec.host.steps_per_execution
    return Truth(
        primary=accepted[0],
        stage=_stage(spec, now_ms) if accepted[0] == "input_bound" else None,
        accepted=accepted,
        by_account=by_account[0],
        healthy=accepted == ("compute_bound",),
        answerable=_answerable(spec, by_account[0]),
        step_ms=now_ms,
        traced_step_ms=traced_ms,
        samples_per_s=1000 * spec.batch_size * spec.collective.gpus / now_ms,
        steps_per_call=spec.host.steps_per_execution,
        profiler_slowdown=session.step_ms / now_ms,
        devices=devices,
        costs=costs,
        fixes={name: _gain(spec, change(spec), now_ms) for name, change in fixes.FIXES.items()},
        spec=spec,
    )


def device_truth(session: Session, index: int) -> TrueDevice:
    """Return the true account of one device over all steps of a session."""
    steps = ledger.account(session, index)
    ops = [op for op in session.ops if op.device == index]
    kernels = [(op.start_ns, op.end_ns) for op in ops if op.kind in {Kind.KERNEL, Kind.COLLECTIVE}]
    on_gpu = session.spec.card.on_gpu
    begin, end = min((op.start_ns for op in ops), default=0), max((op.end_ns for op in ops), default=0)
    busy = _length(kernels)
    copied = _length([*kernels, *((op.start_ns, op.end_ns) for op in ops)]) - busy
    span = max(end - begin, 1)
    return TrueDevice(
        name=f"/device:GPU:{index}" if on_gpu else "/device:CPU:0",
        step_ms=fmean(sum(step.values()) for step in steps) / NS_PER_MS,
        ledger_ms={name: fmean(step[name] for step in steps) / NS_PER_MS for name in steps[0]},
        steps_ms=tuple({name: value / NS_PER_MS for name, value in step.items() if value} for step in steps),
        gpu_span_ms=span / NS_PER_MS if on_gpu else None,
        kernel_fraction=busy / span if on_gpu else None,
        exposed_copy_fraction=copied / span if on_gpu else None,
    )


def _length(intervals: Sequence[tuple[int, int]]) -> int:
    return sum(end - begin for begin, end in ledger.union(intervals))


def _gain(spec: Spec, changed: Spec, now_ms: float) -> TrueGain:
    then_ms = now_ms if changed == spec else steady(changed).step_ms
    return TrueGain(step_ms=then_ms, ratio=now_ms / then_ms * changed.batch_size / spec.batch_size)


def _costs(spec: Spec, now_ms: float) -> dict[str, float]:
    costs = {}
    for cause, cure in fixes.CURES.items():
        cured = cure(spec)
        if fixes.possible(cause, spec) and cured != spec:
            costs[cause] = max(0.0, 1 - steady(cured).step_ms / now_ms)
    return costs


def _by_account(spec: Spec, devices: Sequence[TrueDevice]) -> tuple[str, ...]:
    """Apply the design's rule to the true account of the busiest device; what ties with the first comes after it."""
    if not spec.card.on_gpu:
        return ("not_on_gpu",)
    device = max(devices, key=lambda device: device.kernel_fraction or 0.0)
    spent, busy = device.ledger_ms, device.kernel_fraction or 0.0
    # Of a single step the span of the GPU's events leaves out the wait before the first; the step does not.
    if min(busy - spent["gpu_collective"] / device.step_ms, spent["gpu_compute"] / device.step_ms) >= BUSY_FRACTION:
        return ("compute_bound",)
    compiling = "recompiling" if spec.host.compile_kind == "xla" else "eager_or_retracing"
    idle = [
        ("copy_bound", spent["gpu_copy_h2d"] + spent["gpu_copy_d2h"] + spent["gpu_copy_d2d"]),
        ("input_bound", spent["idle_input"]),
        ("eager_or_retracing" if spec.host.eager else "launch_bound", spent["idle_launch"] + spent["idle_queue"]),
        ("sync_every_step", spent["idle_sync"]),
        ("host_between_steps", spent["idle_between_steps"]),
        (compiling, spent["idle_compile"]),
        ("gpu_memory_tight", spent["idle_memory"]),
        ("collective_bound", spent["gpu_collective"]),
    ]
    idle.sort(key=lambda pair: -pair[1])
    tied = [cause for cause, ms in idle if idle[0][1] - ms < TIE_SHARE * device.step_ms]
    return (*dict.fromkeys(tied), *(("compute_bound",) if abs(busy - BUSY_FRACTION) < NEAR_BUSY else ()))


def _accepted(costs: dict[str, float], by_account: Sequence[str]) -> tuple[str, ...]:
    """Return the primary cause, and then those that tie with it.

    The primary is the account's, where removing it gains; else the cause whose removal gains most.
    """
    if by_account[0] == "compute_bound":
        # Kernels fill the span: only what makes the kernels themselves longer can be wrong.
        costs = {cause: cost for cause, cost in costs.items() if cause in BUSY_CAUSES}
    counting = {cause: cost for cause, cost in costs.items() if cost >= LEAST_SHARE}
    for special, general in SPECIAL.items():
        if counting.get(special, 0.0) >= max(LEAST_SHARE, MOST_OF_IT * counting.get(general, 0.0)):
            counting.pop(general, None)
    ranked = sorted(counting, key=lambda cause: -counting[cause])
    if by_account[0] == "compute_bound" and (not ranked or counting[ranked[0]] < TIE_SHARE):
        return ("compute_bound", *ranked)
    if not ranked:
        return tuple(by_account)
    first = by_account[0] if by_account[0] in counting else ranked[0]
    close = [cause for cause in ranked if counting[ranked[0]] - counting[cause] < TIE_SHARE]
    told = by_account if by_account[0] != "compute_bound" else ()
    return tuple(dict.fromkeys([first, *close, *told]))


def _stage(spec: Spec, now_ms: float) -> str:
    """Say which stage of the input costs most: the one without which the step is shortest."""
    given = spec.input
    if given.feed in {"python", "generator"}:
        return "python_feed"
    without = {
        "cold_cache": replace(given, read_ms=0.0),
        "shuffle_fill": replace(given, shuffle_fill_ms=0.0),
        "slow_map": replace(given, map_ms=0.0),
        "no_prefetch": replace(given, prefetch=max(given.prefetch, fixes.PREFETCH)),
    }
    times = {stage: steady(replace(spec, input=changed)).step_ms for stage, changed in without.items()}
    return min(STAGES[1:], key=lambda stage: times[stage] / now_ms)


def _answerable(spec: Spec, by_account: str) -> bool:
    recording = spec.recording
    if not recording.trace or recording.dropped_share >= TOO_MUCH_DROPPED:
        return False
    return recording.host_events or by_account == "compute_bound"
