"""Why the baseline takes the time it takes: the trace, the differential runs and the telemetry of a study vote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.diagnosis.advice.give import advised
from gpuprobe.diagnosis.diagnosed import telemetry_vote, trace_vote
from gpuprobe.diagnosis.join import Joined, Vote, join
from gpuprobe.diagnosis.rules import card_and_settings, differential
from gpuprobe.evidence.breakdown import evidence_of
from gpuprobe.evidence.run import clock_mhz, setting
from gpuprobe.records import Evidence, Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ranking.accounts import Traced
    from gpuprobe.ranking.ranking import Row
    from gpuprobe.ranking.rates import Interval
    from gpuprobe.records import Run, Study
    from gpuprobe.thresholds import Thresholds


def diagnose(
    study: Study,
    rows: Sequence[Row],
    baseline: Row | None,
    run: Run | None,
    traced: Traced | None,
    readings: Evidence | None,
    limits: Thresholds,
) -> Joined:
    """Join what is known of the baseline. `run` is its last one, `traced` and `readings` are of it."""
    account = traced.account if traced else None
    told = evidence_of(account) if account else Evidence()
    gained = tuple(_signal(f"gain.{row.strategy}", row.gain) for row in rows if row.gain)
    votes = [
        trace_vote(account, told, limits, run.trace.missing if run and run.trace else None),
        _differential(study, rows, baseline, gained, limits),
        telemetry_vote(readings, told, limits),
    ]
    known = readings.signals if readings else ()
    evidence = Evidence(signals=(*told.signals, *_setting(study, baseline, run), *known))
    joined = join(votes, card_and_settings.diagnose(evidence, limits), limits, traced.replay if traced else None)
    # A watched training is recorded as a study too, but nobody ran strategies for it.
    here = Signal(name="in_study", unit="", source="study", value=study.request.rounds > 0)
    data = Signal(name="data_kind", unit="", source="study", value=study.data_name)
    evidence = Evidence(signals=(*evidence.signals, *gained, here, data))
    replay = traced.replay if traced else None
    return msgspec.structs.replace(joined, findings=advised(joined.findings, evidence, limits, replay))


def _differential(
    study: Study, rows: Sequence[Row], baseline: Row | None, gained: Sequence[Signal], limits: Thresholds
) -> Vote:
    signals = [Signal(name="gpu", unit="", source="NVML", value=bool(study.environment.gpus))]
    if rows:
        on_gpu = "GPU" in rows[0].settings.device.upper()
        signals.append(Signal(name="device_is_gpu", unit="", source="TensorFlow", value=on_gpu))
    signals += [signal for signal in _setting(study, baseline, None) if signal.name == "has_tensor_cores"]
    if baseline and baseline.input_share:
        signals.append(_signal("input_share", baseline.input_share))
    signals += gained
    found, undecided = differential.diagnose(Evidence(signals=tuple(signals)), limits)
    return Vote(kind="differential runs", findings=found, not_evaluated=undecided)


def _setting(study: Study, baseline: Row | None, run: Run | None) -> tuple[Signal, ...]:
    if baseline is None:
        return ()
    gpus = study.environment.gpus
    return setting(
        baseline.settings,
        gpus[0] if gpus else None,
        slowdown=baseline.profiler_slowdown,
        flop_per_s=run.flop_per_sample * baseline.samples_per_s.value if run and run.flop_per_sample else None,
        device_peak_mib=baseline.device_peak_mib,
        sm_clock_mhz=clock_mhz(baseline.signal("sm_clock_mhz")),
    )


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
