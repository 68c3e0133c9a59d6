"""Simulated sessions for the what-if benchmark: every cause, in random sizes, on random cards."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from gpuprobe.simulate.spec import Card, Collective, Copies, Host, Input, Kernels, Recording, Spec

CARDS = (
    Card(name="NVIDIA GeForce GTX 1060 3GB", compute_capability="6.1", sm_count=9, clock_mhz=1708.0),
    Card(name="NVIDIA GeForce GTX 1080 Ti", compute_capability="6.1", sm_count=28, clock_mhz=1582.0),
    Card(name="Tesla V100-SXM2-16GB", compute_capability="7.0", sm_count=80, clock_mhz=1530.0),
    Card(name="Tesla T4", compute_capability="7.5", sm_count=40, clock_mhz=1590.0),
    Card(name="NVIDIA GeForce RTX 3090", compute_capability="8.6", sm_count=82, clock_mhz=1695.0),
)
CAUSES = (
    "healthy",
    "tensor_cores_unused",
    "launch_bound",
    "wddm",
    "batch_too_small",
    "inline_map",
    "slow_map",
    "generator",
    "python_feed",
    "copy_bound",
    "pageable",
    "sync_every_step",
    "host_between_steps",
    "eager",
    "recompiling",
    "several_steps",
    "several_gpus",
    "on_the_cpu",
    "trace_of_2020",
)


def session(number: int) -> tuple[str, Spec]:
    """Return the cause of session `number` and its spec."""
    random = np.random.default_rng(1000 + number)
    cause = CAUSES[number % len(CAUSES)]
    base = Spec(
        seed=number,
        noise=float(random.uniform(0.0, 0.06)),
        steps=int(random.integers(4, 10)),
        card=CARDS[int(random.integers(len(CARDS)))],
        kernels=Kernels(
            count=int(random.integers(80, 700)),
            mean_us=float(random.uniform(40, 200)),
            sm_fill=float(random.uniform(0.6, 4.0)),
            matmul_share=float(random.uniform(0.2, 0.6)),
            dtype="float32",
        ),
        host=Host(
            dispatch_us=float(random.uniform(4, 12)),
            callback_ms=float(random.uniform(0.1, 0.5)),
            profiler_us=float(random.uniform(0, 0.6)),
        ),
        input=Input(map_ms=float(random.uniform(1, 4)), batch_ms=0.3),
        copies=Copies(batch_mib=float(random.uniform(0.3, 3.0))),
    )
    return cause, _with(cause, base, random)


def _with(cause: str, base: Spec, random: np.random.Generator) -> Spec:
    step_ms = base.kernels.count * base.kernels.mean_us / 1000
    share = float(random.uniform(0.4, 2.5))
    tiny = replace(base.kernels, mean_us=float(random.uniform(3, 9)), sm_fill=float(random.uniform(0.05, 0.5)))
    cost_ms = share * step_ms
    changes = {
        "healthy": {"kernels": replace(base.kernels, dtype="float16")},
        "tensor_cores_unused": {"card": CARDS[2 + int(random.integers(3))]},
        "launch_bound": {"kernels": tiny},
        "wddm": {
            "kernels": tiny,
            "host": replace(base.host, wddm_batch=int(random.integers(8, 48)), wddm_submit_us=90.0),
        },
        "batch_too_small": {"kernels": replace(base.kernels, mean_us=25.0, sm_fill=float(random.uniform(0.05, 0.4)))},
        "inline_map": {"input": Input(map_ms=cost_ms, prefetch=0, parallel_calls=1)},
        "slow_map": {"input": Input(map_ms=step_ms + cost_ms, prefetch=2, parallel_calls=1)},
        "generator": {
            "input": Input(feed="generator", python_ms=step_ms + cost_ms, prefetch=int(random.integers(0, 3)))
        },
        "python_feed": {"input": Input(feed="python", python_ms=step_ms + cost_ms)},
        "copy_bound": {"copies": Copies(batch_mib=cost_ms * 12e6 / 2**20)},
        "pageable": {"copies": Copies(batch_mib=cost_ms * 4e6 / 2**20, pinned=False)},
        "sync_every_step": {"host": replace(base.host, sync_every=1, syncs_in_step=int(random.integers(0, 12)))},
        "host_between_steps": {
            "host": replace(base.host, callback_ms=step_ms + cost_ms, sync_every=int(random.integers(2)))
        },
        "eager": {"kernels": tiny, "host": replace(base.host, eager=True, eager_op_us=float(random.uniform(30, 80)))},
        "recompiling": {"host": replace(base.host, compile_every=2, compile_ms=4 * cost_ms)},
        "several_steps": {"kernels": tiny, "host": replace(base.host, steps_per_execution=4)},
        "several_gpus": {"collective": Collective(gpus=2, allreduce_ms=cost_ms / 4, buckets=4)},
        "on_the_cpu": {
            "card": replace(base.card, on_gpu=False),
            "input": Input(map_ms=8 * cost_ms, prefetch=int(random.integers(2)), parallel_calls=1),
        },
        "trace_of_2020": {
            "kernels": tiny,
            "host": replace(base.host, sync_every=1),
            "recording": Recording(style="2020"),
        },
    }
    return replace(base, **changes[cause])
