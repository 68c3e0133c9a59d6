"""Ranks the runs of a study; a pure function of the records."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from gpuprobe.diagnosis.evidence import main_device
from gpuprobe.diagnosis.meters import meters
from gpuprobe.diagnosis.setting import clock_mhz, setting
from gpuprobe.diagnosis.thresholds import DEFAULTS
from gpuprobe.ranking import same_work, spread, ties, watched
from gpuprobe.ranking.ranking import Failure, Ranking, Row
from gpuprobe.ranking.rates import Interval, run_rate, unstable
from gpuprobe.ranking.scorecard import foretold, scorecard
from gpuprobe.ranking.why import diagnose
from gpuprobe.records import Evidence, Run, Signal, Study

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpuprobe.diagnosis.thresholds import Thresholds
    from gpuprobe.ledger.records import DeviceAccount
    from gpuprobe.ranking.accounts import Traced
    from gpuprobe.records import StrategyInfo
    from gpuprobe.telemetry import TelemetrySummary

CEILING = "device_resident"
# (round, strategy) names a run within its study.
Key = tuple[int, str]


def rank(
    study: Study,
    runs: Sequence[Run],
    telemetry: Mapping[Key, TelemetrySummary],
    traces: Mapping[str, Traced] | None = None,
    readings: Mapping[str, Evidence] | None = None,
    limits: Thresholds = DEFAULTS,
) -> Ranking:
    """Rank all strategies that were measured to the end at least once, and say why the baseline takes its time.

    `telemetry` and `readings` cover the timed windows, by run and by strategy; `traces` are by strategy.
    """
    traces, readings = traces or {}, readings or {}
    rates = _rates(runs)
    compared = _Compared.of(rates)
    losses = same_work.off_the_band(
        {name: max((run.losses for run in _of(runs, name) if run_rate(run)), key=len) for name in rates}
    )
    first = next((info.name for info in study.strategies if info.name in rates), None)
    rows = []
    for info in study.strategies:
        if info.name in rates:
            account = main_device(traces[info.name].account) if info.name in traces else None
            rows.append(_row(info, study, runs, compared, first, losses.get(info.name), telemetry, account))
    rows.sort(key=lambda row: (row.rank, -row.samples_per_s.value))
    why = diagnose(
        study,
        rows,
        next((row for row in rows if row.strategy == first), None),
        next((run for run in reversed(runs) if run.spec.strategy == first and run_rate(run)), None),
        traces.get(first or ""),
        readings.get(first or ""),
        limits,
    )
    replays = {name: found.replay for name, found in traces.items() if found.replay}
    scored = scorecard(study.strategies, rows, replays)
    return Ranking(
        study=study.name,
        baseline=first,
        rows=tuple(rows),
        failures=_failures([run for run in runs if run.outcome.state != "skipped"], rates),
        skipped=_failures([run for run in runs if run.outcome.state == "skipped"], rates),
        not_run=tuple(info.name for info in study.strategies if not _of(runs, info.name)),
        findings=foretold(why.findings, scored),
        not_evaluated=why.not_evaluated,
        scorecard=scored,
        predictions=replays[first].predictions if first in replays else (),
        agreement=why.agreement,
        disputed=why.disputed,
        notes=(*_notes(rates), *watched.notes(telemetry, study.environment.no_gpu)),
    )


@dataclass(frozen=True)
class _Compared:
    """The rates of all strategies, their intervals and ranks, and what any two of them differ by."""

    rates: spread.Rates
    between: spread.Spread
    residual: spread.Spread
    intervals: Mapping[str, Interval]
    ranks: Mapping[str, int]

    @classmethod
    def of(cls, rates: spread.Rates) -> _Compared:
        between = spread.between_rounds(rates)
        intervals = {name: spread.rate_interval(of, between) for name, of in rates.items()}
        return cls(rates, between, spread.without_drift(rates), intervals, ties.ranks(intervals))

    def ratio(self, name: str, other: str | None) -> Interval | None:
        """How many times as fast one is as another; None where that is the same or was not measured."""
        if other is None or other == name or other not in self.rates:
            return None
        return spread.ratio_interval(self.rates[name], self.rates[other], self.between, self.residual)


def _row(
    info: StrategyInfo,
    study: Study,
    runs: Sequence[Run],
    compared: _Compared,
    first: str | None,
    loss: str | None,
    telemetry: Mapping[Key, TelemetrySummary],
    device: DeviceAccount | None,
) -> Row:
    """Describe one strategy; `first` is the baseline, `loss` says that its loss left the others' band."""
    own = [run for run in _of(runs, info.name) if run_rate(run)]
    measured, rate = _measured(own, telemetry), compared.intervals[info.name]
    marks = (unstable(list(compared.rates[info.name].values())), loss)
    return Row(
        rank=compared.ranks[info.name],
        strategy=info.name,
        sentence=info.sentence,
        change=info.change,
        against=info.against,
        samples_per_s=rate,
        epoch_s=rate.inverse(study.epoch_samples),
        gain=compared.ratio(info.name, info.against),
        speedup=compared.ratio(info.name, first),
        input_share=_input_share(info.name, compared, runs),
        marks=tuple(words for words in marks if words),
        account=device,
        meters=_meters(study, own[-1], rate, measured["telemetry"], device),
        **measured,
    )


def _rates(runs: Sequence[Run]) -> spread.Rates:
    rates: spread.Rates = {}
    for run in runs:
        rate = run_rate(run)
        if rate is not None:
            rates.setdefault(run.spec.strategy, {})[run.spec.round] = rate
    return rates


def _of(runs: Sequence[Run], strategy: str) -> list[Run]:
    return [run for run in runs if run.spec.strategy == strategy]


def _input_share(name: str, compared: _Compared, runs: Sequence[Run]) -> Interval | None:
    """1 - time with the data on the device / own time, where both computed the same way."""
    if name == CEILING or not _same_compute(_of(runs, name), _of(runs, CEILING)):
        return None
    ratio = compared.ratio(name, CEILING)
    if ratio is None:
        return None
    return Interval(
        value=max(0.0, 1 - ratio.value),
        low=max(0.0, 1 - ratio.high),
        high=max(0.0, 1 - ratio.low),
        n=ratio.n,
        rounds=ratio.rounds,
    )


def _same_compute(runs: Sequence[Run], others: Sequence[Run]) -> bool:
    def compute(of: Sequence[Run]) -> list[tuple[str, bool, int, int]]:
        settings = [run.settings for run in of if run.settings]
        return [(s.dtype_policy, s.jit_compile, s.batch_size, s.steps_per_execution) for s in settings]

    return bool(set(compute(runs)) & set(compute(others)))


def _measured(runs: Sequence[Run], telemetry: Mapping[Key, TelemetrySummary]) -> dict[str, Any]:
    """Return the fields of a row that are means over its runs."""
    last = runs[-1]
    assert last.settings is not None
    summaries = [found for run in runs if (found := telemetry.get((run.spec.round, run.spec.strategy)))]
    signals = _mean_signals([[*summary.host, *(summary.gpus[0] if summary.gpus else ())] for summary in summaries])
    energy = [_energy_per_sample(run, telemetry.get((run.spec.round, run.spec.strategy))) for run in runs]
    slowdowns = [run.trace.slowdown for run in runs if run.trace and run.trace.slowdown]
    return {
        "settings": last.settings,
        "telemetry": signals,
        "energy_j_per_sample": _mean([joules for joules in energy if joules is not None]),
        "host_peak_mib": max((run.host_peak_mib for run in runs if run.host_peak_mib), default=None),
        "device_peak_mib": max((run.device_peak_mib for run in runs if run.device_peak_mib), default=None),
        "warmup_s": fmean(_warmup_s(run) for run in runs),
        "first_call_s": fmean(_first_call_s(run) for run in runs),
        "profiler_slowdown": _mean(slowdowns),
        "combines": last.spec.combines,
        "notes": last.notes,
    }


def _meters(
    study: Study, run: Run, rate: Interval, telemetry: Sequence[Signal], device: DeviceAccount | None
) -> tuple[Signal, ...]:
    told, gpu = {signal.name: signal for signal in telemetry}, next(iter(study.environment.gpus), None)
    flop_per_s = run.flop_per_sample * rate.value if run.flop_per_sample else None
    signals = setting(run.settings, gpu, flop_per_s=flop_per_s, sm_clock_mhz=clock_mhz(told.get("sm_clock_mhz")))
    mfu = next((signal for signal in signals if signal.name == "mfu"), None)
    return meters(told.get("utilization_percent"), device, mfu)


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _mean_signals(rounds: Sequence[Sequence[Signal]]) -> tuple[Signal, ...]:
    merged: dict[str, list[Signal]] = {}
    for signals in rounds:
        for signal in signals:
            merged.setdefault(signal.name, []).append(signal)
    return tuple(_merge(signals) for signals in merged.values())


def _merge(signals: Sequence[Signal]) -> Signal:
    known = [signal for signal in signals if isinstance(signal.value, float)]
    if not known:
        return signals[0]
    lows, highs = [s.low for s in known if s.low is not None], [s.high for s in known if s.high is not None]
    return Signal(
        name=known[0].name,
        unit=known[0].unit,
        source=known[0].source,
        value=fmean(float(signal.value or 0.0) for signal in known),
        low=_mean(lows),
        high=_mean(highs),
        n=sum(signal.n or 0 for signal in known),
    )


def _energy_per_sample(run: Run, summary: TelemetrySummary | None) -> float | None:
    energy, window = summary.signal("energy_j", gpu=0) if summary else None, run.phase("window")
    if energy is None or not isinstance(energy.value, float) or window is None or run.settings is None:
        return None
    return energy.value / (len(window.call_ends_ns) * window.steps_per_call * run.settings.batch_size)


def _warmup_s(run: Run) -> float:
    return sum((phase.end_ns - phase.start_ns) / 1e9 for phase in run.phases if phase.name in {"warmup", "settle"})


def _first_call_s(run: Run) -> float:
    warmup = run.phase("warmup")
    return (warmup.call_ends_ns[0] - warmup.start_ns) / 1e9 if warmup and warmup.call_ends_ns else 0.0


def _failures(runs: Sequence[Run], rates: spread.Rates) -> tuple[Failure, ...]:
    failed = [run for run in runs if run.spec.round not in rates.get(run.spec.strategy, {})]
    return tuple(
        Failure(
            strategy=run.spec.strategy,
            round=run.spec.round,
            state="failed" if run.outcome.state == "done" else run.outcome.state,
            message=run.outcome.message or "its window holds too few steps for a rate",
        )
        for run in failed
    )


def _notes(rates: spread.Rates) -> tuple[str, ...]:
    repeated = [of for of in rates.values() if len(of) > 1]
    if rates and not repeated:
        return (
            "Each strategy ran once: the intervals hold the spread within a run, and not what a second run would "
            "differ by. Two rounds or more (--rounds 2) tell.",
        )
    if len(repeated) == 1 < len(rates):
        before, after = (repeated[0][number].log_rate for number in sorted(repeated[0])[:2])
        return (
            f"Each strategy ran once, and the first once more at the end: its rate had changed by "
            f"{100 * abs(math.expm1(after - before)):.0f} %, which the intervals take in. Two rounds or more "
            "(--rounds 2) tell more apart.",
        )
    return ()
