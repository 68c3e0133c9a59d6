"""Writes a whole study to disk whose truth is what was asked for: step times, how they spread, how busy the GPU was.

There are no traces in it; `sessions.py` simulates the sessions themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.records import GpuInfo, Scale, State, StrategyInfo, Study
from gpuprobe.simulate import recordings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class SimulatedStrategy:
    """The truth about one strategy: its step time with the relative spread of single steps, and its GPU's load."""

    name: str
    step_ms: float
    against: str | None = None
    change: str = "one thing"
    spread: float = 0.03
    batch_size: int = 32
    busy_percent: float = 20.0
    power_w: float = 60.0
    loss_offset: float = 0.0
    dtype_policy: str = "float32"
    state: State = "done"
    scale: Scale | None = None
    gradients_mib: float | None = None


def simulate_study(
    folder: Path,
    strategies: Sequence[SimulatedStrategy],
    *,
    rounds: int = 2,
    window_s: float = 10.0,
    gpu: bool = True,
    drift: Sequence[float] = (),
    seed: int = 0,
) -> Study:
    """Write a study into an empty folder and return its record. `drift` slows all steps of a round by a factor."""
    random = np.random.default_rng(seed)
    card = GpuInfo(index=0, name="NVIDIA GeForce GTX 1060 3GB", compute_capability="6.1", memory_mib=3072.0)
    study = recordings.study_record(
        folder.name,
        recordings.environment([card] if gpu else []),
        [_info(strategy) for strategy in strategies],
        rounds=rounds,
        batch_size=32,
        command="gpuprobe simulate",
    )
    recordings.save_study(study, folder)
    clock_ns = recordings.START_NS
    for number in range(1, rounds + 1):
        factor = drift[number - 1] if drift else 1.0
        for strategy in strategies:
            run = _run(strategy, number, window_s, factor, random, gpu=gpu)
            clock_ns = recordings.save_run(run, folder, clock_ns, random)
    return study


def _info(strategy: SimulatedStrategy) -> StrategyInfo:
    return StrategyInfo(
        name=strategy.name,
        sentence=f"Simulated steps of {strategy.step_ms:g} ms.",
        against=strategy.against,
        change=strategy.change,
        scale=strategy.scale,
    )


def _run(
    strategy: SimulatedStrategy, number: int, window_s: float, drift: float, random: np.random.Generator, *, gpu: bool
) -> recordings.SimulatedRun:
    step_ms = strategy.step_ms * drift
    count = max(2, round(1000 * window_s / step_ms))
    return recordings.SimulatedRun(
        strategy=strategy.name,
        number=number,
        settings=recordings.settings(
            device="/device:GPU:0" if gpu else "/device:CPU:0",
            batch_size=strategy.batch_size,
            dtype_policy=strategy.dtype_policy,
            compute_dtype="float32",
            trainable_mib=strategy.gradients_mib,
            replicas=strategy.scale.replicas if strategy.scale else 1,
        ),
        call_ms=step_ms * np.abs(1 + strategy.spread * random.standard_normal(count)),
        columns=_columns(strategy, random, gpu=gpu),
        state=strategy.state,
        loss_offset=strategy.loss_offset,
        device_peak_mib=700.0 if gpu else None,
    )


def _columns(
    strategy: SimulatedStrategy, random: np.random.Generator, *, gpu: bool
) -> dict[str, Callable[[float], float]]:
    columns: dict[str, Callable[[float], float]] = {
        "tree_cpu_s": lambda seconds: 1.2 * seconds,
        "tree_memory_mib": lambda _seconds: 1400.0,
        "core0_busy_s": lambda seconds: seconds,
    }
    if gpu:
        columns |= {
            "gpu0_utilization_percent": lambda _seconds: float(
                np.clip(strategy.busy_percent + 3 * random.standard_normal(), 0, 100)
            ),
            "gpu0_power_w": lambda _seconds: strategy.power_w,
            "gpu0_sm_clock_mhz": lambda _seconds: 1700.0,
            "gpu0_memory_used_mib": lambda _seconds: 900.0,
            "gpu0_temperature_c": lambda _seconds: 61.0,
            "gpu0_energy_j": lambda seconds: strategy.power_w * seconds,
        }
    return columns


# The story on a card that waits: a plain feed at 109 ms a step, of which half goes when the data lies on the device.
STORY = (
    SimulatedStrategy(name="python_feed", step_ms=109.0, busy_percent=19.0),
    SimulatedStrategy(name="numpy", step_ms=80.0, against="python_feed", busy_percent=26.0),
    SimulatedStrategy(name="tfdata_cache_prefetch", step_ms=60.0, against="numpy", busy_percent=35.0),
    SimulatedStrategy(name="device_resident", step_ms=54.5, against="tfdata_cache_prefetch", busy_percent=38.0),
    SimulatedStrategy(name="xla", step_ms=40.0, against="tfdata_cache_prefetch", busy_percent=50.0),
)
