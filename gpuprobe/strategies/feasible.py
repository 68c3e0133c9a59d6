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
DATASET = "a tf.data dataset"
HOST_FEEDS = {"slices", "augmenting_generator", *ROW_FEEDS}


def cannot(plan: Plan, workload: Workload, data: Source) -> str | None:
    """Return why the plan's feed cannot feed this data, or None where it can."""
    if plan.servers and (reason := _cannot_serve(workload, data)):
        return reason
    if isinstance(data, ArraySource):
        if plan.replicas * plan.workers > 1 and plan.batch_size > data.samples:
            return f"its data has {data.samples:,} samples, fewer than a batch of {plan.batch_size:,}"
        return _cannot_arrays(plan, workload, data)
    return _cannot_batches(plan, data)


def _cannot_serve(workload: Workload, data: Source) -> str | None:
    if not isinstance(data, ArraySource):
        ready = data.kind == DATASET
        return None if ready else f"{data.kind} is made by Python, in the process of the training alone"
    change = workload.pipeline_map
    if change is not None and calls_python(change, data.rows(slice(0, 1))):
        return "its map calls Python, which the processes of tf.data service cannot"
    return None


def _cannot_batches(plan: Plan, data: BatchSource) -> str | None:
    if plan.parallel_calls != 1:
        return "its batches come ready, with no map that could run in parallel"
    if plan.feed in ROW_FEEDS:
        instead = "tfdata" if data.kind == DATASET else "python_feed"
        return f"{data.kind} cannot be fed as numpy arrays; --strategies {instead} feeds it"
    if data.kind == DATASET and plan.feed in HOST_FEEDS:
        return f"{data.kind} cannot be fed by a Python loop over numpy"
    if plan.feed == "resident" and data.is_uneven:
        return "ragged or sparse batches cannot lie on the device as arrays"
    if plan.replicas * plan.workers > 1 and not data.are_alike:
        return "the last batch of an epoch may be smaller, and not divide among the replicas; set drop_remainder=True"
    other = data.is_uneven and plan.batch_size != batch_size(next(data.items()))
    return "ragged or sparse batches cannot be made larger or smaller" if other else None


def _cannot_arrays(plan: Plan, workload: Workload, data: ArraySource) -> str | None:
    if plan.feed == "augmenting_generator" and workload.augment is None:
        return "the workload names no augmentation"
    if plan.feed != "pipeline" and workload.map is None and data.has_strings:
        return "text can be fed by tf.data alone (--strategies tfdata)"
    if plan.feed in HOST_FEEDS and workload.map and not workload.map_takes_batches:
        # It would run on all samples before the training, and its cost would not show.
        return "its map works on one sample at a time, which tf.data does (--strategies tfdata)"
    return None
