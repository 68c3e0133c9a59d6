"""Every trouble that can be put into a session, and each way to bring it about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from msgspec.structs import replace

from gpuprobe.simulate.spec import Collective, Input, Spec
from tests.lab.cards import CARDS


@dataclass(frozen=True)
class Draw:
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


def _input(draw: Draw) -> Spec:
    parallel = int(draw.one_of(1, 2, 4))
    prefetch = int(draw.one_of(1, 3))
    given = Input(map_ms=draw.whole_ms * parallel, parallel_calls=parallel, prefetch=prefetch)
    return replace(draw.spec, input=given)


def _cold(draw: Draw) -> Spec:
    return replace(draw.spec, input=Input(cache="cold", read_ms=draw.whole_ms, map_ms=0.5))


def _generator(draw: Draw) -> Spec:
    return replace(draw.spec, input=Input(feed="generator", python_ms=draw.whole_ms, prefetch=1))


def _no_prefetch(draw: Draw) -> Spec:
    given = Input(map_ms=draw.extra_ms, parallel_calls=1, prefetch=0)
    return replace(draw.spec, input=given, host=replace(draw.spec.host, sync_every=1))


def _shuffle(draw: Draw) -> Spec:
    return replace(draw.spec, input=Input(shuffle_fill_ms=4 * draw.extra_ms, shuffle_fill_every=4, map_ms=0.5))


def _launch(draw: Draw) -> Spec:
    each_us = 1000 * draw.whole_ms / draw.spec.kernels.count
    wddm = draw.one_of(0, 0, 1)
    host = replace(draw.spec.host, dispatch_us=0.8 * each_us, launch_us=0.2 * each_us)
    if wddm:
        host = replace(host, wddm_batch=16, wddm_submit_us=200.0)
    return replace(draw.spec, host=host)


def _small(draw: Draw) -> Spec:
    return replace(draw.spec, kernels=replace(draw.spec.kernels, sm_fill=1 - draw.share))


def _copy(draw: Draw) -> Spec:
    pinned = bool(draw.one_of(0, 1))
    speed = draw.spec.copies.link_gb_per_s if pinned else draw.spec.copies.pageable_gb_per_s
    mib = draw.whole_ms / 1000 * speed * 1e9 / 2**20
    return replace(draw.spec, copies=replace(draw.spec.copies, batch_mib=mib, pinned=pinned))


def _sync(draw: Draw) -> Spec:
    count = int(draw.one_of(4, 8, 16))
    host = replace(draw.spec.host, syncs_in_step=count, sync_wake_us=1000 * draw.extra_ms / count)
    return replace(draw.spec, host=host)


def _callback(draw: Draw) -> Spec:
    each = bool(draw.one_of(0, 1))
    pause_ms = draw.extra_ms if each else draw.whole_ms
    return replace(draw.spec, host=replace(draw.spec.host, callback_ms=pause_ms, sync_every=int(each)))


def _eager(draw: Draw) -> Spec:
    each_us = 1000 * draw.whole_ms / draw.spec.kernels.count
    return replace(draw.spec, host=replace(draw.spec.host, eager=True, eager_op_us=each_us))


def _compiling(kind: Literal["xla", "retracing"]) -> Callable[[Draw], Spec]:
    def trouble(draw: Draw) -> Spec:
        every = int(draw.one_of(1, 2))
        pause_ms = draw.extra_ms * every
        host = replace(draw.spec.host, compile_every=every, compile_ms=pause_ms, compile_kind=kind, sync_every=1)
        return replace(draw.spec, host=host)

    return trouble


def _float32(draw: Draw) -> Spec:
    card = CARDS[2 + int(draw.random.integers(4))]
    share = min(0.95, 1.5 * draw.share)
    return replace(draw.spec, card=card, kernels=replace(draw.spec.kernels, dtype="float32", matmul_share=share))


def _slow_half(draw: Draw) -> Spec:
    card = CARDS[int(draw.random.integers(2))]
    slowdown = 1 + draw.extra_ms / draw.compute_ms / 0.6
    kernels = replace(draw.spec.kernels, dtype="float16", matmul_share=0.6, fp16_slowdown=slowdown)
    return replace(draw.spec, card=card, kernels=kernels)


def _throttled(draw: Draw) -> Spec:
    reason: Literal["thermal", "power"] = "thermal" if draw.one_of(0, 1) else "power"
    return replace(draw.spec, card=replace(draw.spec.card, clock_fraction=1 - draw.share, throttle_reason=reason))


def _shared(draw: Draw) -> Spec:
    slice_ms = draw.one_of(0.5, 2.0)
    card = replace(draw.spec.card, other_process_share=draw.share, other_process_slice_ms=slice_ms)
    return replace(draw.spec, card=card)


def _link(draw: Draw) -> Spec:
    mib = 0.3 * draw.compute_ms / 1000 * draw.spec.copies.link_gb_per_s * 1e9 / 2**20
    card = replace(draw.spec.card, pcie_fraction=0.3 * draw.compute_ms / draw.whole_ms)
    return replace(draw.spec, card=card, copies=replace(draw.spec.copies, batch_mib=mib))


def _tight(draw: Draw) -> Spec:
    host = replace(draw.spec.host, allocations=8, allocation_us=1000 * draw.whole_ms / 8)
    card = replace(draw.spec.card, memory_used_mib=0.98 * draw.spec.card.memory_mib)
    return replace(draw.spec, host=host, card=card)


def _collective(draw: Draw) -> Spec:
    gpus = int(draw.one_of(2, 4))
    exchange = Collective(gpus=gpus, allreduce_ms=draw.extra_ms, buckets=int(draw.one_of(1, 3)))
    return replace(draw.spec, collective=exchange)


def _straggler(draw: Draw) -> Spec:
    slowdown = 1 + draw.extra_ms / draw.compute_ms
    exchange = Collective(gpus=2, allreduce_ms=0.05 * draw.compute_ms, straggler=1, straggler_slowdown=slowdown)
    return replace(draw.spec, collective=exchange)


def _cpu(draw: Draw) -> Spec:
    return replace(draw.spec, card=replace(draw.spec.card, on_gpu=False))


# --- work of the launching thread, and what is done once ---------------------------------------------------------


def _host_work(draw: Draw) -> Spec:
    pieces = int(draw.one_of(1, 3, max(1, draw.spec.kernels.count // 8)))
    host = replace(draw.spec.host, host_work_ms=draw.whole_ms, host_work_pieces=pieces)
    return replace(draw.spec, host=host)


def _once(kind: Literal["code_loading", "autotuning", "specialising"]) -> Callable[[Draw], Spec]:
    def trouble(draw: Draw) -> Spec:
        shown = 1 if draw.spec.recording.style == "2020" else draw.spec.steps
        call = int(draw.random.integers(shown))
        host = replace(draw.spec.host, once_ms=draw.extra_ms * shown, once_kind=kind, once_call=call)
        return replace(draw.spec, host=host)

    return trouble


# --- what surrounds the steps ------------------------------------------------------------------------------------


def _each_epoch(phase: Literal["epoch_start_ms", "validation_ms", "checkpoint_ms"]) -> Callable[[Draw], Spec]:
    def trouble(draw: Draw) -> Spec:
        steps = int(draw.random.integers(20, 80))
        run = replace(draw.spec.run, steps_per_epoch=steps, **{phase: draw.extra_ms * steps})
        return replace(draw.spec, run=run)

    return trouble


def _startup(draw: Draw) -> Spec:
    startup_s, epochs = float(draw.random.uniform(20, 200)), int(draw.random.integers(2, 12))
    steps = max(2, round(1000 * startup_s / draw.extra_ms / epochs))
    first_s = float(draw.random.uniform(0, 4))
    run = replace(draw.spec.run, steps_per_epoch=steps, epochs=epochs, startup_s=startup_s, first_call_s=first_s)
    return replace(draw.spec, run=run)


# What can be put in: the cause that it should come out as, and each way to bring it about. New ones come last, so that
# the sessions of a seed stay what they were.
TROUBLES: dict[str, tuple[Callable[[Draw], Spec], ...]] = {
    "batch_too_small": (_small,),
    "collective_bound": (_collective,),
    "copy_bound": (_copy,),
    "eager_or_retracing": (_eager, _compiling("retracing")),
    "fp16_without_tensor_cores": (_slow_half,),
    "gpu_memory_tight": (_tight,),
    "gpu_shared": (_shared,),
    "host_between_steps": (_callback,),
    "input_bound": (_input, _cold, _generator, _no_prefetch, _shuffle),
    "launch_bound": (_launch,),
    "not_on_gpu": (_cpu,),
    "pcie_degraded": (_link,),
    "recompiling": (_compiling("xla"),),
    "straggler": (_straggler,),
    "sync_every_step": (_sync,),
    "tensor_cores_unused": (_float32,),
    "throttled": (_throttled,),
    "host_work": (_host_work,),
    "one_time_work": (_once("code_loading"), _once("autotuning"), _once("specialising")),
    "epoch_start": (_each_epoch("epoch_start_ms"),),
    "validation": (_each_epoch("validation_ms"),),
    "checkpointing": (_each_epoch("checkpoint_ms"),),
    "startup": (_startup,),
}
