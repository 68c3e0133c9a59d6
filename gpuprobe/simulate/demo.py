"""The story as a simulated study: a laptop's GTX 1060 under Windows, batch 32, an epoch of 170 s, a GPU at 20 %.

The figures are chosen so that the baseline is the story's: 109 ms a step, of which kernels run for about 21. How the
rest divides was never measured; here most of it goes into launching some 600 small kernels one by one, a good part
into cutting batches in Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from gpuprobe.simulate import fixes
from gpuprobe.simulate.engine import steady
from gpuprobe.simulate.sessions import Member
from gpuprobe.simulate.spec import Card, Copies, Host, Input, Kernels, Recording, Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gpuprobe.records import StrategyInfo

TRACED_STEPS = 6
# A change is taken over into the strategy that combines them where it gains at least so much by itself.
WORTH_RATIO = 1.03
# One image augmented by numpy in Python, and one scaled by a map function, on a laptop's core.
AUGMENT_MS, SCALE_MS = 85.0, 14.0

BASELINE = Spec(
    name="python_feed",
    batch_size=32,
    steps=TRACED_STEPS,
    card=Card(
        name="NVIDIA GeForce GTX 1060 3GB",
        compute_capability="6.1",
        sm_count=9,
        clock_mhz=1708.0,
        memory_mib=3072.0,
        memory_gb_per_s=192.0,
        memory_used_mib=900.0,
        power_limit_w=80.0,
    ),
    kernels=Kernels(count=600, mean_us=35.0, fixed_us=3.0, sm_fill=0.5, matmul_share=0.45, dtype="float32"),
    host=Host(
        cores=8,
        function_call_us=3000.0,
        dispatch_us=92.0,
        launch_us=20.0,
        wddm_batch=32,
        wddm_submit_us=330.0,
        callback_ms=8.0,
        sync_every=1,
        sync_wake_us=60.0,
    ),
    input=Input(feed="python", python_ms=22.5, prefetch=0),
    copies=Copies(batch_mib=0.375, link_gb_per_s=10.0, pinned=False, pageable_gb_per_s=4.0),
    recording=Recording(),
)


def _numpy(spec: Spec) -> Spec:
    feed = Input(feed="tf_data", map_ms=0.0, batch_ms=2.0, parallel_calls=1, prefetch=2)
    return replace(spec, input=feed, host=replace(spec.host, sync_every=0, callback_ms=3.0))


def _generator(spec: Spec) -> Spec:
    return replace(spec, input=Input(feed="generator", python_ms=AUGMENT_MS, prefetch=1))


def _tfdata(spec: Spec) -> Spec:
    return replace(spec, input=Input(map_ms=SCALE_MS, batch_ms=1.0, parallel_calls=1, prefetch=0))


def _cached(spec: Spec) -> Spec:
    return replace(spec, input=replace(spec.input, cache="warm"))


def _resident(spec: Spec) -> Spec:
    return replace(spec, input=Input(feed="device", prefetch=0))


# What each strategy changes about the one it is compared with; a strategy that is not here is not simulated.
CHANGES: dict[str, Callable[[Spec], Spec]] = {
    "python_feed": lambda spec: spec,
    "numpy": _numpy,
    "generator": _generator,
    "tfdata": _tfdata,
    "tfdata_prefetch": fixes.prefetch,
    "tfdata_cache_prefetch": _cached,
    "device_resident": _resident,
    "mixed_precision": fixes.fp16,
    "xla": fixes.launches_fused,
    "steps_per_execution": fixes.steps_per_execution,
    "large_batch": lambda spec: fixes.batch_times(spec, 8),
}


def members(strategies: Sequence[StrategyInfo]) -> list[Member]:
    """Return the story's study: each of these strategies with its session, and those that combine others last."""
    specs: dict[str, Spec] = {}
    found = []
    for info in strategies:
        against = specs.get(info.against or "", BASELINE)
        if info.combines:
            spec, combined = _combined(against, [other for other in strategies if other.against == info.against])
        elif info.name in CHANGES:
            spec, combined = CHANGES[info.name](against), ()
        else:
            continue
        specs[info.name] = _short(replace(spec, name=info.name))
        found.append(Member(info=info, spec=specs[info.name], combines=combined))
    return found


def _combined(spec: Spec, others: Sequence[StrategyInfo]) -> tuple[Spec, tuple[str, ...]]:
    """Apply every change that gains by itself; the data stay where they are, as in a study that is measured."""
    names = [info.name for info in others if info.name in CHANGES and info.name != "device_resident"]
    worth = tuple(name for name in names if _gain(spec, CHANGES[name](spec)) >= WORTH_RATIO)
    for name in worth:
        spec = CHANGES[name](spec)
    return spec, worth


def _gain(spec: Spec, changed: Spec) -> float:
    return steady(spec).step_ms / steady(changed).step_ms * changed.batch_size / spec.batch_size


def _short(spec: Spec) -> Spec:
    """Trace as many steps whether a call runs one or several."""
    return replace(spec, steps=max(2, TRACED_STEPS // spec.host.steps_per_execution))
