"""The demo's simulated study: ResNet20 on a laptop's GTX 1060 under Windows, batch 32, 170 s an epoch, GPU at 20 %.

The figures are chosen so that the baseline resembles a student's real training: 109 ms a step, in which kernels run for
about 21 ms. How the other 88 ms divide was never measured. Here most of them are spent launching some 600 small kernels
one by one, and many on preparing batches in Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from gpuprobe.records import applied
from gpuprobe.simulate import fixes
from gpuprobe.simulate.sessions import Member, StudyInProgress
from gpuprobe.simulate.spec import Card, Copies, Host, Input, Kernels, Recording, Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gpuprobe.records import Combination, StrategyInfo

TRACED_STEPS = 6
# Time of a batch on one core of a laptop: augmented by numpy in Python, and scaled by a map function.
AUGMENT_MS, SCALE_MS = 85.0, 14.0
# GPU memory of the training: a fixed part, and a part for each sample of a batch.
HELD_MIB, SAMPLE_MIB = 250.0, 2.4
LARGE = 8

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
        memory_used_mib=HELD_MIB + 32 * SAMPLE_MIB,
        power_limit_w=80.0,
    ),
    # 248.7 MFLOP for each sample: ResNet20 forward and backward, as TensorFlow counts it.
    kernels=Kernels(
        count=600, mean_us=35.0, fixed_us=3.0, sm_fill=0.5, matmul_share=0.45, dtype="float32", mflop_per_sample=248.7
    ),
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


class Choose(Protocol):
    """A search's choice of what to measure next, for a strategy that combines others."""

    def __call__(self, folder: Path, strategy: str) -> Combination | None:
        """Return what to combine next, by the runs in the study's folder; None where the search has ended."""


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


def _large_batch(spec: Spec) -> Spec:
    larger = fixes.batch_times(spec, LARGE)
    return replace(larger, card=replace(larger.card, memory_used_mib=HELD_MIB + larger.batch_size * SAMPLE_MIB))


# How each strategy changes the spec of the one it is compared with. A strategy that is not here is not simulated. Where
# a search chooses a size, it is the second argument.
CHANGES: dict[str, Callable[..., Spec]] = {
    "python_feed": lambda spec: spec,
    "numpy": _numpy,
    "generator": _generator,
    "tfdata": _tfdata,
    "tfdata_parallel": fixes.parallel_map,
    "tfdata_prefetch": fixes.prefetch,
    "tfdata_cache_prefetch": _cached,
    "device_resident": _resident,
    "mixed_precision": fixes.fp16,
    "xla": fixes.launches_fused,
    "steps_per_execution": fixes.steps_per_execution,
    "large_batch": _large_batch,
}


def specs(strategies: Sequence[StrategyInfo]) -> dict[str, Spec]:
    """Return the spec of each of these strategies that the demo simulates, without those that combine others."""
    demo_specs: dict[str, Spec] = {}
    for info in strategies:
        if info.name in CHANGES and not info.combines:
            demo_specs[info.name] = CHANGES[info.name](demo_specs.get(info.against or "", BASELINE))
    return demo_specs


def write(
    folder: Path,
    strategies: Sequence[StrategyInfo],
    choose: Choose,
    *,
    rounds: int,
    changes: Sequence[StrategyInfo] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Write the demo's study into a folder in the order of `gpuprobe run`: rounds of all strategies, then the searches.

    `choose` returns what a search tries next, None to end it. `changes` are what it may try beside the strategies' own.
    `tell` is called with the name of each run before it.
    """
    sessions = specs(strategies)
    strategies_shown = [info for info in strategies if info.name in sessions or info.combines]
    study = StudyInProgress(folder, strategies_shown, BASELINE, rounds=rounds, command="gpuprobe demo", changes=changes)
    for number in range(1, rounds + 1):
        for info in strategies_shown:
            if not info.combines:
                tell(f"{info.name}, round {number} of {rounds}")
                study.measure(Member(info=info, spec=_short(sessions[info.name], info.name)), number)
    infos = {info.name: info for info in (*strategies, *changes)}
    for info in strategies_shown:
        while info.combines and (chosen := choose(folder, info.name)) is not None:
            spec = BASELINE
            for change in applied(infos, chosen.start, chosen.changes):
                name, _, size = change.partition("=")
                spec = CHANGES[name](spec, int(size)) if size else CHANGES[name](spec)
            tell(f"{info.name}, step {chosen.step} of its search")
            study.measure(Member(info=info, spec=_short(spec, info.name), combined=chosen), rounds)


def _short(spec: Spec, name: str) -> Spec:
    """Keep the number of traced steps where a call runs several."""
    return replace(spec, name=name, steps=max(2, TRACED_STEPS // spec.host.steps_per_execution))
