"""A study of several devices or workers as tables and a chart: how much faster they are, and where the rest went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report.charts import Bar, Bars, Chart, Look, Part
from gpuprobe.report.palette import BLUE, GREEN, SKY

if TYPE_CHECKING:
    from gpuprobe.ranking.rates import Interval
    from gpuprobe.ranking.scaling import Kind, LostBy, LostTime, Scaling, ScalingPoint

LOST_WORDS: dict[LostBy, str] = {
    "smaller_batch": "the smaller batch of each",
    "beside": "the replicas beside each other",
    "exchange": "the exchange of gradients",
}
GREW_WORDS: dict[Kind, str] = {
    "transfer": "the transfer itself",
    "peers": "waiting for peers",
    "exchange": "transfer or waiting for peers",
    "input": "waiting for input",
    "computing": "computing",
    "host": "launching and other host work",
}
IDEAL = Look("ideal", SKY, "", ".", "cyan")
MEASURED = Look("measured", BLUE, "", "=", "blue")
PREDICTED = Look("predicted", GREEN, "...", "~", "green")


def scaling_headline(scaling: Scaling) -> str:
    """Say how the largest number of devices that was measured scales, and what costs most; empty without one."""
    measured_points = [point for point in scaling.points if point.efficiency is not None]
    if not measured_points:
        return ""
    largest = measured_points[-1]
    assert largest.efficiency is not None
    kind = "logical devices" if scaling.logical and not scaling.workers else devices_or_workers(scaling)
    efficiency = largest.efficiency
    speed_words = wording.times(
        *(largest.devices * bound for bound in (efficiency.value, efficiency.low, efficiency.high))
    )
    scaling_words = (
        f"{largest.devices} {kind} are {speed_words} as fast as one, {wording.share(efficiency.value)} of ideal scaling"
    )
    worst_loss = max((lost for lost in largest.lost if lost.ms.low > 0), key=lambda lost: lost.ms.value, default=None)
    if worst_loss is None or largest.step_ms is None or largest.contradicts:
        return scaling_words
    cost_words = f"{wording.milliseconds(worst_loss.ms.value)} of the {wording.milliseconds(largest.step_ms)} step"
    is_plural = len(worst_loss.by) > 1 or worst_loss.by == ("beside",)
    return f"{scaling_words}: {_lost_by(worst_loss, scaling)} {'cost' if is_plural else 'costs'} {cost_words}"


def speeds_table(scaling: Scaling) -> list[list[str]]:
    """Return a head and a row for each number of devices: how fast, how efficient, and what was predicted."""
    head = [
        devices_or_workers(scaling),
        "samples a step",
        "times as fast as one",
        "efficiency (95 %)",
        "predicted efficiency",
    ]
    return [head, *(_speed_cells(point) for point in scaling.points)] if scaling.points else []


def losses_table(scaling: Scaling) -> list[list[str]]:
    """Return a head and a row of ms for each number of devices: the ideal step, and what is lost, up to the step."""
    timed_points = [point for point in scaling.points if point.step_ms is not None]
    loss_names = list(dict.fromkeys(_lost_by(lost_ms, scaling) for point in timed_points for lost_ms in point.lost))
    if not loss_names:
        return []
    xla_known = any(point.without_xla_ms for point in timed_points)
    table_rows = []
    for point in timed_points:
        lost_ms = {_lost_by(lost_part, scaling): f"{_ms_with_interval(lost_part.ms)}" for lost_part in point.lost}
        step = wording.milliseconds(point.step_ms or 0.0)
        point_cells = [
            str(point.devices),
            *_ideal_cells(point),
            *(lost_ms.get(loss_name, "") for loss_name in loss_names),
            step,
        ]
        table_rows.append(point_cells)
    ideal_titles = ["ideal step with XLA", "no XLA"] if xla_known else ["ideal step"]
    return [[devices_or_workers(scaling), *ideal_titles, *loss_names, "step"], *table_rows]


def _ideal_cells(point: ScalingPoint) -> list[str]:
    """Return the cells of the ideal step; where the cost of no XLA is known, it has a cell of its own."""
    without_xla_ms = point.without_xla_ms
    if without_xla_ms is None:
        return [wording.milliseconds(point.ideal_ms)]
    return [wording.milliseconds(point.ideal_ms - without_xla_ms.value), _ms_with_interval(without_xla_ms)]


def traced_parts_table(scaling: Scaling) -> list[list[str]]:
    """Return a head and a row for each part that traces divide: its ms, those of each kind of time, and the rest."""
    points = [point for point in scaling.points if not point.contradicts]
    traced_parts = [(point.devices, lost) for point in points for lost in point.lost if lost.grew]
    kinds_shown = {grew.kind for _, lost in traced_parts for grew in lost.grew}
    kinds = [kind for kind in GREW_WORDS if kind in kinds_shown]
    table_rows = []
    for devices, lost in traced_parts:
        ms_by_kind = {grew.kind: f"{grew.ms:+.2f} ms" for grew in lost.grew}
        kind_cells = [ms_by_kind.get(kind, "") for kind in kinds]
        table_rows.append(
            [str(devices), _lost_by(lost, scaling), f"{lost.ms.value:+.2f} ms", *kind_cells, f"{lost.rest_ms:+.2f} ms"]
        )
    heading = [devices_or_workers(scaling), "part", "lost", *(GREW_WORDS[kind] for kind in kinds), "rest"]
    return [heading, *table_rows] if traced_parts else []


def chart(scaling: Scaling | None) -> Chart | None:
    """Draw how many times as fast each number of devices is: ideal, measured and predicted."""
    if scaling is None or not scaling.points:
        return None
    bars = [bar for point in scaling.points for bar in _bars(point, devices_or_workers(scaling))]
    longest = max(max(bar.value, bar.high or 0.0) for bar in bars)
    bars_in_words = "; ".join(f"{bar.label} {bar.told}" for bar in bars)
    drawn = Bars(tuple(bars), f"times as fast as one {devices_or_workers(scaling)[:-1]}", longest)
    return Chart("scaling", f"From one {devices_or_workers(scaling)[:-1]} to several", "", drawn, bars_in_words)


def _bars(point: ScalingPoint, kind: str) -> list[Bar]:
    count = f"{point.devices} {kind}"
    bars = [_bar(f"{count}: ideal", float(point.devices), IDEAL)]
    if (efficiency := point.efficiency) is not None:
        low, high = point.devices * efficiency.low, point.devices * efficiency.high
        bars.append(_bar(f"{count}: measured", point.devices * efficiency.value, MEASURED, low, high))
    if point.predicted_efficiency is not None:
        bars.append(_bar(f"{count}: predicted", point.devices * point.predicted_efficiency, PREDICTED))
    return bars


def _bar(label: str, value: float, look: Look, low: float | None = None, high: float | None = None) -> Bar:
    speed = wording.times(value, low, high)
    return Bar(label, speed, (Part(value, speed, look),), low=low, high=high)


def _speed_cells(point: ScalingPoint) -> list[str]:
    efficiency, predicted_efficiency = point.efficiency, point.predicted_efficiency
    measured_cells = ["", ""]
    if efficiency is not None:
        times_as_fast = wording.times(
            *(point.devices * bound for bound in (efficiency.value, efficiency.low, efficiency.high))
        )
        efficiency_range = f"{wording.share(efficiency.low)} to {wording.share(efficiency.high)}"
        measured_cells = [times_as_fast, f"{wording.share(efficiency.value)} ({efficiency_range})"]
    return [
        str(point.devices),
        str(point.samples),
        *measured_cells,
        wording.share(predicted_efficiency) if predicted_efficiency else "",
    ]


def devices_or_workers(scaling: Scaling) -> str:
    """Return what the study scales: `devices` or `workers`."""
    return "workers" if scaling.workers else "devices"


def _lost_by(lost: LostTime, scaling: Scaling) -> str:
    loss_words = {**LOST_WORDS, "beside": "the workers beside each other"} if scaling.workers else LOST_WORDS
    return wording.listing([loss_words[by] for by in lost.by])


def _ms_with_interval(ms: Interval) -> str:
    middle_ms, low_ms, high_ms = (f"{bound:+.2f}" for bound in (ms.value, ms.low, ms.high))
    return f"{middle_ms} ms ({low_ms} to {high_ms})"
