"""A study of several devices or workers in words, tables and a chart: how much faster, and where the rest went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report.charts import Bar, Bars, Chart, Look, Part
from gpuprobe.report.palette import BLUE, GREEN, SKY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ranking.rates import Interval
    from gpuprobe.ranking.scaling import Kind, Lost, LostBy, Scaled, Scaling

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
SEEN = (
    "What the traces show of a part is how much each kind of time grew between its two runs: its share of the traced "
    "step, mean over the {}, times the timed step. These values have no interval; what no kind explains is the rest."
)
PARTS = (
    "Each part is the difference from one of these to the next: the ideal step; one device alone with its part of the "
    "batch; all devices without an exchange of gradients; all devices with it. Replicas beside each other share the "
    "host's cores, memory and input."
)
PARTS_OF_WORKERS = (
    "Each part is the difference from one of these to the next: the ideal step; one worker alone with its part of the "
    "batch; all workers without an exchange of gradients; all workers with it. Workers beside each other lose time "
    "since all wait for the last of them in every step, and since those of one host share its cores and memory."
)
OF_WORKERS = (
    "Measured under MultiWorkerMirroredStrategy in a custom loop around the model's `train_step`, since Keras's "
    "`fit` fails there (keras-team/keras#20585). In each step they also add up their losses."
)
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
    kind = "logical devices" if scaling.logical and not scaling.workers else _kind(scaling)
    efficiency = most.efficiency
    speed = wording.times(*(most.devices * end for end in (efficiency.value, efficiency.low, efficiency.high)))
    scales = f"{most.devices} {kind} are {speed} as fast as one, {wording.share(efficiency.value)} of ideal scaling"
    worst = max((lost for lost in most.lost if lost.ms.low > 0), key=lambda lost: lost.ms.value, default=None)
    if worst is None or most.step_ms is None or most.contradicts:
        return scales
    costs = f"{wording.milliseconds(worst.ms.value)} of the {wording.milliseconds(most.step_ms)} step"
    several = len(worst.by) > 1 or worst.by == ("beside",)
    return f"{scales}: {_lost_by(worst, scaling)} {'cost' if several else 'costs'} {costs}"


def speeds(scaling: Scaling) -> list[list[str]]:
    """Return a head and a row for each number of devices: how fast, how efficient, and what was predicted."""
    head = [_kind(scaling), "samples a step", "times as fast as one", "efficiency (95 %)", "predicted efficiency"]
    return [head, *(_speed(point) for point in scaling.points)] if scaling.points else []


def losses(scaling: Scaling) -> list[list[str]]:
    """Return a head and a row of ms for each number of devices: the ideal step, and what is lost, up to the step."""
    rows = [point for point in scaling.points if point.step_ms is not None]
    names = list(dict.fromkeys(_lost_by(lost, scaling) for point in rows for lost in point.lost))
    if not names:
        return []
    xla = any(point.without_xla_ms for point in rows)
    table_rows = []
    for point in rows:
        lost = {_lost_by(part, scaling): f"{_signed(part.ms)}" for part in point.lost}
        step = wording.milliseconds(point.step_ms or 0.0)
        cells = [str(point.devices), *_ideal(point), *(lost.get(name, "") for name in names), step]
        table_rows.append(cells)
    ideal = ["ideal step with XLA", "no XLA"] if xla else ["ideal step"]
    return [[_kind(scaling), *ideal, *names, "step"], *table_rows]


def _ideal(point: Scaled) -> list[str]:
    """Return the cells of the ideal step, divided by what it takes without XLA where that is known."""
    without = point.without_xla_ms
    if without is None:
        return [wording.milliseconds(point.ideal_ms)]
    return [wording.milliseconds(point.ideal_ms - without.value), _signed(without)]


def seen(scaling: Scaling) -> list[list[str]]:
    """Return a head and a row for each part that traces divide: its ms, those of each kind of time, and the rest."""
    points = [point for point in scaling.points if not point.contradicts]
    parts = [(point.devices, lost) for point in points for lost in point.lost if lost.grew]
    shown = {grew.kind for _, lost in parts for grew in lost.grew}
    kinds = [kind for kind in GREW_WORDS if kind in shown]
    table_rows = []
    for devices, lost in parts:
        ms = {grew.kind: f"{grew.ms:+.2f} ms" for grew in lost.grew}
        cells = [ms.get(kind, "") for kind in kinds]
        table_rows.append(
            [str(devices), _lost_by(lost, scaling), f"{lost.ms.value:+.2f} ms", *cells, f"{lost.rest_ms:+.2f} ms"]
        )
    head = [_kind(scaling), "part", "lost", *(GREW_WORDS[kind] for kind in kinds), "rest"]
    return [head, *table_rows] if parts else []


def sentences(scaling: Scaling) -> list[str]:
    """Say what the tables rest on, and what they leave open."""
    said = [_measured_on(scaling), _work(scaling)]
    if any(lost.by for point in scaling.points for lost in point.lost):
        said.append(PARTS_OF_WORKERS if scaling.workers else PARTS)
    if seen(scaling):
        said += [SEEN.format(_kind(scaling)), *_cores(scaling)]
    if counts := [str(point.devices) for point in scaling.points if point.contradicts]:
        said.append(
            f"With {wording.listing(counts)} {_kind(scaling)} a part is below zero beyond its interval, which is "
            "impossible: the machine changed between the runs, and the parts cannot be told apart. Measure again."
        )
    if (gain := scaling.xla_gain) is not None and gain.low > 1:
        said.append(
            f"XLA makes one device {wording.times(gain.value, gain.low, gain.high)} as fast, and Keras switches it off "
            "under `tf.distribute`. All else here is without XLA, so that numbers of devices are compared fairly; "
            "divide a speed-up by this one to compare it with a single device that uses XLA."
        )
    said += [f"{finding.claim} {finding.fix} (`{finding.cause}`)" for finding in scaling.findings]
    return [*said, *_predictions(scaling)]


def chart(scaling: Scaling | None) -> Chart | None:
    """Draw how many times as fast each number of devices is: ideal, measured and predicted."""
    if scaling is None or not scaling.points:
        return None
    bars = [bar for point in scaling.points for bar in _bars(point, _kind(scaling))]
    most = max(max(bar.value, bar.high or 0.0) for bar in bars)
    in_words = "; ".join(f"{bar.label} {bar.told}" for bar in bars)
    drawn = Bars(tuple(bars), f"times as fast as one {_kind(scaling)[:-1]}", most)
    return Chart("scaling", f"From one {_kind(scaling)[:-1]} to several", "", drawn, in_words)


def _bars(point: Scaled, kind: str) -> list[Bar]:
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


def _speed(point: Scaled) -> list[str]:
    efficiency, expected = point.efficiency, point.predicted_efficiency
    measured = ["", ""]
    if efficiency is not None:
        times = wording.times(*(point.devices * end for end in (efficiency.value, efficiency.low, efficiency.high)))
        span = f"{wording.share(efficiency.low)} to {wording.share(efficiency.high)}"
        measured = [times, f"{wording.share(efficiency.value)} ({span})"]
    return [str(point.devices), str(point.samples), *measured, wording.share(expected) if expected else ""]


def _kind(scaling: Scaling) -> str:
    return "workers" if scaling.workers else "devices"


def _lost_by(lost: Lost, scaling: Scaling) -> str:
    words = {**LOST_WORDS, "beside": "the workers beside each other"} if scaling.workers else LOST_WORDS
    return wording.listing([words[by] for by in lost.by])


def _signed(ms: Interval) -> str:
    value, low, high = (f"{end:+.2f}" for end in (ms.value, ms.low, ms.high))
    return f"{value} ms ({low} to {high})"


def _measured_on(scaling: Scaling) -> str:
    if scaling.workers:
        return OF_WORKERS + (
            f" They were processes of one host and shared its {wording.count(scaling.cores, 'core')}: that says "
            "nothing about GPUs, nor about a network."
            if scaling.logical
            else ""
        )
    if not scaling.logical:
        return "Measured under MirroredStrategy, whose gradients go through NCCL."
    return (
        f"Measured under MirroredStrategy on logical devices of one processor, which share its "
        f"{wording.count(scaling.cores, 'core')}; their gradients go through HierarchicalCopyAllReduce. It says "
        "nothing about GPUs."
    )


def _work(scaling: Scaling) -> str:
    noun = _kind(scaling)[:-1]
    if scaling.weak:
        return (
            f"Weak scaling: each {noun} has a whole batch, and the learning rate is multiplied by their number; the "
            "loss curve differs."
        )
    return (
        f"Strong scaling: the whole batch, the learning rate and the samples of each step are those of one {noun}. "
        f"BatchNormalization sees the part of its {noun} alone."
    )


def _cores(scaling: Scaling) -> list[str]:
    """Say whether the cores were short while all devices trained, where readings tell how many threads were ready."""
    told = []
    # A GPU computes without the cores.
    on_cores = {"host", "computing"} if scaling.logical else {"host"}
    for point in scaling.points:
        grew = {part.kind for lost in point.lost if "beside" in lost.by for part in lost.grew if part.ms > 0}
        if point.contradicts or point.ready_threads is None or not scaling.cores or not grew & on_cores:
            continue
        short = point.ready_threads > scaling.cores
        told.append(
            f"While all {point.devices} {_kind(scaling)} trained without an exchange, "
            f"{wording.significant(point.ready_threads)} threads of this machine wanted to run at a time on "
            f"{wording.count(scaling.cores, 'core')}: "
            + (
                "threads waited for cores, which lengthens what the host does and, on a processor, computing."
                if short
                else "the cores were not short on average, and do not explain what grew."
            )
        )
    return told


def _predictions(scaling: Scaling) -> Sequence[str]:
    foretold = [point for point in scaling.points if point.predicted_ms is not None]
    if not foretold:
        why = "no other number of devices showed an exchange to fit a link to; --link GB/S gives one"
        return [f"Nothing is predicted: {why}."] if scaling.points else []
    links = wording.listing(list(dict.fromkeys(map(_link, foretold))))
    by = "as given" if scaling.given else "fitted to the exchange of other numbers of devices"
    size = wording.mebibytes(scaling.gradients_mib or 0.0)
    return [
        f"Predicted: one {_kind(scaling)[:-1]}'s part of the step, measured alone, and a ring that adds up {size} of "
        f"gradients over {links} ({by}), all after the last gradient. It leaves out what they lose beside each "
        "other."
    ]


def _link(point: Scaled) -> str:
    latency = f" with {wording.milliseconds(point.latency_us / 1000)} a hop" if point.latency_us else ""
    return f"{wording.significant(point.link_gb_per_s or 0.0)} GB/s{latency}"
