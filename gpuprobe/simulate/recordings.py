"""Writes simulated runs as `gpuprobe run` writes measured ones; everything simulated reaches the disk here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.recording import RUN_FILE, STUDY_FILE, TELEMETRY_FILE, TRACE_FOLDER, run_folder
from gpuprobe.records import (
    Combination,
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
    Wall,
    WallPart,
    save,
)
from gpuprobe.simulate import readings, xplane
from gpuprobe.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from gpuprobe.simulate.session import Session

START_NS = 1_700_000_000_000_000_000
WARMUP_S = 6.0
CORES = 8
SAMPLES = 50_000
# The simulated loss falls to 1/e in so many updates; with a larger batch the same samples give fewer updates.
LOSS_UPDATES = 625


@dataclass(frozen=True, kw_only=True)
class SimulatedRun:
    """The content of one run's recording.

    `call_ms` are the lengths of the timed calls. `columns` is the telemetry as functions of the seconds since its
    start, None for a run without, and `facts` the constant facts of each GPU. `traced` is the session whose trace is
    written, None for a run without a trace. `startup_s` comes before the warm-up, `tail_s` at the end. `wall_parts` is
    the whole-run breakdown, empty where the phases suffice. `outside_fraction` is the share of the window (0 to 1)
    outside the train function.
    """

    strategy: str
    number: int
    settings: Settings
    call_ms: NDArray[np.float64]
    columns: Mapping[str, Callable[[float], float]] | None
    facts: Mapping[str, Mapping[str, float | str]] = field(default_factory=dict)
    state: State = "done"
    loss_offset: float = 0.0
    traced: Session | None = None
    slowdown: float | None = None
    device_peak_mib: float | None = None
    flop_per_sample: float | None = None
    combined: Combination | None = None
    startup_s: float = 0.0
    tail_s: float = 0.0
    wall_parts: tuple[WallPart, ...] = ()
    outside_fraction: float | None = None


def settings(*, device: str, batch_size: int, dtype_policy: str = "float32", **others: object) -> Settings:
    """Return effective settings: defaults except those given."""
    plain: dict[str, object] = {
        "compute_dtype": "float16" if dtype_policy == "mixed_float16" else "float32",
        "jit_compile": False,
        "feed_dtype": "float32",
        "steps_per_execution": 1,
        "optimizer": "Adam",
        "intra_op_threads": CORES,
        "inter_op_threads": CORES,
        "onednn": False,
        "tf32": False,
    }
    return Settings(device=device, batch_size=batch_size, dtype_policy=dtype_policy, **{**plain, **others})  # type: ignore[arg-type]


def environment(gpus: Sequence[GpuInfo], cores: int = CORES) -> Environment:
    """Return the record of a machine that does not exist; it is marked as simulated, and so is every report on it."""
    return Environment(
        system="simulated",
        python="none",
        cpu="simulated processor",
        cores=cores,
        memory_mib=16384.0,
        versions={},
        gpus=tuple(gpus),
        driver="550.54" if gpus else "",
        cuda="12.4" if gpus else "",
        no_gpu=None if gpus else "none was simulated",
        simulated=True,
    )


def study_record(
    name: str, machine: Environment, strategies: Sequence[StrategyInfo], *, rounds: int, batch_size: int, command: str
) -> Study:
    """Return the record of a simulated study."""
    return Study(
        name=name,
        created_ns=START_NS,
        command=command,
        environment=machine,
        workload="ResNet20 on simulated images",
        data_name="simulated images",
        data_source="No images: the steps are simulated.",
        batch_size=batch_size,
        train_samples=SAMPLES,
        epoch_samples=SAMPLES,
        strategies=tuple(strategies),
        request=Request(rounds=rounds, budget_s=600.0, batch_size=batch_size, seed=0),
    )


def save_study(study: Study, folder: Path) -> None:
    """Write a study's record into its folder, which is created if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    save(study, folder / STUDY_FILE)


def save_run(run: SimulatedRun, study: Path, start_ns: int, random: np.random.Generator) -> int:
    """Write `run.json`, `telemetry.csv` and the trace of one run; return when it ended (Unix ns)."""
    combined = run.combined or Combination(start="", changes=(), step=0)
    folder = run_folder(study, run.number, run.strategy, combined.step)
    folder.mkdir(parents=True)
    warmup_ns = start_ns + round(run.startup_s * NS_PER_S)
    window_ns = warmup_ns + round(WARMUP_S * NS_PER_S)
    phases = [_warmup(warmup_ns, window_ns), _window(run, window_ns)]
    trace = TraceInfo(path=None, missing="no trace was simulated")
    if run.traced is not None:
        phases.append(_trace_phase(run.traced, phases[-1].end_ns))
        xplane.write(run.traced, folder / TRACE_FOLDER, phases[-1].start_ns)
        trace = TraceInfo(path=TRACE_FOLDER, steps=len(run.traced.calls), slowdown=run.slowdown)
    record = Run(
        spec=RunSpec(
            strategy=run.strategy,
            round=run.number,
            seed=0,
            batch_size=run.settings.batch_size,
            combines=combined.changes,
            start=combined.start,
            step=combined.step,
        ),
        outcome=Outcome(state=run.state),
        settings=run.settings,
        phases=tuple(phases),
        losses=_losses(run, random),
        trace=trace,
        host_peak_mib=1500.0,
        device_peak_mib=run.device_peak_mib,
        flop_per_sample=run.flop_per_sample,
        wall=_wall(run.wall_parts, start_ns) if run.wall_parts else None,
        outside_fraction=run.outside_fraction,
    )
    save(record, folder / RUN_FILE)
    end_ns = phases[-1].end_ns + round(run.tail_s * NS_PER_S)
    if run.columns is not None:
        readings.write(folder / TELEMETRY_FILE, start_ns, end_ns, run.columns, run.facts)
    return end_ns


def _wall(parts: Sequence[WallPart], start_ns: int) -> Wall:
    ended_ns = start_ns + sum(part.total_ns for part in parts)
    return Wall(started_ns=start_ns, ended_ns=ended_ns, parts=tuple(parts))


def _warmup(start_ns: int, end_ns: int) -> Phase:
    return Phase(name="warmup", start_ns=start_ns, end_ns=end_ns, call_ends_ns=(end_ns - NS_PER_S, end_ns))


def _window(run: SimulatedRun, start_ns: int) -> Phase:
    ends = tuple((start_ns + NS_PER_MS * run.call_ms.cumsum()).astype(np.int64).tolist())
    steps = run.settings.steps_per_execution
    return Phase(name="window", start_ns=start_ns, end_ns=ends[-1], call_ends_ns=ends, steps_per_call=steps)


def _trace_phase(session: Session, start_ns: int) -> Phase:
    begin = session.calls[0].start_ns
    ends = [call.next_ns - begin + start_ns for call in session.calls]
    end = max(ends[-1], *(op.end_ns - begin + start_ns for op in session.ops))
    steps = session.spec.host.steps_per_execution
    return Phase(name="trace", start_ns=start_ns, end_ns=end, call_ends_ns=tuple(ends), steps_per_call=steps)


def _losses(run: SimulatedRun, random: np.random.Generator) -> tuple[LossPoint, ...]:
    per_call = run.settings.batch_size * run.settings.steps_per_execution
    samples = np.linspace(per_call, per_call * len(run.call_ms), 40).astype(int)
    updates = samples / run.settings.batch_size
    falling = 2.3 * np.exp(-updates / LOSS_UPDATES) + run.loss_offset + 0.01 * random.standard_normal(40)
    pairs = zip(samples.tolist(), falling.tolist(), strict=True)
    return tuple(LossPoint(samples=seen, loss=loss) for seen, loss in pairs)
