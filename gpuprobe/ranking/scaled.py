"""How a study of several devices scales: the step of several devices, divided into parts by comparing runs.

Each part is the difference between two runs that took turns, and the parts of a step add up to it. The traces of the
two runs divide a part further, by the kinds of time that grew from one to the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.diagnosis.rules import losses
from gpuprobe.evidence import several
from gpuprobe.ranking import ring
from gpuprobe.ranking.growth import grown
from gpuprobe.ranking.rates import Interval
from gpuprobe.ranking.scaling import Lost, LostBy, Scaled, Scaling
from gpuprobe.records import Evidence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.ledger.records import TraceBreakdown
    from gpuprobe.ranking.compared import Compared
    from gpuprobe.ranking.ranking import Row
    from gpuprobe.records import Role, Study

MS_PER_S = 1000.0
# The runs from the ideal step to the real one, and what each loses against the run before it.
LOST_BY: dict[Role, LostBy] = {"share": "smaller_batch", "apart": "beside", "spread": "exchange"}


def scaling_of(
    study: Study, rows: Sequence[Row], compared: Compared, traces: Mapping[str, TraceBreakdown]
) -> Scaling | None:
    """Return how a study of several devices scales; None for another, or where one device was not measured.

    `traces` are the breakdowns of the traces, by strategy.
    """
    by_name = {row.strategy: row for row in rows}
    roles = {(info.scale.devices, info.scale.role): info.name for info in study.strategies if info.scale}
    single = by_name.get(roles.get((1, "one"), ""))
    if single is None:
        return None
    counts = sorted({devices for devices, _ in roles if devices > 1})
    weak = study.request.weak
    gain, cores = compared.ratio(roles.get((1, "xla"), ""), single.strategy), study.environment.cores
    measured = _Measured(by_name, roles, compared, traces)
    points = [_point(count, measured, gain, weak=weak) for count in counts]
    mib, link = single.settings.trainable_mib, study.request.link_gb_per_s
    return Scaling(
        weak=weak,
        points=ring.predicted(points, mib, link) if mib else tuple(points),
        xla_gain=gain,
        gradients_mib=mib,
        logical=not study.environment.gpus,
        cores=cores,
        workers=bool(study.request.workers),
        given=link is not None,
        findings=_findings(points, roles, by_name, gain, cores),
    )


def _findings(
    points: Sequence[Scaled],
    roles: Mapping[tuple[int, Role], str],
    rows: Mapping[str, Row],
    xla_gain: Interval | None,
    cores: int,
) -> tuple[Finding, ...]:
    """Return the causes that cost the largest measured number of devices time, by its settings and the other runs."""
    most = next((point for point in reversed(points) if point.step_ms), None)
    if most is None or most.step_ms is None:
        return ()
    beside = next((lost.ms for lost in most.lost if lost.by == ("beside",)), None)
    share = _times(beside, 1 / most.step_ms) if beside and not most.contradicts else None
    settings = rows[roles[most.devices, "spread"]].settings
    signals = several.spread_over(settings, cores, _measured(xla_gain), _measured(share))
    return losses.decide(Evidence(signals=signals))[0]


def _measured(interval: Interval | None) -> several.Measured | None:
    return several.Measured(interval.value, interval.low, interval.high, interval.n) if interval else None


@dataclass(frozen=True)
class _Measured:
    """What the parts of the step are computed from: rows by strategy, roles, comparisons and traces."""

    rows: Mapping[str, Row]
    roles: Mapping[tuple[int, Role], str]
    compared: Compared
    traces: Mapping[str, TraceBreakdown]

    def row(self, devices: int, role: Role) -> Row | None:
        return self.rows.get(self.roles.get((devices, role), ""))


@dataclass(frozen=True)
class _Before:
    """The run before: its strategy, the step that it would have alone (ms), and what its speed is multiplied by.

    `ran` says that the step is that of the run itself, and not a share of it.
    """

    strategy: str
    ms: float
    speed: float
    ran: bool


def _point(devices: int, measured: _Measured, xla_gain: Interval | None, *, weak: bool) -> Scaled:
    single = measured.rows[measured.roles[1, "one"]]
    samples = single.settings.batch_size * (devices if weak else 1)
    ideal_ms = MS_PER_S * samples / (devices * single.samples_per_s.value)
    before = _Before(single.strategy, ideal_ms, float(devices), ran=weak)
    lost: list[Lost] = []
    pending: list[LostBy] = []
    alone_ms = ideal_ms if weak else None
    for role, by in LOST_BY.items():
        if role == "share" and weak:
            # Each device has as large a batch as one device alone, so there is no smaller batch to lose by.
            continue
        row = measured.row(devices, role)
        pending.append(by)
        if row is None:
            continue
        speed = float(devices) if role == "share" else 1.0
        now = _Before(row.strategy, MS_PER_S * samples / (speed * row.samples_per_s.value), speed, ran=True)
        if part := _lost(tuple(pending), before, now, measured):
            lost.append(part)
        alone_ms = now.ms if role == "share" else alone_ms
        before, pending = now, []
    spread, apart = measured.row(devices, "spread"), measured.row(devices, "apart")
    ratio = measured.compared.ratio(spread.strategy, single.strategy) if spread else None
    ready = apart.signal("run_queue") if apart else None
    return Scaled(
        devices=devices,
        samples=samples,
        ideal_ms=ideal_ms,
        alone_ms=alone_ms,
        step_ms=before.ms if spread else None,
        efficiency=_times(ratio, 1 / devices) if ratio else None,
        lost=tuple(lost) if spread else (),
        without_xla_ms=_without_xla(ideal_ms, xla_gain),
        ready_threads=ready.value if ready and isinstance(ready.value, float) else None,
    )


def _lost(by: tuple[LostBy, ...], before: _Before, now: _Before, measured: _Measured) -> Lost | None:
    """Return what is lost from one run to the next; where it is beyond the noise, divided by what their traces show."""
    ratio = measured.compared.ratio(before.strategy, now.strategy)
    if ratio is None:
        return None
    ms = _difference(now.ms, before.ms, ratio, before.speed / now.speed)
    if not before.ran or ms.low <= 0:
        return Lost(by=by, ms=ms)
    traced_before, traced_now = (measured.traces.get(run.strategy) for run in (before, now))
    return Lost(by=by, ms=ms, grew=grown((traced_before, before.ms), (traced_now, now.ms)))


def _without_xla(ideal_ms: float, gain: Interval | None) -> Interval | None:
    if gain is None or gain.low <= 1:
        return None
    value, low, high = (ideal_ms * (1 - 1 / end) for end in (gain.value, gain.low, gain.high))
    return Interval(value=value, low=low, high=high, n=gain.n, rounds=gain.rounds)


def _difference(now_ms: float, before_ms: float, ratio: Interval, factor: float) -> Interval:
    """Return how many ms a step is longer than the one before; `ratio` times `factor` is how many times as long."""
    low, high = (before_ms * (factor * end - 1) for end in (ratio.low, ratio.high))
    return Interval(value=now_ms - before_ms, low=low, high=high, n=ratio.n, rounds=ratio.rounds)


def _times(interval: Interval, factor: float) -> Interval:
    return Interval(
        value=interval.value * factor,
        low=interval.low * factor,
        high=interval.high * factor,
        n=interval.n,
        rounds=interval.rounds,
    )
