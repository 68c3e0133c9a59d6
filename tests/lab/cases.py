"""At least 240 sessions over all causes, severities, cards and mixes; a quarter is healthy or cannot be answered.

A case says what was put in; what is true of it, the simulator says (`truth.tell`), since two troubles can tie.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from msgspec.structs import replace

from gpuprobe.simulate.spec import Card, Collective, Copies, Host, Input, Kernels, Recording, Spec

Kind = Literal["trouble", "mix", "healthy", "unusual", "unanswerable"]
# The share of the step that a trouble is meant to cost.
SEVERITIES = (0.35, 0.55, 0.8)
CARDS = (
    Card(name="NVIDIA GeForce GTX 1060 3GB", compute_capability="6.1", sm_count=9, clock_mhz=1708, memory_mib=3072),
    Card(name="Tesla P100-PCIE-16GB", compute_capability="6.0", sm_count=56, clock_mhz=1328, memory_mib=16280),
    Card(name="Tesla V100-SXM2-16GB", compute_capability="7.0", sm_count=80, clock_mhz=1530, memory_mib=16160),
    Card(name="Tesla T4", compute_capability="7.5", sm_count=40, clock_mhz=1590, memory_mib=15109, power_limit_w=70),
    Card(name="NVIDIA GeForce RTX 3060", compute_capability="8.6", sm_count=28, clock_mhz=1777, memory_mib=12288),
    Card(name="NVIDIA A100-SXM4-40GB", compute_capability="8.0", sm_count=108, clock_mhz=1410, memory_mib=40536),
)
# Older and newer ones, one without Tensor Cores that is of 7.5, one that is a part of another.
UNUSUAL_CARDS = (
    Card(name="Tesla K80", compute_capability="3.7", sm_count=13, clock_mhz=875, memory_mib=11441),
    Card(name="Tesla M60", compute_capability="5.2", sm_count=16, clock_mhz=1178, memory_mib=8129),
    Card(name="NVIDIA GeForce GTX 1650", compute_capability="7.5", sm_count=14, clock_mhz=1665, memory_mib=4096),
    Card(name="NVIDIA A100-SXM4-40GB MIG 1g.5gb", compute_capability="8.0", sm_count=14, clock_mhz=1410),
    Card(name="NVIDIA GeForce RTX 4090", compute_capability="8.9", sm_count=128, clock_mhz=2520, memory_mib=24564),
    Card(name="NVIDIA H100 80GB HBM3", compute_capability="9.0", sm_count=132, clock_mhz=1980, memory_mib=81559),
)


@dataclass(frozen=True)
class Case:
    """One session: `kind` and `put_in` say what it was made for."""

    name: str
    kind: Kind
    put_in: str
    spec: Spec


@dataclass(frozen=True)
class _Draw:
    """What a trouble is made from: `compute_ms` is a healthy step's kernels, `extra_ms` what the trouble should add."""

    spec: Spec
    share: float
    random: np.random.Generator

    @property
    def compute_ms(self) -> float:
        return self.spec.kernels.count * self.spec.kernels.mean_us / 1000

    @property
    def extra_ms(self) -> float:
        return self.share / (1 - self.share) * self.compute_ms

    @property
    def whole_ms(self) -> float:
        """The length of something that runs beside the kernels, so that the step becomes so much longer."""
        return self.compute_ms + self.extra_ms

    def one_of(self, *values: float) -> float:
        return values[int(self.random.integers(len(values)))]


def _input(draw: _Draw) -> Spec:
    parallel = int(draw.one_of(1, 2, 4))
    prefetch = int(draw.one_of(1, 3))
    given = Input(map_ms=draw.whole_ms * parallel, parallel_calls=parallel, prefetch=prefetch)
    return replace(draw.spec, input=given)


def _cold(draw: _Draw) -> Spec:
    return replace(draw.spec, input=Input(cache="cold", read_ms=draw.whole_ms, map_ms=0.5))


def _generator(draw: _Draw) -> Spec:
    return replace(draw.spec, input=Input(feed="generator", python_ms=draw.whole_ms, prefetch=1))


def _no_prefetch(draw: _Draw) -> Spec:
    given = Input(map_ms=draw.extra_ms, parallel_calls=1, prefetch=0)
    return replace(draw.spec, input=given, host=replace(draw.spec.host, sync_every=1))


def _shuffle(draw: _Draw) -> Spec:
    return replace(draw.spec, input=Input(shuffle_fill_ms=4 * draw.extra_ms, shuffle_fill_every=4, map_ms=0.5))


def _launch(draw: _Draw) -> Spec:
    each_us = 1000 * draw.whole_ms / draw.spec.kernels.count
    wddm = draw.one_of(0, 0, 1)
    host = replace(draw.spec.host, dispatch_us=0.8 * each_us, launch_us=0.2 * each_us)
    if wddm:
        host = replace(host, wddm_batch=16, wddm_submit_us=200.0)
    return replace(draw.spec, host=host)


def _small(draw: _Draw) -> Spec:
    return replace(draw.spec, kernels=replace(draw.spec.kernels, sm_fill=1 - draw.share))


def _copy(draw: _Draw) -> Spec:
    pinned = bool(draw.one_of(0, 1))
    speed = draw.spec.copies.link_gb_per_s if pinned else draw.spec.copies.pageable_gb_per_s
    mib = draw.whole_ms / 1000 * speed * 1e9 / 2**20
    return replace(draw.spec, copies=replace(draw.spec.copies, batch_mib=mib, pinned=pinned))


def _sync(draw: _Draw) -> Spec:
    count = int(draw.one_of(4, 8, 16))
    host = replace(draw.spec.host, syncs_in_step=count, sync_wake_us=1000 * draw.extra_ms / count)
    return replace(draw.spec, host=host)


def _callback(draw: _Draw) -> Spec:
    each = bool(draw.one_of(0, 1))
    pause_ms = draw.extra_ms if each else draw.whole_ms
    return replace(draw.spec, host=replace(draw.spec.host, callback_ms=pause_ms, sync_every=int(each)))


def _eager(draw: _Draw) -> Spec:
    each_us = 1000 * draw.whole_ms / draw.spec.kernels.count
    return replace(draw.spec, host=replace(draw.spec.host, eager=True, eager_op_us=each_us))


def _compiling(kind: Literal["xla", "retracing"]) -> Callable[[_Draw], Spec]:
    def trouble(draw: _Draw) -> Spec:
        every = int(draw.one_of(1, 2))
        pause_ms = draw.extra_ms * every
        host = replace(draw.spec.host, compile_every=every, compile_ms=pause_ms, compile_kind=kind, sync_every=1)
        return replace(draw.spec, host=host)

    return trouble


def _float32(draw: _Draw) -> Spec:
    card = CARDS[2 + int(draw.random.integers(4))]
    share = min(0.95, 1.5 * draw.share)
    return replace(draw.spec, card=card, kernels=replace(draw.spec.kernels, dtype="float32", matmul_share=share))


def _slow_half(draw: _Draw) -> Spec:
    card = CARDS[int(draw.random.integers(2))]
    slowdown = 1 + draw.extra_ms / draw.compute_ms / 0.6
    kernels = replace(draw.spec.kernels, dtype="float16", matmul_share=0.6, fp16_slowdown=slowdown)
    return replace(draw.spec, card=card, kernels=kernels)


def _throttled(draw: _Draw) -> Spec:
    reason: Literal["thermal", "power"] = "thermal" if draw.one_of(0, 1) else "power"
    return replace(draw.spec, card=replace(draw.spec.card, clock_fraction=1 - draw.share, throttle_reason=reason))


def _shared(draw: _Draw) -> Spec:
    slice_ms = draw.one_of(0.5, 2.0)
    card = replace(draw.spec.card, other_process_share=draw.share, other_process_slice_ms=slice_ms)
    return replace(draw.spec, card=card)


def _link(draw: _Draw) -> Spec:
    mib = 0.3 * draw.compute_ms / 1000 * draw.spec.copies.link_gb_per_s * 1e9 / 2**20
    card = replace(draw.spec.card, pcie_fraction=0.3 * draw.compute_ms / draw.whole_ms)
    return replace(draw.spec, card=card, copies=replace(draw.spec.copies, batch_mib=mib))


def _tight(draw: _Draw) -> Spec:
    host = replace(draw.spec.host, allocations=8, allocation_us=1000 * draw.whole_ms / 8)
    card = replace(draw.spec.card, memory_used_mib=0.98 * draw.spec.card.memory_mib)
    return replace(draw.spec, host=host, card=card)


def _collective(draw: _Draw) -> Spec:
    gpus = int(draw.one_of(2, 4))
    exchange = Collective(gpus=gpus, allreduce_ms=draw.extra_ms, buckets=int(draw.one_of(1, 3)))
    return replace(draw.spec, collective=exchange)


def _straggler(draw: _Draw) -> Spec:
    slowdown = 1 + draw.extra_ms / draw.compute_ms
    exchange = Collective(gpus=2, allreduce_ms=0.05 * draw.compute_ms, straggler=1, straggler_slowdown=slowdown)
    return replace(draw.spec, collective=exchange)


def _cpu(draw: _Draw) -> Spec:
    return replace(draw.spec, card=replace(draw.spec.card, on_gpu=False))


# What can be put in: the cause that it should come out as, and each way to bring it about.
TROUBLES: dict[str, tuple[Callable[[_Draw], Spec], ...]] = {
    "input_bound": (_input, _cold, _generator, _no_prefetch, _shuffle),
    "launch_bound": (_launch,),
    "batch_too_small": (_small,),
    "copy_bound": (_copy,),
    "sync_every_step": (_sync,),
    "host_between_steps": (_callback,),
    "eager_or_retracing": (_eager, _compiling("retracing")),
    "recompiling": (_compiling("xla"),),
    "tensor_cores_unused": (_float32,),
    "fp16_without_tensor_cores": (_slow_half,),
    "throttled": (_throttled,),
    "pcie_degraded": (_link,),
    "gpu_shared": (_shared,),
    "gpu_memory_tight": (_tight,),
    "collective_bound": (_collective,),
    "straggler": (_straggler,),
    "not_on_gpu": (_cpu,),
}
# Troubles that leave idle time that the trace alone can explain: without its host threads nobody can.
IDLE = ("input_bound", "launch_bound", "sync_every_step", "host_between_steps", "gpu_memory_tight")
# Those that can be laid over any other.
SECOND = ("input_bound", "host_between_steps", "launch_bound", "copy_bound", "sync_every_step")
EACH, MIXES, HEALTHY, UNUSUAL, UNANSWERABLE = 9, 30, 42, 20, 27


def cases(seed: int = 0) -> list[Case]:
    """Return all sessions of the lab; another seed gives as many others of the same kinds."""
    found = [_trouble(cause, number, seed) for cause in TROUBLES for number in range(EACH)]
    found += [_mix(number, seed) for number in range(MIXES)]
    found += [_healthy(number, seed) for number in range(HEALTHY)]
    found += [_unusual(number, seed) for number in range(UNUSUAL)]
    found += [_unanswerable(number, seed) for number in range(UNANSWERABLE)]
    return found


def _base(random: np.random.Generator, name: str) -> Spec:
    """Draw a healthy session: a network, a card, noise, and now and then a recording that is not whole."""
    card = CARDS[int(random.integers(len(CARDS)))]
    card = replace(card, memory_used_mib=float(random.uniform(0.2, 0.7)) * card.memory_mib)
    kernels = Kernels(
        count=int(random.integers(30, 120)),
        mean_us=float(random.uniform(40, 250)),
        spread=float(random.uniform(0.3, 1.2)),
        sm_fill=float(random.uniform(1.2, 6)),
        matmul_share=float(random.uniform(0.1, 0.5)),
        dtype="float16" if float(card.compute_capability) >= 7 else "float32",
    )
    recording = Recording(
        dropped_share=float(random.choice([0.0, 0.0, 0.0, 0.02])),
        telemetry=bool(random.random() > 0.1),
        style="2020" if random.random() < 0.1 else "current",
        window_s=3.0,
    )
    return Spec(
        name=name,
        seed=int(random.integers(2**31)),
        noise=float(random.uniform(0.01, 0.08)),
        batch_size=int(2 ** random.integers(4, 9)),
        steps=4,
        card=card,
        kernels=kernels,
        host=Host(callback_ms=float(random.uniform(0.01, 0.1)), queue_depth=256),
        input=Input(map_ms=float(random.uniform(0.1, 1.0)), prefetch=2),
        copies=Copies(batch_mib=float(random.uniform(0.1, 2.0))),
        recording=recording,
    )


def _put_in(spec: Spec, cause: str, share: float, number: int, random: np.random.Generator) -> Spec:
    ways = TROUBLES[cause]
    return ways[number % len(ways)](_Draw(spec, share, random))


def _trouble(cause: str, number: int, seed: int) -> Case:
    random = np.random.default_rng([seed, sorted(TROUBLES).index(cause), number])
    name = f"{cause}-{number}"
    spec = _put_in(_base(random, name), cause, SEVERITIES[number % len(SEVERITIES)], number, random)
    return Case(name, "trouble", cause, spec)


def _mix(number: int, seed: int) -> Case:
    random = np.random.default_rng([seed, 100, number])
    first, second = (str(cause) for cause in random.choice(SECOND, 2, replace=False))
    name = f"mix-{number}-{first}-{second}"
    spec = _put_in(_base(random, name), second, 0.15, 0, random)
    return Case(name, "mix", first, _put_in(spec, first, 0.7, 0, random))


def _healthy(number: int, seed: int) -> Case:
    random = np.random.default_rng([seed, 101, number])
    name = f"healthy-{number}"
    return Case(name, "healthy", "compute_bound", _base(random, name))


def _unusual(number: int, seed: int) -> Case:
    """Draw a trouble in a session unlike the others: in its card, its step's length, its streams, and its recording."""
    random = np.random.default_rng([seed, 103, number])
    cause = sorted(TROUBLES)[number % len(TROUBLES)]
    name = f"unusual-{number}-{cause}"
    base = _base(random, name)
    card = UNUSUAL_CARDS[int(random.integers(len(UNUSUAL_CARDS)))]
    kernels = replace(
        base.kernels,
        count=int(random.integers(6, 60)),
        mean_us=base.kernels.mean_us * float(random.choice([0.6, 1.0, 8.0])),
        streams=int(random.choice([1, 2, 4])),
        dtype="float16" if float(card.compute_capability) >= 7 else "float32",
    )
    recording = Recording(
        step_markers=bool(random.random() < 0.5),
        nvml_period_s=float(random.choice([1 / 6, 1.0])),
        dropped_share=float(random.choice([0.0, 0.04])),
        window_s=4.0,
    )
    spec = replace(
        base,
        noise=float(random.uniform(0.0, 0.15)),
        steps=int(random.integers(2, 4)),
        card=replace(card, memory_used_mib=0.5 * card.memory_mib),
        kernels=kernels,
        host=replace(base.host, steps_per_execution=int(random.choice([1, 1, 4]))),
        recording=recording,
    )
    return Case(name, "unusual", cause, _put_in(spec, cause, SEVERITIES[number % len(SEVERITIES)], number, random))


def _unanswerable(number: int, seed: int) -> Case:
    random = np.random.default_rng([seed, 102, number])
    cause = IDLE[number % len(IDLE)]
    name = f"unanswerable-{number}-{cause}"
    spec = _put_in(_base(random, name), cause, 0.6, 0, random)
    blind = (
        replace(spec.recording, host_events=False, correlated=False),
        replace(spec.recording, trace=False, telemetry=bool(number % 2)),
        replace(spec.recording, dropped_share=0.6),
    )[number % 3]
    return Case(name, "unanswerable", cause, replace(spec, recording=blind))
