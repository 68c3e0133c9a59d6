"""Gradients that go in several packs while the backward pass computes the next ones, tried on a job's replay."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.communication import are_packs
from gpuprobe.ledger.intervals import Intervals, covered
from gpuprobe.whatif.job import BACKWARD, JobModel, TracedJob, progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.traces.timeline import Int64s
    from gpuprobe.whatif.job import Floats

SEVERAL = "the gradients go in several packs already"
IDLE = "a device computes nothing in the trace"


def why_not_packed(job: TracedJob) -> str:
    """Say why the gradients cannot go in packs beside the backward pass; empty where they can."""
    if not all(len(worker.computing) for worker in job.workers):
        return IDLE
    return SEVERAL if np.count_nonzero(_gradients(job)) != job.steps else ""


def packed(job: TracedJob, packs: int, latency_ms: float) -> JobModel:
    """Let the gradients of each step go in so many packs; what else is exchanged, such as a loss, stays as it is."""
    model, gradients = job.model(), _gradients(job)
    latency = np.minimum(model.transfer, latency_ms)
    each = np.where(gradients, latency + (model.transfer - latency) / packs, model.transfer)
    count = np.where(gradients, packs, 1)
    ready = np.repeat(model.ready, count, axis=1)
    for row, (worker, gone) in enumerate(zip(job.workers, job.gone(), strict=True)):
        last = job.exchanged.start_ps[row, gradients]
        ready[row, np.repeat(gradients, count)] = _ready(worker.computing, gone, last, packs)
    return replace(model, ready=ready, need=np.repeat(model.need, count, axis=1), transfer=np.repeat(each, count))


def _gradients(job: TracedJob) -> NDArray[np.bool_]:
    """Tell which exchanges carry gradients, (k,): those at the same places in every step."""
    step = np.repeat(np.arange(job.steps), job.packs)
    return are_packs(job.exchanged.bytes, job.exchanged.transfer_ps, step)


def _ready(computing: Intervals, gone: Intervals, last: Int64s, packs: int) -> Floats:
    """Return the progress at which each pack of each step is ready: evenly over the computing of the backward pass.

    The trace may lack the begin of the first step, so its computing is taken from the second.
    """
    done = covered(computing, np.full(len(last), min(int(computing.start[0]), int(last[0]))), last).astype(np.float64)
    of_step = np.diff(done)
    of_step = np.concatenate([of_step[:1], of_step])
    shares = np.arange(packs - 1, -1, -1) / packs * BACKWARD
    wanted = done[:, None] - shares[None, :] * of_step[:, None]
    return progress(gone, _when(computing, np.maximum(wanted, 0.0).ravel(), last.repeat(packs)))


def _when(computing: Intervals, done: Floats, latest: Int64s) -> Int64s:
    """Return when `done` ps of computing were reached, (n,) int64 ps, and no later than `latest`."""
    lasted = computing.end - computing.start
    before = np.concatenate([[0], np.cumsum(lasted)[:-1]])
    index = np.maximum(np.searchsorted(before, done, side="left") - 1, 0)
    at = computing.start[index] + np.minimum(done - before[index], lasted[index]).astype(np.int64)
    at_ps: Int64s = np.minimum(at, latest)
    return at_ps
