"""Writes simulated sessions to disk as a study: each becomes a recording with a trace and telemetry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from gpuprobe.records import GpuInfo, StrategyInfo, save
from gpuprobe.simulate import readings, recordings, truth, whole_run
from gpuprobe.simulate.engine import simulate, steady
from gpuprobe.simulate.noise import Noise, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from gpuprobe.records import Combination, Settings
    from gpuprobe.simulate.session import Session
    from gpuprobe.simulate.spec import Spec

TRUTH_FILE = "truth.json"
# The relative spread between runs, and between the calls of a run, as in measured runs of the same work.
BETWEEN_RUNS, BETWEEN_CALLS = 0.004, 0.02


# The distance between the random seeds of a study's members.
STREAMS_APART = 1000


@dataclass(frozen=True, kw_only=True)
class Member:
    """One strategy of a simulated study: its description, and the spec that is simulated for it.

    `combined` is the number of a search's run, and what that run combines.
    """

    info: StrategyInfo
    spec: Spec
    combined: Combination | None = None


def write_session(spec: Spec, folder: Path) -> truth.Truth:
    """Write one session into an empty folder, as a study of one run, and its `truth.json`; return the truth."""
    session = simulate(spec)
    info = StrategyInfo(name=spec.name, sentence="One simulated session.", against=None, change="nothing")
    StudyInProgress(folder, [info], spec, rounds=1, command="gpuprobe simulate").measure(Member(info=info, spec=spec))
    session_truth = truth.tell(spec, session)
    save(session_truth, folder / TRUTH_FILE)
    return session_truth


class StudyInProgress:
    """A study on disk whose runs are simulated one after the other."""

    def __init__(
        self,
        folder: Path,
        strategies: Sequence[StrategyInfo],
        first: Spec,
        *,
        rounds: int,
        command: str,
        changes: Sequence[StrategyInfo] = (),
    ) -> None:
        """Write the record of a study into a folder; machine and batch size are those of `first`.

        `changes` are what a search may try beside the strategies' own changes.
        """
        self._folder, self._clock_ns = folder, recordings.START_NS
        self._steady: dict[tuple[str, ...], Session] = {}
        study = recordings.study_record(
            folder.name,
            recordings.environment(_cards(first), first.host.cores),
            strategies,
            rounds=rounds,
            batch_size=first.batch_size,
            command=command,
        )
        recordings.save_study(replace(study, changes=tuple(changes)), folder)

    def measure(self, member: Member, number: int = 1) -> None:
        """Simulate and write the run of a member in round `number`.

        Runs of the first round and of a search have a trace.
        """
        combined = member.combined
        key = (member.info.name, *(combined.changes if combined else ()))
        session = self._steady.setdefault(key, steady(member.spec))
        place = list(self._steady).index(key)
        stream = number + STREAMS_APART * place
        random = np.random.default_rng([member.spec.seed, int(Source.TELEMETRY), stream])
        traced = member.spec.recording.trace and (number == 1 or combined is not None)
        run = _run(member, session, random, number=number, stream=stream, traced=traced)
        self._clock_ns = recordings.save_run(run, self._folder, self._clock_ns, random)


def _cards(spec: Spec) -> list[GpuInfo]:
    card = spec.card
    return [
        GpuInfo(index=index, name=card.name, compute_capability=card.compute_capability, memory_mib=card.memory_mib)
        for index in range(spec.collective.gpus)
    ]


def _run(
    member: Member, session: Session, random: np.random.Generator, *, number: int, stream: int, traced: bool
) -> recordings.SimulatedRun:
    spec = member.spec
    shown = simulate(spec) if traced else None
    steps_ms = _window_ms(session, stream, random)
    late_ms = whole_run.beside_ms(spec, len(steps_ms))
    warmup_end_s = whole_run.startup_s(spec) + recordings.WARMUP_S
    pauses = whole_run.pauses(warmup_end_s, steps_ms + late_ms, late_ms)
    return recordings.SimulatedRun(
        strategy=member.info.name,
        number=number,
        settings=effective(spec),
        call_ms=steps_ms + late_ms,
        columns=_columns(session, warmup_end_s, pauses) if spec.recording.telemetry else None,
        facts={f"gpu{device}": readings.gpu_facts(spec) for device in range(session.devices)},
        traced=shown,
        combined=member.combined,
        slowdown=float(np.median(shown.call_ms) / np.median(session.call_ms)) if shown else None,
        device_peak_mib=spec.card.memory_used_mib if spec.card.on_gpu else None,
        flop_per_sample=1e6 * spec.kernels.mflop_per_sample or None,
        startup_s=whole_run.startup_s(spec),
        tail_s=spec.run.tail_s,
        wall_parts=whole_run.wall_parts(spec, session.step_ms),
        outside_fraction=session.outside_fraction,
    )


def effective(spec: Spec) -> Settings:
    """Return the effective settings of a run with this spec."""
    return recordings.settings(
        device="/device:GPU:0" if spec.card.on_gpu else "/device:CPU:0",
        batch_size=spec.batch_size,
        dtype_policy="mixed_float16" if spec.kernels.dtype == "float16" else "float32",
        jit_compile=spec.kernels.fused > 1,
        feed_dtype=spec.copies.feed_dtype,
        steps_per_execution=spec.host.steps_per_execution,
        run_eagerly=spec.host.eager,
        intra_op_threads=spec.host.cores,
        inter_op_threads=spec.host.cores,
    )


def _window_ms(session: Session, stream: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Repeat the simulated calls until the window is full, with fresh noise in each repetition."""
    spec = session.spec
    count = max(2, round(1000 * spec.recording.window_s / float(np.mean(session.call_ms))))
    repeated = np.resize(np.asarray(session.call_ms, np.float64), count)
    run = float(Noise(spec.seed, BETWEEN_RUNS).factor(Source.TELEMETRY, stream))
    return repeated * run * np.exp(BETWEEN_CALLS * random.standard_normal(count))


def _columns(
    session: Session, begin_s: float, pauses: Sequence[whole_run.Pause]
) -> dict[str, Callable[[float], float]]:
    spec = session.spec
    columns = readings.host_columns(spec, session.step_ms)
    for device in range(session.devices):
        busy = readings.Busy(session, device, begin_s, pauses)
        columns |= readings.gpu_columns(spec, device, busy)
    return columns
