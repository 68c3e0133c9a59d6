"""The sentences on a study of several devices or workers: how it was measured, and what is predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report.scaling import devices_or_workers, traced_parts_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ranking.scaling import Scaling, ScalingPoint

TRACED_NOTE = (
    "The traces show how much each kind of time grew between the two runs of a part: the share of the traced step, "
    "mean over the {}, times the timed step. These values have no interval; the rest is what no kind explains."
)
PARTS_NOTE = (
    "Each part is the difference from one of these to the next: the ideal step; one device alone with its part of the "
    "batch; all devices without an exchange of gradients; all devices with it. Replicas beside each other share the "
    "host's cores, memory and input."
)
WORKER_PARTS_NOTE = (
    "Each part is the difference from one of these to the next: the ideal step; one worker alone with its part of the "
    "batch; all workers without an exchange of gradients; all workers with it. Workers beside each other lose time "
    "since all wait for the last of them in every step, and since those of one host share its cores and memory."
)
WORKERS_NOTE = (
    "Measured under MultiWorkerMirroredStrategy in a custom loop around the model's `train_step`, since Keras's "
    "`fit` fails there (keras-team/keras#20585). In each step they also add up their losses."
)


def sentences(scaling: Scaling) -> list[str]:
    """Say how the figures of the tables were measured, and what they do not show."""
    scaling_sentences = [_measured_on(scaling), _scaling_kind(scaling)]
    if any(lost.by for point in scaling.points for lost in point.lost):
        scaling_sentences.append(WORKER_PARTS_NOTE if scaling.workers else PARTS_NOTE)
    if traced_parts_table(scaling):
        scaling_sentences += [TRACED_NOTE.format(devices_or_workers(scaling)), *_core_sentences(scaling)]
    if impossible_counts := [str(point.devices) for point in scaling.points if point.contradicts]:
        scaling_sentences.append(
            f"With {wording.listing(impossible_counts)} {devices_or_workers(scaling)} a part is below zero beyond its "
            "interval, which is impossible: the machine changed between the runs, and the parts cannot be told apart. "
            "Measure again."
        )
    if (gain := scaling.xla_gain) is not None and gain.low > 1:
        scaling_sentences.append(
            f"XLA makes one device {wording.times(gain.value, gain.low, gain.high)} as fast, and Keras switches it off "
            "under `tf.distribute`. All else here is without XLA, so that numbers of devices are compared fairly; "
            "divide a speed-up by this one to compare it with a single device that uses XLA."
        )
    scaling_sentences += [f"{finding.claim} {finding.fix} (`{finding.cause}`)" for finding in scaling.findings]
    return [*scaling_sentences, *_predictions(scaling)]


def _measured_on(scaling: Scaling) -> str:
    if scaling.workers:
        return WORKERS_NOTE + _hosts_sentence(scaling)
    if not scaling.logical:
        return "Measured under MirroredStrategy, whose gradients go through NCCL."
    return (
        f"Measured under MirroredStrategy on logical devices of one processor, which share its "
        f"{wording.count(scaling.cores, 'core')}; their gradients go through HierarchicalCopyAllReduce. It says "
        "nothing about GPUs."
    )


def _hosts_sentence(scaling: Scaling) -> str:
    """Say on how many hosts the workers ran, and what their processors cannot show; empty for the GPUs of one host."""
    if scaling.own_hosts:
        what_is_missing = " They trained on processors, which says nothing about GPUs." if scaling.logical else ""
        return (
            " Each was started by itself, as on a host of its own (`--worker-index`), and what one worker does alone "
            f"was measured at worker 0.{what_is_missing}"
        )
    if scaling.logical:
        return (
            f" They were processes of one host and shared its {wording.count(scaling.cores, 'core')}: that says "
            "nothing about GPUs, nor about a network."
        )
    return ""


def _scaling_kind(scaling: Scaling) -> str:
    noun = devices_or_workers(scaling)[:-1]
    if scaling.weak:
        return (
            f"Weak scaling: each {noun} has a whole batch, and the learning rate is multiplied by their number; the "
            "loss curve differs."
        )
    return (
        f"Strong scaling: the whole batch, the learning rate and the samples of each step are those of one {noun}. "
        f"BatchNormalization sees the part of its {noun} alone."
    )


def _core_sentences(scaling: Scaling) -> list[str]:
    """Say whether the cores were short while all devices trained, where readings tell how many threads were ready."""
    core_sentences = []
    # A GPU computes without the cores.
    on_cores = {"host", "computing"} if scaling.logical else {"host"}
    for point in scaling.points:
        kinds_grown = {part.kind for lost in point.lost if "beside" in lost.by for part in lost.grew if part.ms > 0}
        if point.contradicts or point.ready_threads is None or not scaling.cores or not kinds_grown & on_cores:
            continue
        cores_short = point.ready_threads > scaling.cores
        core_sentences.append(
            f"While all {point.devices} {devices_or_workers(scaling)} trained without an exchange, "
            f"{wording.significant(point.ready_threads)} threads of this machine wanted to run at a time on "
            f"{wording.count(scaling.cores, 'core')}: "
            + (
                "threads waited for cores, which lengthens what the host does and, on a processor, computing."
                if cores_short
                else "the cores were not short on average, and do not explain what grew."
            )
        )
    return core_sentences


def _predictions(scaling: Scaling) -> Sequence[str]:
    predicted_points = [point for point in scaling.points if point.predicted_ms is not None]
    if not predicted_points:
        return [f"Nothing is predicted: {_why_not_predicted(scaling)}."] if scaling.points else []
    links = wording.listing(list(dict.fromkeys(map(_link_words, predicted_points))))
    link_source = "as given" if scaling.given else "fitted to the exchange of other numbers of devices"
    gradients_size = wording.mebibytes(scaling.gradients_mib or 0.0)
    return [
        f"Predicted: one {devices_or_workers(scaling)[:-1]}'s part of the step, measured alone, and a ring that adds "
        f"up {gradients_size} of gradients over {links} ({link_source}), all after the last gradient. It leaves out "
        "what they lose beside each other."
    ]


def _why_not_predicted(scaling: Scaling) -> str:
    if not scaling.gradients_mib:
        return "how large the gradients are is not known"
    noun = devices_or_workers(scaling)
    if all(point.alone_ms is None for point in scaling.points):
        return f"one {noun[:-1]} alone with its part of the batch was not measured"
    return f"no other number of {noun} showed an exchange to fit a link to; --link GB/S gives one"


def _link_words(point: ScalingPoint) -> str:
    latency = f" with {wording.milliseconds(point.latency_us / 1000)} a hop" if point.latency_us else ""
    return f"{wording.significant(point.link_gb_per_s or 0.0)} GB/s{latency}"
