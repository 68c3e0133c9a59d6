"""Writes a whole study to disk, as `gpuprobe run` would have: records, events of time, telemetry with a GPU.

Its truth is what it was asked for: the step time of each strategy, how far steps spread, how busy the GPU was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.recording import RUN_FILE, STUDY_FILE, TELEMETRY_FILE, run_folder
from gpuprobe.records import (
    Environment,
    GpuInfo,
    LossPoint,
    Outcome,
    Phase,
    Request,
    Run,
    RunSpec,
    Settings,
    State,
    StrategyInfo,
    Study,
    TraceInfo,
    save,
)
from gpuprobe.telemetry.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

START_NS = 1_700_000_000_000_000_000
WARMUP_S, TICK_S = 6.0, 0.05
GPU_COLUMNS = ("utilization_percent", "power_w", "sm_clock_mhz", "memory_used_mib", "temperature_c", "energy_j")
CORES = 8


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
    study = _study(folder.name, strategies, rounds, gpu=gpu)
    save(study, folder / STUDY_FILE)
    clock_ns = START_NS
    for number in range(1, rounds + 1):
        factor = drift[number - 1] if drift else 1.0
        for strategy in strategies:
            path = run_folder(folder, number, strategy.name)
            path.mkdir(parents=True)
            run = _run(strategy, number, clock_ns, window_s, factor, random, gpu=gpu)
            save(run, path / RUN_FILE)
            _telemetry(path / TELEMETRY_FILE, strategy, run, random, gpu=gpu)
            clock_ns = run.phases[-1].end_ns
    return study


def _study(name: str, strategies: Sequence[SimulatedStrategy], rounds: int, *, gpu: bool) -> Study:
    card = GpuInfo(index=0, name="NVIDIA GeForce GTX 1060 3GB", compute_capability="6.1", memory_mib=3072.0)
    environment = Environment(
        system="simulated",
        python="none",
        cpu="simulated processor",
        cores=CORES,
        memory_mib=16384.0,
        versions={},
        gpus=(card,) if gpu else (),
        driver="550.54" if gpu else "",
        cuda="12.4" if gpu else "",
        no_gpu=None if gpu else "none was simulated",
        simulated=True,
    )
    infos = tuple(
        StrategyInfo(
            name=strategy.name,
            sentence=f"Simulated steps of {strategy.step_ms:g} ms.",
            against=strategy.against,
            change=strategy.change,
        )
        for strategy in strategies
    )
    return Study(
        name=name,
        created_ns=START_NS,
        command="gpuprobe simulate",
        environment=environment,
        workload="ResNet20 on simulated images",
        data_name="simulated images",
        data_source="No images: the steps are simulated.",
        batch_size=32,
        train_samples=50_000,
        epoch_samples=50_000,
        strategies=infos,
        request=Request(rounds=rounds, budget_s=600.0, batch_size=32, seed=0),
    )


def _run(
    strategy: SimulatedStrategy,
    number: int,
    start_ns: int,
    window_s: float,
    drift: float,
    random: np.random.Generator,
    *,
    gpu: bool,
) -> Run:
    step_s = strategy.step_ms / 1000 * drift
    count = max(2, round(window_s / step_s))
    durations_ns = 1e9 * step_s * np.abs(1 + strategy.spread * random.standard_normal(count))
    window_ns = start_ns + round(WARMUP_S * 1e9)
    ends = tuple((window_ns + durations_ns.cumsum()).astype(np.int64).tolist())
    warmup = Phase(name="warmup", start_ns=start_ns, end_ns=window_ns, call_ends_ns=(window_ns - 10**9, window_ns))
    window = Phase(name="window", start_ns=window_ns, end_ns=ends[-1], call_ends_ns=ends)
    samples = np.linspace(strategy.batch_size, strategy.batch_size * count, 40).astype(int)
    falling = 2.3 * np.exp(-samples / 20_000) + strategy.loss_offset + 0.01 * random.standard_normal(40)
    spec = RunSpec(strategy=strategy.name, round=number, seed=0, batch_size=strategy.batch_size)
    settings = Settings(
        device="/device:GPU:0" if gpu else "/device:CPU:0",
        dtype_policy=strategy.dtype_policy,
        compute_dtype="float32",
        jit_compile=False,
        batch_size=strategy.batch_size,
        feed_dtype="float32",
        steps_per_execution=1,
        optimizer="Adam",
        intra_op_threads=CORES,
        inter_op_threads=CORES,
        onednn=False,
        tf32=False,
    )
    return Run(
        spec=spec,
        outcome=Outcome(state=strategy.state),
        settings=settings,
        phases=(warmup, window),
        losses=tuple(
            LossPoint(samples=seen, loss=loss) for seen, loss in zip(samples.tolist(), falling.tolist(), strict=True)
        ),
        trace=TraceInfo(path=None, missing="simulated studies hold no trace"),
        host_peak_mib=1500.0,
        device_peak_mib=700.0 if gpu else None,
    )


def _telemetry(path: Path, strategy: SimulatedStrategy, run: Run, random: np.random.Generator, *, gpu: bool) -> None:
    gpu_columns = [f"gpu0_{name}" for name in GPU_COLUMNS] if gpu else []
    writer = Writer(
        path, ["tree_cpu_s", "tree_memory_mib", *(f"core{core}_busy_s" for core in range(CORES)), *gpu_columns]
    )
    start_ns, end_ns = run.phases[0].start_ns, run.phases[-1].end_ns
    for tick, t_ns in enumerate(range(start_ns, end_ns, round(TICK_S * 1e9))):
        seconds = tick * TICK_S
        values = {"tree_cpu_s": 1.2 * seconds, "tree_memory_mib": 1400.0, "core0_busy_s": seconds}
        if gpu:
            busy = float(np.clip(strategy.busy_percent + 3 * random.standard_normal(), 0, 100))
            measured = (busy, strategy.power_w, 1700.0, 900.0, 61.0, strategy.power_w * seconds)
            values |= dict(zip(gpu_columns, measured, strict=True))
        writer.row(t_ns, values, "")
