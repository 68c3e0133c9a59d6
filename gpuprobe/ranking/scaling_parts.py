"""How a study of several devices scales: the time that their step loses against ideal scaling, part by part.

A chain of runs leads from the ideal step to the real one. Each part is the difference between two runs next to each
other in it, which took turns; the ideal step and the parts add up to the real one. The traces of the two runs divide a
part further, by the kinds of time that grew from one to the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.diagnosis.rules import losses
from gpuprobe.evidence import several
from gpuprobe.ranking import ring
from gpuprobe.ranking.growth import grown
from gpuprobe.ranking.rates import Interval
from gpuprobe.ranking.scaling import LostBy, LostTime, Scaling, ScalingPoint
from gpuprobe.records import Evidence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.ledger.records import TraceBreakdown
    from gpuprobe.ranking.comparisons import Comparisons
    from gpuprobe.ranking.ranking import Row
    from gpuprobe.records import Role, Study

MS_PER_S = 1000.0
# The runs from the ideal step to the real one, and what each loses against the run before it.
LOST_BY: dict[Role, LostBy] = {"share": "smaller_batch", "apart": "beside", "spread": "exchange"}


def scaling_of(
    study: Study, rows: Sequence[Row], compared: Comparisons, traces: Mapping[str, TraceBreakdown]
) -> Scaling | None:
    """Return how a study of several devices scales; None for another, or where one device was not measured.

    `traces` are the breakdowns of the traces, by strategy.
    """
    row_by_strategy = {row.strategy: row for row in rows}
    strategy_by_role = {(info.scale.devices, info.scale.role): info.name for info in study.strategies if info.scale}
    one_device = row_by_strategy.get(strategy_by_role.get((1, "one"), ""))
    if one_device is None:
        return None
    device_counts = sorted({devices for devices, _ in strategy_by_role if devices > 1})
    weak = study.request.weak
    xla_gain, cores = compared.ratio(strategy_by_role.get((1, "xla"), ""), one_device.strategy), study.environment.cores
    measured_runs = _MeasuredRuns(row_by_strategy, strategy_by_role, compared, traces)
    points = [_scaling_point(count, measured_runs, xla_gain, weak=weak) for count in device_counts]
    gradients_mib, link_gb_per_s = one_device.settings.trainable_mib, study.request.link_gb_per_s
    return Scaling(
        weak=weak,
        points=ring.with_predictions(points, gradients_mib, link_gb_per_s) if gradients_mib else tuple(points),
        xla_gain=xla_gain,
        gradients_mib=gradients_mib,
        logical=not study.environment.gpus,
        cores=cores,
        workers=bool(study.request.workers),
        own_hosts=study.request.worker_index is not None,
        given=link_gb_per_s is not None,
        findings=_findings(points, strategy_by_role, row_by_strategy, xla_gain, study),
    )


def _findings(
    points: Sequence[ScalingPoint],
    strategy_by_role: Mapping[tuple[int, Role], str],
    row_by_strategy: Mapping[str, Row],
    xla_gain: Interval | None,
    study: Study,
) -> tuple[Finding, ...]:
    """Return the causes that cost time on the largest measured number of devices, as settings and other runs tell."""
    largest = next((point for point in reversed(points) if point.step_ms), None)
    if largest is None or largest.step_ms is None:
        return ()
    lost_beside_ms = next((lost.ms for lost in largest.lost if lost.by == ("beside",)), None)
    share_of_step = (
        _multiplied(lost_beside_ms, 1 / largest.step_ms) if lost_beside_ms and not largest.contradicts else None
    )
    settings = row_by_strategy[strategy_by_role[largest.devices, "spread"]].settings
    cores = several.Cores(study.environment.cores, largest.ready_threads, shared=study.request.worker_index is None)
    signals = several.spread_over(settings, cores, _as_measured(xla_gain), _as_measured(share_of_step))
    return losses.decide(Evidence(signals=signals))[0]


def _as_measured(interval: Interval | None) -> several.Measured | None:
    return several.Measured(interval.value, interval.low, interval.high, interval.n) if interval else None


@dataclass(frozen=True)
class _MeasuredRuns:
    """What the parts of the step are computed from.

    `rows` and `traces` are by strategy; `roles` gives the strategy for a number of devices and a role.
    """

    rows: Mapping[str, Row]
    roles: Mapping[tuple[int, Role], str]
    compared: Comparisons
    traces: Mapping[str, TraceBreakdown]

    def row(self, devices: int, role: Role) -> Row | None:
        return self.rows.get(self.roles.get((devices, role), ""))


@dataclass(frozen=True)
class _RunOfChain:
    """One run of the chain: its strategy, and the step (ms) of all devices together by its rate.

    `rate_factor` multiplies the rate of a run on one device, to be that of all. `is_own_step` says that the run itself
    took such steps; else each of its steps took the whole batch, and this is a share of one.
    """

    strategy: str
    ms: float
    rate_factor: float
    is_own_step: bool


def _scaling_point(
    devices: int, measured_runs: _MeasuredRuns, xla_gain: Interval | None, *, weak: bool
) -> ScalingPoint:
    one_device = measured_runs.rows[measured_runs.roles[1, "one"]]
    samples = one_device.settings.batch_size * (devices if weak else 1)
    ideal_ms = MS_PER_S * samples / (devices * one_device.samples_per_s.value)
    ideal = _RunOfChain(one_device.strategy, ideal_ms, float(devices), is_own_step=weak)
    run_by_role = {
        role: _run_of_chain(measured_runs.row(devices, role), devices if role == "share" else 1, samples)
        for role in LOST_BY
        # Each device may have as large a batch as one device alone, so that there is no smaller batch to lose by.
        if not (role == "share" and weak)
    }
    alone = ideal if weak else run_by_role.get("share")
    spread, apart = run_by_role.get("spread"), measured_runs.row(devices, "apart")
    speedup = measured_runs.compared.ratio(spread.strategy, one_device.strategy) if spread else None
    run_queue = apart.signal("run_queue") if apart else None
    return ScalingPoint(
        devices=devices,
        samples=samples,
        ideal_ms=ideal_ms,
        alone_ms=alone.ms if alone else None,
        step_ms=spread.ms if spread else None,
        efficiency=_multiplied(speedup, 1 / devices) if speedup else None,
        lost=_parts(ideal, run_by_role, measured_runs),
        without_xla_ms=_without_xla(ideal_ms, xla_gain),
        ready_threads=run_queue.value if run_queue and isinstance(run_queue.value, float) else None,
    )


def _run_of_chain(row: Row | None, times_as_fast: int, samples: int) -> _RunOfChain | None:
    """Return the run of a row in the chain, None without a row; all devices are so many times as fast as that run."""
    if row is None:
        return None
    step_ms = MS_PER_S * samples / (times_as_fast * row.samples_per_s.value)
    return _RunOfChain(row.strategy, step_ms, float(times_as_fast), is_own_step=True)


def _parts(
    ideal: _RunOfChain, run_by_role: Mapping[Role, _RunOfChain | None], measured_runs: _MeasuredRuns
) -> tuple[LostTime, ...]:
    """Return what is lost from run to run, up to the step; empty where the parts would not add up to it.

    Where a run is missing, or nothing compares it with the run before it, the next part has its cause too.
    """
    before = ideal
    lost: list[LostTime] = []
    pending_causes: list[LostBy] = []
    for role, run in run_by_role.items():
        pending_causes.append(LOST_BY[role])
        if run is not None and (lost_part := _lost(tuple(pending_causes), before, run, measured_runs)):
            lost.append(lost_part)
            before, pending_causes = run, []
    return () if pending_causes else tuple(lost)


def _lost(
    causes: tuple[LostBy, ...], before: _RunOfChain, run: _RunOfChain, measured_runs: _MeasuredRuns
) -> LostTime | None:
    """Return what is lost from one run to another; beyond the noise, with the kinds of time that their traces show.

    None where nothing compares the two: they took no turns, and no round has both.
    """
    ratio = measured_runs.compared.ratio(before.strategy, run.strategy)
    if ratio is None:
        return None
    lost_ms = _difference(run.ms, before.ms, ratio, before.rate_factor / run.rate_factor)
    if not before.is_own_step or lost_ms.low <= 0:
        return LostTime(by=causes, ms=lost_ms)
    traced_before, traced_now = (measured_runs.traces.get(run.strategy) for run in (before, run))
    return LostTime(by=causes, ms=lost_ms, grew=grown((traced_before, before.ms), (traced_now, run.ms)))


def _without_xla(ideal_ms: float, xla_gain: Interval | None) -> Interval | None:
    if xla_gain is None or xla_gain.low <= 1:
        return None
    value, low, high = (ideal_ms * (1 - 1 / speedup) for speedup in (xla_gain.value, xla_gain.low, xla_gain.high))
    return Interval(value=value, low=low, high=high, n=xla_gain.n, rounds=xla_gain.rounds)


def _difference(now_ms: float, before_ms: float, ratio: Interval, factor: float) -> Interval:
    """Return how many ms a step is longer than the one before; `ratio` times `factor` is how many times as long."""
    low, high = (before_ms * (factor * end - 1) for end in (ratio.low, ratio.high))
    return Interval(value=now_ms - before_ms, low=low, high=high, n=ratio.n, rounds=ratio.rounds)


def _multiplied(interval: Interval, factor: float) -> Interval:
    return Interval(
        value=interval.value * factor,
        low=interval.low * factor,
        high=interval.high * factor,
        n=interval.n,
        rounds=interval.rounds,
    )
