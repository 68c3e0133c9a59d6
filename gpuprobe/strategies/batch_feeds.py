"""The feeds of a data set that gives whole batches: each returns a `Feed`, which drives the train function."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from gpuprobe.strategies.array_feeds import resident
from gpuprobe.strategies.dividing import as_planned, part_of, served
from gpuprobe.strategies.driving import Feed, driven, fit, loop
from gpuprobe.workloads.source import BatchSource, batch_size, collected
from gpuprobe.workloads.tensorflow_data import tensorflow

if TYPE_CHECKING:
    from gpuprobe.records import Job
    from gpuprobe.strategies.plan import Plan
    from gpuprobe.workloads.workload import Workload

ALL_MADE = "each worker makes all batches, and trains on its part of each: they come ready, and are divided only then"
FROZEN = "each epoch repeats the batches of the first one: augmentation and other random changes are made once"


def batch_loop(plan: Plan, workload: Workload, batch_source: BatchSource, seed: int) -> Feed:
    """`train_on_batch` over the batches in a Python loop."""
    return loop(workload, lambda _epoch: batch_source.items(), len(next(batch_source.items())))


def batches_as_given(plan: Plan, workload: Workload, batch_source: BatchSource, seed: int) -> Feed:
    """`fit` on the user's own data object."""
    return fit(workload, lambda _epoch: batch_source.endless(), steps_per_epoch=batch_source.steps)


def batch_pipeline(
    plan: Plan, workload: Workload, batch_source: BatchSource, seed: int, *, job: Job | None = None
) -> Feed:
    """`fit`, or a custom loop, on tf.data over the user's batches, followed by the plan's cache and prefetch.

    Of several workers each makes all batches, and trains on its part of each.
    """
    batches = batch_source.dataset()
    size = batch_size(next(iter(batches)))
    if plan.batch_size > size:
        batches = batches.batch(plan.batch_size // size, drop_remainder=True).map(_merge)
    elif plan.batch_size < size:
        batches = batches.rebatch(plan.batch_size, drop_remainder=True)
    own = plan.batch_size // plan.workers
    if plan.servers and job:
        batches = served(batches, own, job)
    elif plan.workers > 1:
        batches = part_of(batches.rebatch(own, drop_remainder=True), job)
    if plan.cache:
        batches = batches.cache()

    def warm() -> None:
        if plan.cache:
            batches.reduce(np.int64(0), lambda total, *_batch: total + 1)

    steps = max(1, batch_source.steps * size // plan.batch_size)
    feed = driven(plan, workload, lambda _epoch: as_planned(batches, plan), steps, warm)
    notes = (*([FROZEN] if plan.cache else []), *([ALL_MADE] if plan.workers > 1 and not plan.servers else []))
    return replace(feed, notes=notes)


def batches_resident(plan: Plan, workload: Workload, batch_source: BatchSource, seed: int) -> Feed:
    """`resident` on one epoch of the user's batches."""
    return replace(resident(plan, replace(workload, map=None), collected(batch_source), seed), notes=(FROZEN,))


def _merge(*parts: Any) -> Any:
    """Make one batch of several: (k, n, ...) becomes (k n, ...)."""
    tf = tensorflow()
    return keras.tree.map_structure(lambda leaf: tf.reshape(leaf, tf.concat([[-1], tf.shape(leaf)[2:]], 0)), parts)
