"""Checks which plans can feed which data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.strategies.dividing import calls_python
from gpuprobe.workloads.source import ArraySource, BatchSource, Source, batch_size

if TYPE_CHECKING:
    from gpuprobe.strategies.plan import Plan
    from gpuprobe.workloads.workload import Workload

# Feeds that need finished arrays.
ROW_FEEDS = {"arrays", "grain", "data_loader"}
HOST_FEEDS = {"slices", "augmenting_generator", *ROW_FEEDS}


def cannot(plan: Plan, workload: Workload, given: Source) -> str | None:
    """Return why the plan's feed cannot feed this data, or None where it can."""
    if plan.servers and (reason := _cannot_serve(workload, given)):
        return reason
    if isinstance(given, ArraySource):
        if plan.replicas * plan.workers > 1 and plan.batch_size > given.samples:
            return f"its data has {given.samples:,} samples, fewer than a batch of {plan.batch_size:,}"
        return _cannot_arrays(plan, workload, given)
    return _cannot_batches(plan, given)


def _cannot_serve(workload: Workload, given: Source) -> str | None:
    if not isinstance(given, ArraySource):
        ready = given.kind == "a tf.data dataset"
        return None if ready else f"{given.kind} is made by Python, in the process of the training alone"
    change = workload.pipeline_map
    if change is not None and calls_python(change, given.rows(slice(0, 1))):
        return "its map calls Python, which the processes of tf.data service cannot"
    return None


def _cannot_batches(plan: Plan, given: BatchSource) -> str | None:
    if plan.parallel_calls != 1:
        return "its batches come ready, with no map that could run in parallel"
    if plan.feed in ROW_FEEDS:
        return f"{given.kind} cannot be fed as numpy arrays"
    if given.kind == "a tf.data dataset" and plan.feed in HOST_FEEDS:
        return f"{given.kind} cannot be fed by a Python loop over numpy"
    if plan.feed == "resident" and given.is_uneven:
        return "ragged or sparse batches cannot lie on the device as arrays"
    if plan.replicas * plan.workers > 1 and not given.are_alike:
        return "the last batch of an epoch may be smaller, and not divide among the replicas; set drop_remainder=True"
    other = given.is_uneven and plan.batch_size != batch_size(next(given.items()))
    return "ragged or sparse batches cannot be made larger or smaller" if other else None


def _cannot_arrays(plan: Plan, workload: Workload, given: ArraySource) -> str | None:
    if plan.feed == "augmenting_generator" and workload.augment is None:
        return "the workload names no augmentation"
    if plan.feed != "pipeline" and workload.map is None and given.has_strings:
        return "text can be fed by tf.data alone"
    if plan.feed in HOST_FEEDS and workload.map and not workload.map_takes_batches:
        # It would run on all samples before the training, and its cost would not show.
        return "its map works on one sample at a time, which tf.data does"
    return None
