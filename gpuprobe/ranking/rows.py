"""Makes the rows of a ranking from the runs of each strategy."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any

from gpuprobe.evidence.breakdown import main_device
from gpuprobe.evidence.meters import meters
from gpuprobe.evidence.run import clock_mhz, setting
from gpuprobe.ranking import same_work
from gpuprobe.ranking.comparisons import Comparisons
from gpuprobe.ranking.drift import marked_for_drift
from gpuprobe.ranking.ranking import Mark, Row
from gpuprobe.ranking.rates import Interval, run_rate, why_unstable
from gpuprobe.records import Run, Signal, Study
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpuprobe.ledger.records import DeviceBreakdown
    from gpuprobe.ranking import spread
    from gpuprobe.ranking.traced import Traced
    from gpuprobe.records import StrategyInfo
    from gpuprobe.telemetry import TelemetrySummary

INPUT_ON_DEVICE = "device_resident"
# Roles in a study of several devices that only measure a part of the step: nobody trains like that.
PROBES: dict[str, str] = {
    "share": "a probe: a part of the batch on one device",
    "apart": "a probe: its replicas exchange no gradients",
}
# A run within its study: (round, strategy).
Key = tuple[int, str]


def rows_of(
    study: Study, runs: Sequence[Run], telemetry: Mapping[Key, TelemetrySummary], traces: Mapping[str, Traced]
) -> tuple[Row, ...]:
    """Return a row for each strategy with a finished run, the best rank first."""
    baseline = baseline_of(study, rates_of(runs))
    compared = Comparisons.of(runs, baseline)
    loss_differences = same_work.outside_loss_band(
        {name: max((run.losses for run in runs_of(runs, name) if run_rate(run)), key=len) for name in compared.rates}
    )
    infos = {info.name: info for info in (*study.strategies, *study.changes)}
    rows = []
    for info in study.strategies:
        if info.name in compared.rates:
            breakdown = main_device(traces[info.name].breakdown) if info.name in traces else None
            row = _row_of(info, study, runs, compared, loss_differences.get(info.name), telemetry, breakdown)
            in_turns = compared.took_turns(info.name, row.against)
            rows.append(marked_for_drift(row, infos, traces, baseline, in_turns=in_turns))
    return tuple(sorted(rows, key=lambda row: (row.rank, -row.samples_per_s.value)))


def baseline_of(study: Study, rates: spread.Rates) -> str | None:
    """Return the first strategy of a study with a finished run, None where there is none."""
    return next((info.name for info in study.strategies if info.name in rates), None)


def rates_of(runs: Sequence[Run]) -> spread.Rates:
    """Return the rate of each strategy by round, for runs that were measured."""
    rates: spread.Rates = {}
    for run in runs:
        rate = run_rate(run)
        if rate is not None:
            rates.setdefault(run.spec.strategy, {})[run.spec.round] = rate
    return rates


def runs_of(runs: Sequence[Run], strategy: str) -> list[Run]:
    """Return the runs of one strategy."""
    return [run for run in runs if run.spec.strategy == strategy]


def _row_of(
    info: StrategyInfo,
    study: Study,
    runs: Sequence[Run],
    compared: Comparisons,
    loss_difference: str | None,
    telemetry: Mapping[Key, TelemetrySummary],
    device: DeviceBreakdown | None,
) -> Row:
    """Return the row of one strategy; `loss_difference` says how its loss left the band of the others, if it did."""
    finished_runs = [run for run in runs_of(runs, info.name) if run_rate(run)]
    means, rate = _means_of_runs(finished_runs, telemetry), compared.intervals[info.name]
    against = (finished_runs[-1].spec.start or info.against) if info.combines else info.against
    runs_on_device = runs_of(runs, INPUT_ON_DEVICE)
    comparable = info.name != INPUT_ON_DEVICE and _same_compute(runs_of(runs, info.name), runs_on_device)
    why_unsteady = why_unstable(list(compared.rates[info.name].values()))
    return Row(
        rank=compared.ranks[info.name],
        strategy=info.name,
        sentence=info.sentence,
        change=info.change,
        against=against,
        samples_per_s=rate,
        epoch_s=rate.inverse(study.epoch_samples) if study.epoch_samples else None,
        gain=compared.ratio(info.name, against),
        beyond=compared.beyond(info.name, against),
        speedup=compared.ratio(info.name, compared.baseline),
        beyond_baseline=compared.beyond(info.name, compared.baseline),
        ties_with=compared.ties_with(info.name),
        joint_gain=compared.joint_ratio(info.name, against),
        input_share=_input_share(compared.ratio(info.name, INPUT_ON_DEVICE)) if comparable else None,
        joint_input_share=_input_share(compared.joint_ratio(info.name, INPUT_ON_DEVICE)) if comparable else None,
        marks=(
            *([Mark(kind="unstable", words=why_unsteady)] if why_unsteady else []),
            *([Mark(kind="loss", words=words)] if (words := PROBES.get(_role(info)) or loss_difference) else []),
        ),
        breakdown=device,
        meters=_meters(study, finished_runs[-1], rate, means["telemetry"], device),
        **means,
    )


def _input_share(ratio: Interval | None) -> Interval | None:
    """Return the share of its time that a strategy would save with its data on the device; None without a `ratio`.

    `ratio` is how many times as fast it is as the strategy with the data on the device.
    """
    if ratio is None:
        return None
    return Interval(
        value=max(0.0, 1 - ratio.value),
        low=max(0.0, 1 - ratio.high),
        high=max(0.0, 1 - ratio.low),
        n=ratio.n,
        rounds=ratio.rounds,
    )


def _role(info: StrategyInfo) -> str:
    return info.scale.role if info.scale else ""


def _same_compute(runs: Sequence[Run], others: Sequence[Run]) -> bool:
    def compute(runs_of_search: Sequence[Run]) -> list[tuple[str, bool, int, int]]:
        settings = [run.settings for run in runs_of_search if run.settings]
        return [
            (
                setting_of_run.dtype_policy,
                setting_of_run.jit_compile,
                setting_of_run.batch_size,
                setting_of_run.steps_per_execution,
            )
            for setting_of_run in settings
        ]

    return bool(set(compute(runs)) & set(compute(others)))


def _means_of_runs(runs: Sequence[Run], telemetry: Mapping[Key, TelemetrySummary]) -> dict[str, Any]:
    """Return the fields of a row that come from its runs.

    They are means over the runs, the largest memory peaks, and the settings, changes and notes of the last run.
    """
    last_run = runs[-1]
    assert last_run.settings is not None
    summaries = [summary for run in runs if (summary := telemetry.get((run.spec.round, run.spec.strategy)))]
    signals = _signals_over_rounds(
        [[*summary.host, *(summary.gpus[0] if summary.gpus else ())] for summary in summaries]
    )
    energies = [_energy_per_sample(run, telemetry.get((run.spec.round, run.spec.strategy))) for run in runs]
    slowdowns = [run.trace.slowdown for run in runs if run.trace and run.trace.slowdown]
    return {
        "settings": last_run.settings,
        "telemetry": signals,
        "energy_j_per_sample": _mean([joules for joules in energies if joules is not None]),
        "host_peak_mib": max((run.host_peak_mib for run in runs if run.host_peak_mib), default=None),
        "device_peak_mib": max((run.device_peak_mib for run in runs if run.device_peak_mib), default=None),
        "warmup_s": fmean(_warmup_s(run) for run in runs),
        "first_call_s": fmean(_first_call_s(run) for run in runs),
        "profiler_slowdown": _mean(slowdowns),
        "combines": last_run.spec.combines,
        "notes": last_run.notes,
    }


def _meters(
    study: Study, run: Run, rate: Interval, telemetry: Sequence[Signal], device: DeviceBreakdown | None
) -> tuple[Signal, ...]:
    by_name, gpu = {signal.name: signal for signal in telemetry}, next(iter(study.environment.gpus), None)
    flop_per_s = run.flop_per_sample * rate.value if run.flop_per_sample else None
    signals = setting(run.settings, gpu, flop_per_s=flop_per_s, sm_clock_mhz=clock_mhz(by_name.get("sm_clock_mhz")))
    mfu = next((signal for signal in signals if signal.name == "mfu"), None)
    return meters(by_name.get("utilization_percent"), device, mfu)


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _signals_over_rounds(rounds: Sequence[Sequence[Signal]]) -> tuple[Signal, ...]:
    merged: dict[str, list[Signal]] = {}
    for signals in rounds:
        for signal in signals:
            merged.setdefault(signal.name, []).append(signal)
    return tuple(_mean_signal(signals) for signals in merged.values())


def _mean_signal(signals: Sequence[Signal]) -> Signal:
    measured = [signal for signal in signals if isinstance(signal.value, float)]
    if not measured:
        return signals[0]
    lows, highs = [s.low for s in measured if s.low is not None], [s.high for s in measured if s.high is not None]
    return Signal(
        name=measured[0].name,
        unit=measured[0].unit,
        source=measured[0].source,
        value=fmean(float(signal.value or 0.0) for signal in measured),
        low=_mean(lows),
        high=_mean(highs),
        n=sum(signal.n or 0 for signal in measured),
    )


def _energy_per_sample(run: Run, summary: TelemetrySummary | None) -> float | None:
    energy_j, window = summary.signal("energy_j", gpu=0) if summary else None, run.phase("window")
    if energy_j is None or not isinstance(energy_j.value, float) or window is None or run.settings is None:
        return None
    return energy_j.value / (len(window.call_ends_ns) * window.steps_per_call * run.settings.batch_size)


def _warmup_s(run: Run) -> float:
    return sum((phase.end_ns - phase.start_ns) / NS_PER_S for phase in run.phases if phase.name in {"warmup", "settle"})


def _first_call_s(run: Run) -> float:
    warmup = run.phase("warmup")
    return (warmup.call_ends_ns[0] - warmup.start_ns) / NS_PER_S if warmup and warmup.call_ends_ns else 0.0
