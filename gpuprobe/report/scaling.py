"""A study of several devices in words, tables and a chart: how much faster they are, and where the rest went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report.charts import Bar, Bars, Chart, Look, Part
from gpuprobe.report.palette import BLUE, GREEN, SKY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ranking.rates import Interval
    from gpuprobe.ranking.scaling import Lost, LostBy, Scaled, Scaling

LOST_WORDS: dict[LostBy, str] = {
    "smaller_batch": "the smaller batch of each",
    "beside": "the replicas beside each other",
    "exchange": "the exchange of gradients",
}
IDEAL = Look("ideal", SKY, "", ".", "cyan")
MEASURED = Look("measured", BLUE, "", "=", "blue")
PREDICTED = Look("predicted", GREEN, "...", "~", "green")


def headline(scaling: Scaling) -> str:
    """Say of the largest number of devices that was measured how it scales and what costs most; empty without one."""
    measured = [point for point in scaling.points if point.efficiency is not None]
    if not measured:
        return ""
    most = measured[-1]
    assert most.efficiency is not None
    kind = "logical devices" if scaling.logical else "devices"
    found = most.efficiency
    speed = wording.times(*(most.devices * end for end in (found.value, found.low, found.high)))
    told = f"{most.devices} {kind} are {speed} as fast as one, {wording.share(most.efficiency.value)} of ideal scaling"
    worst = max((lost for lost in most.lost if lost.ms.low > 0), key=lambda lost: lost.ms.value, default=None)
    if worst is None or most.step_ms is None or most.contradicts:
        return told
    costs = f"{wording.milliseconds(worst.ms.value)} of the {wording.milliseconds(most.step_ms)} step"
    return f"{told}: {_lost_by(worst)} {'cost' if len(worst.by) > 1 or worst.by == ('beside',) else 'costs'} {costs}"


def speeds(scaling: Scaling) -> list[list[str]]:
    """Return a head and a row for each number of devices: how fast, how efficient, and what was predicted."""
    head = ["devices", "samples a step", "times as fast as one", "efficiency (95 %)", "predicted efficiency"]
    return [head, *(_speed(point) for point in scaling.points)] if scaling.points else []


def losses(scaling: Scaling) -> list[list[str]]:
    """Return a head and a row of ms for each number of devices: the ideal step, and what is lost, up to the step."""
    rows = [point for point in scaling.points if point.step_ms is not None]
    names = list(dict.fromkeys(_lost_by(lost) for point in rows for lost in point.lost))
    if not names:
        return []
    made = []
    for point in rows:
        lost = {_lost_by(one): f"{_signed(one.ms)}" for one in point.lost}
        step = wording.milliseconds(point.step_ms or 0.0)
        cells = [
            str(point.devices),
            wording.milliseconds(point.ideal_ms),
            *(lost.get(name, "") for name in names),
            step,
        ]
        made.append(cells)
    return [["devices", "ideal step", *names, "step"], *made]


def sentences(scaling: Scaling) -> list[str]:
    """Say what the tables rest on, and what they leave open."""
    said = [_measured_on(scaling), _work(scaling)]
    if any(lost.by for point in scaling.points for lost in point.lost):
        said.append(
            "Each part is a difference between runs: one device with its part of the batch and nobody "
            "beside it; all devices without an exchange; all devices. What replicas beside each other lose is not "
            "divided further: they share the host's cores, memory and input."
        )
    if counts := [str(point.devices) for point in scaling.points if point.contradicts]:
        said.append(
            f"Of {wording.listing(counts)} devices a part is below zero beyond its interval, which nothing can cost: "
            "the machine changed between the runs, and the parts cannot be told apart. Measure again."
        )
    if (gain := scaling.xla_gain) is not None and gain.low > 1:
        said.append(
            f"XLA makes one device {wording.times(gain.value, gain.low, gain.high)} as fast, and Keras switches it off "
            "under `tf.distribute`. All else here is without XLA, so that numbers of devices are compared fairly: "
            "divide by this to compare with one device that has it."
        )
    return [*said, *_predictions(scaling)]


def chart(scaling: Scaling | None) -> Chart | None:
    """Draw how many times as fast each number of devices is: ideal, measured and predicted."""
    if scaling is None or not scaling.points:
        return None
    bars = [bar for point in scaling.points for bar in _bars(point)]
    most = max(max(bar.value, bar.high or 0.0) for bar in bars)
    said = "; ".join(f"{bar.label} {bar.told}" for bar in bars)
    drawn = Bars(tuple(bars), "times as fast as one device", most)
    return Chart("scaling", "From one device to several", "", drawn, said)


def _bars(point: Scaled) -> list[Bar]:
    count = f"{point.devices} devices"
    bars = [_bar(f"{count}: ideal", float(point.devices), IDEAL)]
    if (found := point.efficiency) is not None:
        low, high = point.devices * found.low, point.devices * found.high
        bars.append(_bar(f"{count}: measured", point.devices * found.value, MEASURED, low, high))
    if point.predicted_efficiency is not None:
        bars.append(_bar(f"{count}: predicted", point.devices * point.predicted_efficiency, PREDICTED))
    return bars


def _bar(label: str, value: float, look: Look, low: float | None = None, high: float | None = None) -> Bar:
    told = wording.times(value, low, high)
    return Bar(label, told, (Part(value, told, look),), low=low, high=high)


def _speed(point: Scaled) -> list[str]:
    found, expected = point.efficiency, point.predicted_efficiency
    measured = ["", ""]
    if found is not None:
        times = wording.times(*(point.devices * end for end in (found.value, found.low, found.high)))
        span = f"{wording.share(found.low)} to {wording.share(found.high)}"
        measured = [times, f"{wording.share(found.value)} ({span})"]
    return [str(point.devices), str(point.samples), *measured, wording.share(expected) if expected else ""]


def _lost_by(lost: Lost) -> str:
    return wording.listing([LOST_WORDS[by] for by in lost.by])


def _signed(ms: Interval) -> str:
    value, low, high = (f"{end:+.2f}" for end in (ms.value, ms.low, ms.high))
    return f"{value} ms ({low} to {high})"


def _measured_on(scaling: Scaling) -> str:
    if not scaling.logical:
        return "Measured under MirroredStrategy, whose gradients go through NCCL."
    return (
        f"Measured under MirroredStrategy on logical devices of one processor, which share its "
        f"{wording.count(scaling.cores, 'core')}; their gradients go through HierarchicalCopyAllReduce. It says "
        "nothing about GPUs."
    )


def _work(scaling: Scaling) -> str:
    if scaling.weak:
        return (
            "Weak scaling: each device has a whole batch, and the learning rate is multiplied by their number; the "
            "loss curve differs."
        )
    return (
        "Strong scaling: the whole batch, the learning rate and the order of the samples are those of one device. "
        "BatchNormalization sees the part of its device alone."
    )


def _predictions(scaling: Scaling) -> Sequence[str]:
    foretold = [point for point in scaling.points if point.predicted_ms is not None]
    if not foretold:
        why = "no other number of devices showed an exchange to fit a link to; --link GB/S gives one"
        return [f"Nothing is predicted: {why}."] if scaling.points else []
    links = wording.listing(
        list(dict.fromkeys(f"{wording.significant(p.link_gb_per_s or 0.0)} GB/s" for p in foretold))
    )
    by = "as given" if scaling.given else "fitted to the exchange of another number of devices"
    size = wording.mebibytes(scaling.gradients_mib or 0.0)
    return [
        f"Predicted: one device's part of the step, measured alone, and a ring that adds up {size} of gradients over "
        f"{links} ({by}), all after the last gradient. It knows nothing of what replicas lose beside each other."
    ]
