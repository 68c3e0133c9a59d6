"""The truth about a simulated session: its breakdown, its primary cause, and the gain of each fix.

The cost of a cause and the gain of a fix are not estimated: the session is simulated again with that one change, and
the times are compared.
"""

from __future__ import annotations

from statistics import fmean, median
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gpuprobe.records import Record
from gpuprobe.simulate import fixes, ledger
from gpuprobe.simulate.engine import simulate, steady_ms
from gpuprobe.simulate.savings import NOTHING, accepted, savings
from gpuprobe.simulate.session import Kind, Session
from gpuprobe.simulate.spec import Spec
from gpuprobe.units import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

# Causes that only events of the host show: a trace without them does not tell why the device is idle.
SHOWN_BY_THE_HOST = frozenset(
    (
        "input_bound",
        "launch_bound",
        "host_work",
        "one_time_work",
        "sync_every_step",
        "host_between_steps",
        "eager_or_retracing",
        "recompiling",
        "gpu_memory_tight",
    )
)
# Causes that only telemetry shows: in a trace they look like longer kernels or copies.
SHOWN_BY_READINGS = frozenset(("throttled", "gpu_shared", "pcie_degraded"))
# Causes outside the steps: the run's record shows them even without a trace.
SHOWN_BY_THE_RUN = frozenset(("epoch_start", "validation", "checkpointing", "startup"))
# A trace that has lost more than this share of the device's events does not count as evidence.
MOST_LOST = 0.5
STAGES = ("python_feed", "cold_cache", "shuffle_fill", "slow_map", "no_prefetch")


class TrueDevice(Record, frozen=True, kw_only=True):
    """The breakdown of one device: `ledger_ms` is the mean over the steps, `steps_ms` each step's own."""

    name: str
    step_ms: float
    ledger_ms: dict[str, float]
    steps_ms: tuple[dict[str, float], ...]
    gpu_span_ms: float | None
    kernel_fraction: float | None
    exposed_copy_fraction: float | None


class TrueGain(Record, frozen=True, kw_only=True):
    """The gain of a fix: the step time with it, and the ratio of samples per second with it and without."""

    step_ms: float
    ratio: float


class Truth(Record, frozen=True, kw_only=True):
    """The content of `truth.json`. `accepted` are the correct answers: the primary cause and those that tie with it.

    Where the recording lacks telemetry, the causes that hold for its other evidence are accepted too; where one-time
    work lies in the first of several steps, those that hold for the later steps.

    `costs` is the share of the time that removing each cause saves (`savings`). `step_ms` is the step time without the
    profiler, `traced_step_ms` that in the trace. A session is `answerable` if its recording holds enough evidence.
    """

    schema: int = 1
    simulated: bool = True
    primary: str
    stage: str | None
    accepted: tuple[str, ...]
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
    """Return the truth about a spec; `session` is the result of `simulate` for it, if already there."""
    session = session or simulate(spec)
    now_ms = steady_ms(spec)
    devices = tuple(device_truth(session.recorded, index) for index in range(session.devices))
    costs = savings(spec)
    causes = accepted(costs)
    if not spec.recording.telemetry and SHOWN_BY_READINGS & set(causes):
        causes = tuple(dict.fromkeys((*causes, *accepted(savings(spec, SHOWN_BY_READINGS)))))
    if _once_at_first(spec, session):
        rest = replace(spec, host=replace(spec.host, once_ms=0.0))
        causes = tuple(dict.fromkeys((*causes, *accepted(savings(rest)))))
    return Truth(
        primary=causes[0],
        stage=_stage(spec) if causes[0] == "input_bound" else None,
        accepted=causes,
        healthy=causes == (NOTHING,),
        answerable=_answerable(spec, causes[0]),
        step_ms=now_ms,
        traced_step_ms=median(device.step_ms for device in devices) / spec.host.steps_per_execution,
        samples_per_s=1000 * spec.batch_size * spec.collective.gpus / now_ms,
        steps_per_call=spec.host.steps_per_execution,
        profiler_slowdown=session.step_ms / now_ms,
        devices=devices,
        costs=costs,
        fixes={name: _gain(spec, change(spec)) for name, change in fixes.FIXES.items()},
        spec=spec,
    )


def device_truth(session: Session, index: int) -> TrueDevice:
    """Return the true breakdown of one device over all steps of a session."""
    steps = ledger.breakdown(session, index)
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


def _gain(spec: Spec, changed: Spec) -> TrueGain:
    now_ms, then_ms = steady_ms(spec), steady_ms(changed)
    return TrueGain(step_ms=then_ms, ratio=now_ms / then_ms * changed.batch_size / spec.batch_size)


def _once_at_first(spec: Spec, session: Session) -> bool:
    """Whether all one-time work lies in the first of several traced steps, so that the others are steady."""
    return spec.host.once_ms > 0 and spec.host.once_call == 0 and len(session.recorded.calls) > 1


def _stage(spec: Spec) -> str:
    """Return the stage of the input that costs most: the one whose removal makes the step shortest."""
    input_spec = spec.input
    without = {
        "python_feed": replace(input_spec, python_ms=0.0),
        "cold_cache": replace(input_spec, read_ms=0.0),
        "shuffle_fill": replace(input_spec, shuffle_fill_ms=0.0),
        "slow_map": replace(input_spec, map_ms=0.0),
        "no_prefetch": replace(input_spec, prefetch=max(input_spec.prefetch, fixes.PREFETCH)),
    }
    return min(STAGES, key=lambda stage: steady_ms(replace(spec, input=without[stage])))


def _answerable(spec: Spec, primary: str) -> bool:
    recording = spec.recording
    if primary in SHOWN_BY_THE_RUN:
        return True
    # That the host is between calls is known from the run's clock; that the device is idle, from telemetry or the
    # trace.
    if primary == "host_between_steps" and recording.telemetry:
        return True
    if not recording.trace or recording.dropped_share >= MOST_LOST:
        return False
    if primary == "host_work" and spec.host.host_work_kind == "unseen":
        return False
    return recording.host_events or primary not in SHOWN_BY_THE_HOST
