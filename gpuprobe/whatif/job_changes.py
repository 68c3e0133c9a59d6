"""Changes that could make a job of several devices faster, each tried on the job's replay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe import wording
from gpuprobe.records import Gain
from gpuprobe.thresholds import fixed
from gpuprobe.units import PS_PER_MS
from gpuprobe.whatif.base import TRACED
from gpuprobe.whatif.job import JobModel, TracedJob, traced_job
from gpuprobe.whatif.packs import packed, why_not_packed
from gpuprobe.whatif.records import Prediction, Unpredicted

if TYPE_CHECKING:
    from gpuprobe.ledger.breakdown import Workings
    from gpuprobe.ledger.exchanges import Exchanges
    from gpuprobe.whatif.job import Floats

PACKS, FASTER = 4, 2
TOGETHER = "the devices come to their exchanges at the same time"
NO_INPUT = "no device waits for its input"


@dataclass(frozen=True)
class JobChange:
    """One change of a job: `alter` gives the job after it, `utmost` the job that no change of this kind can exceed.

    `hindrance` says why the change does not apply, empty where it does.
    """

    id: str
    assumption: str
    alter: Callable[[TracedJob], JobModel]
    utmost: Callable[[TracedJob], JobModel]
    hindrance: Callable[[TracedJob], str] = lambda _: ""


def job_changes(latency_ms: float = 0.0) -> tuple[JobChange, ...]:
    """Return the changes to try on every job; `latency_ms` of each exchange is latency, which no link shortens."""
    return (
        JobChange(
            "straggler_removed",
            "each device takes as long as all do on average",
            lambda job: _alike(job.model(), np.mean),
            lambda job: _alike(job.model(), np.min),
            lambda job: TOGETHER if len(job.workers) < 2 or not job.exchanged.waited_ps.any() else "",
        ),
        link_times(FASTER, latency_ms),
        JobChange(
            "gradients_fp16",
            "half as much is exchanged; adding up in 16 bits costs nothing and loses nothing",
            lambda job: _slower(job.model(), 0.5, latency_ms),
            lambda job: _slower(job.model(), 0.0, 0.0),
        ),
        overlapped(PACKS, latency_ms),
        JobChange(
            "input_service",
            "every batch is ready on every worker, since others prepare it",
            lambda job: job.model(fed=False),
            lambda job: job.model(fed=False),
            lambda job: "" if any(len(worker.waiting) for worker in job.workers) else NO_INPUT,
        ),
        devices_times(FASTER, latency_ms),
    )


def link_times(factor: float, latency_ms: float = 0.0) -> JobChange:
    """Links that are `factor` times as fast, or slower for a factor below 1."""
    return JobChange(
        f"link_times_{factor:g}",
        f"what is exchanged crosses links {factor:g} times as fast; the latency stays",
        lambda job: _slower(job.model(), 1 / factor, latency_ms),
        lambda job: _slower(job.model(), 0.0, 0.0),
    )


def devices_times(factor: int, latency_ms: float = 0.0) -> JobChange:
    """`factor` times the devices, each with its batch of now: a ring of N sends 2 (N - 1) / N of the gradients."""

    def larger(job: TracedJob) -> JobModel:
        before = len(job.workers)
        after = before * factor
        sent = (after - 1) / after / ((before - 1) / before)
        return _slower(job.model(), sent, latency_ms, (after - 1) / (before - 1))

    return JobChange(
        f"devices_times_{factor}",
        f"{factor} times as many devices, each with the batch that it has now, exchange in a ring",
        larger,
        larger,
    )


def overlapped(packs: int, latency_ms: float = 0.0) -> JobChange:
    """Gradients go in several packs while the backward pass computes the next ones."""
    return JobChange(
        f"packs_overlapped_{packs}",
        f"the gradients go in {packs} packs, each as soon as it is there; the backward pass is two thirds of computing",
        lambda job: packed(job, packs, latency_ms),
        lambda job: _slower(job.model(), 0.0, 0.0),
        why_not_packed,
    )


def predictions(
    workings: Workings, step_ms: float, changes: tuple[JobChange, ...] | None = None
) -> tuple[list[Prediction], list[Unpredicted]]:
    """Predict each change of the job, or say why not; both empty where none shows. `step_ms` is the untraced step."""
    if len(workings.devices) < 2:
        return [], []
    job = traced_job(workings)
    if isinstance(job, str):
        return [], [Unpredicted(change=change.id, reason=job) for change in changes or job_changes()]
    tried = job_changes(latency_ms(job.exchanged)) if changes is None else changes
    now, measured = job.model().step_ms(), _measured_ms(job)
    error = now / measured - 1
    if abs(error) > fixed.REPLAY_ERROR:
        why = (
            f"the job's replay gives {wording.milliseconds(now)} a step where {wording.milliseconds(measured)} were "
            "measured"
        )
        return [], [Unpredicted(change=change.id, reason=why) for change in tried]
    hindered = {change.id: change.hindrance(job) for change in tried}
    made = [_prediction(job, change, now, step_ms, error) for change in tried if not hindered[change.id]]
    return made, [Unpredicted(change=name, reason=why) for name, why in hindered.items() if why]


def latency_ms(exchanged: Exchanges) -> float:
    """Return the part of an exchange's time in ms that does not depend on its size; 0 where that is not known.

    It is the intercept of a line through transfer times by size, which needs exchanges of several known sizes.
    """
    known = exchanged.bytes > 0
    size, took = exchanged.bytes[known].astype(np.float64), exchanged.transfer_ps[known] / PS_PER_MS
    if len(np.unique(size)) < 2:
        return 0.0
    per_byte, fixed_ms = np.polyfit(size, took, 1)
    return float(min(max(fixed_ms, 0.0), took.min())) if per_byte > 0 else 0.0


def _prediction(job: TracedJob, change: JobChange, now: float, step_ms: float, error: float) -> Prediction:
    then, utmost = change.alter(job).step_ms() / now, change.utmost(job).step_ms() / now
    doubt = max(fixed.FINEST, abs(error))
    bound = min(then, utmost) * (1 - fixed.FINEST)
    low, high = max(bound, then * (1 - doubt)), then * (1 + doubt)
    return Prediction(
        change=change.id,
        step_ms=step_ms * then,
        low_ms=step_ms * low,
        high_ms=step_ms * high,
        gain=Gain(ratio=1 / then, low=1 / high, high=1 / low, over=TRACED),
        bound=1 / bound,
        replay_error_fraction=error,
        assumption=change.assumption,
    )


def _measured_ms(job: TracedJob) -> float:
    """Return the measured step in ms, between ends of exchanges on the first device, as the replay counts it."""
    ends = job.exchanged.end_ps[0]
    packs = len(ends) // job.steps
    return float(ends[-1] - ends[packs - 1]) / PS_PER_MS / (job.steps - 1)


def _alike(model: JobModel, of_all: Callable[..., Floats]) -> JobModel:
    """Let every device take the same time from one exchange to the next: the mean of all devices, or the minimum."""
    apart = np.diff(model.ready, axis=1, prepend=model.ready[:, :1])
    ready = np.cumsum(of_all(apart, axis=0))
    need = ready + of_all(model.need - model.ready, axis=0)
    first = ready[:: model.packs]
    waits = ~np.isnan(model.fed[:, 0])
    # Where a device waits for its batches, all devices get them at the average rate.
    before = (model.ready[waits][:, :: model.packs] - model.fed[waits]).mean(axis=0) if waits.any() else np.nan
    batch_ms = of_all(model.batch_ms, axis=0, keepdims=True)
    return replace(
        model,
        ready=ready[None],
        need=need[None],
        late_ms=np.zeros(1),
        fed=(first - before)[None],
        batch_ms=batch_ms,
    )


def _slower(model: JobModel, factor: float, latency_ms: float, latency_factor: float = 1.0) -> JobModel:
    """Let transfers beyond their latency take `factor` times as long."""
    latency = np.minimum(model.transfer, latency_ms)
    return replace(model, transfer=latency * latency_factor + (model.transfer - latency) * factor)
