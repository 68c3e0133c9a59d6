"""Why the baseline takes the time it takes: the trace, the differential runs and the telemetry of a study vote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.diagnosis import card, conditions, differential, telemetry, trace
from gpuprobe.diagnosis.evidence import evidence_of
from gpuprobe.diagnosis.votes import Diagnosis, Vote, join
from gpuprobe.records import Evidence, Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.thresholds import Thresholds
    from gpuprobe.ledger.records import Account
    from gpuprobe.ranking.ranking import Row
    from gpuprobe.ranking.rates import Interval
    from gpuprobe.records import Run, Study

NO_TRACE = "none of the baseline was captured"


def diagnose(
    study: Study,
    rows: Sequence[Row],
    baseline: Row | None,
    run: Run | None,
    account: Account | None,
    readings: Evidence | None,
    limits: Thresholds,
) -> Diagnosis:
    """Join what is known of the baseline. `run` is its last one, `account` and `readings` are of it."""
    traced = evidence_of(account) if account else Evidence()
    found, undecided = trace.diagnose(traced)
    votes = [
        Vote(kind="trace", findings=found, not_evaluated=undecided if account else (), missing=_why_none(account, run)),
        _differential(study, rows, baseline),
        _telemetry(readings),
    ]
    known = readings.signals if readings else ()
    signals = (*traced.signals, *_setting(study, baseline, run), *known)
    return join(votes, conditions.diagnose(Evidence(signals=signals), limits))


def _why_none(account: Account | None, run: Run | None) -> str | None:
    if account is not None:
        return None if account.devices else "it holds no step"
    return run.trace.missing if run and run.trace and run.trace.missing else NO_TRACE


def _differential(study: Study, rows: Sequence[Row], baseline: Row | None) -> Vote:
    signals = [Signal(name="gpu", unit="", source="NVML", value=bool(study.environment.gpus))]
    if rows:
        on_gpu = "GPU" in rows[0].settings.device.upper()
        signals.append(Signal(name="device_is_gpu", unit="", source="TensorFlow", value=on_gpu))
    if baseline and baseline.input_share:
        signals.append(_signal("input_share", baseline.input_share))
    signals += [_signal(f"gain.{row.strategy}", row.gain) for row in rows if row.gain]
    found, undecided = differential.diagnose(Evidence(signals=tuple(signals)))
    return Vote(kind="differential runs", findings=found, not_evaluated=undecided)


def _telemetry(readings: Evidence | None) -> Vote:
    if readings is None:
        return Vote(kind="telemetry", missing="nothing was sampled")
    found, undecided = telemetry.diagnose(readings)
    return Vote(kind="telemetry", findings=found, not_evaluated=undecided)


def _setting(study: Study, baseline: Row | None, run: Run | None) -> list[Signal]:
    """The signals of the card, the settings and the profiler."""
    gpus = study.environment.gpus
    gpu = gpus[0] if gpus else None
    signals = list(
        card.card_signals(gpu.name, compute_capability=gpu.compute_capability, memory_mib=gpu.memory_mib)
        if gpu
        else card.card_signals("")
    )
    if baseline is None:
        return signals
    clock = baseline.signal("sm_clock_mhz")
    known = card.find(gpu.name, compute_capability=gpu.compute_capability, memory_mib=gpu.memory_mib) if gpu else None
    flop = run.flop_per_sample * baseline.samples_per_s.value if run and run.flop_per_sample else None
    mhz = float(clock.value) if clock and isinstance(clock.value, float) else None
    settings = baseline.settings
    slowdown = baseline.profiler_slowdown
    return [
        *signals,
        card.mfu(settings, known, flop, mhz),
        Signal(name="compute_dtype", unit="", source="Keras, read back", value=settings.compute_dtype),
        Signal(name="batch_size", unit="samples", source="Keras, read back", value=float(settings.batch_size)),
        Signal(name="run_eagerly", unit="", source="Keras, read back", value=settings.run_eagerly),
        Signal(
            name="profiler_slowdown",
            unit="times",
            source="median traced step over median timed step",
            value=slowdown,
            missing=None if slowdown else NO_TRACE,
        ),
    ]


def _signal(name: str, interval: Interval) -> Signal:
    return Signal(
        name=name,
        unit="1",
        source="differential runs",
        value=interval.value,
        low=interval.low,
        high=interval.high,
        n=interval.n,
    )
