"""How a study of several devices scales: the step of several devices, divided into parts by comparing runs.

Each part is the difference between two runs that took turns, and the parts of a step add up to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.diagnosis.rules import losses
from gpuprobe.evidence import several
from gpuprobe.ranking import ring
from gpuprobe.ranking.rates import Interval
from gpuprobe.ranking.scaling import Lost, LostBy, Scaled, Scaling
from gpuprobe.records import Evidence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.ranking.compared import Compared
    from gpuprobe.ranking.ranking import Row
    from gpuprobe.records import Role, Study

MS_PER_S = 1000.0
# The runs from the ideal step to the real one, and what each loses against the run before it.
LOST_BY: dict[Role, LostBy] = {"share": "smaller_batch", "apart": "beside", "spread": "exchange"}


def scaling_of(study: Study, rows: Sequence[Row], compared: Compared) -> Scaling | None:
    """Return how a study of several devices scales; None for another, or where one device was not measured."""
    by_name = {row.strategy: row for row in rows}
    roles = {(info.scale.devices, info.scale.role): info.name for info in study.strategies if info.scale}
    single = by_name.get(roles.get((1, "one"), ""))
    if single is None:
        return None
    counts = sorted({devices for devices, _ in roles if devices > 1})
    weak = study.request.weak
    points = [_point(count, roles, by_name, compared, weak=weak) for count in counts]
    mib, link = single.settings.trainable_mib, study.request.link_gb_per_s
    gain, cores = compared.ratio(roles.get((1, "xla"), ""), single.strategy), study.environment.cores
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


def _point(
    devices: int, roles: Mapping[tuple[int, Role], str], rows: Mapping[str, Row], compared: Compared, *, weak: bool
) -> Scaled:
    single = rows[roles[1, "one"]]
    samples = single.settings.batch_size * (devices if weak else 1)
    ideal_ms = MS_PER_S * samples / (devices * single.samples_per_s.value)
    before, before_ms, speed_before = single.strategy, ideal_ms, float(devices)
    lost: list[Lost] = []
    pending: list[LostBy] = []
    alone_ms = ideal_ms if weak else None
    for role, by in LOST_BY.items():
        if role == "share" and weak:
            # Each device has as large a batch as one device alone, so there is no smaller batch to lose by.
            continue
        row = rows.get(roles.get((devices, role), ""))
        pending.append(by)
        if row is None:
            continue
        speed = float(devices) if role == "share" else 1.0
        now_ms = MS_PER_S * samples / (speed * row.samples_per_s.value)
        ratio = compared.ratio(before, row.strategy)
        if ratio is not None:
            lost.append(Lost(by=tuple(pending), ms=_difference(now_ms, before_ms, ratio, speed_before / speed)))
        alone_ms = now_ms if role == "share" else alone_ms
        before, before_ms, pending, speed_before = row.strategy, now_ms, [], speed
    spread = rows.get(roles.get((devices, "spread"), ""))
    ratio = compared.ratio(spread.strategy, single.strategy) if spread else None
    return Scaled(
        devices=devices,
        samples=samples,
        ideal_ms=ideal_ms,
        alone_ms=alone_ms,
        step_ms=before_ms if spread else None,
        efficiency=_times(ratio, 1 / devices) if ratio else None,
        lost=tuple(lost) if spread else (),
    )


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
