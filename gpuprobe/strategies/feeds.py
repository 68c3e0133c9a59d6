"""The feeds, by the names that plans give them: each is made for arrays or for a data set that gives batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gpuprobe.strategies import array_feeds, batch_feeds
from gpuprobe.strategies.driving import Feed
from gpuprobe.workloads.source import BatchSource, batch_size, source

if TYPE_CHECKING:
    from gpuprobe.records import Job
    from gpuprobe.strategies.plan import Plan
    from gpuprobe.workloads.workload import Workload

Maker = Callable[..., Feed]
ARRAYS: dict[str, Maker] = {
    "slices": array_feeds.slices,
    "augmenting_generator": array_feeds.augmenting_generator,
    "arrays": array_feeds.arrays,
    "grain": array_feeds.grain,
    "data_loader": array_feeds.data_loader,
    "pipeline": array_feeds.pipeline,
    "resident": array_feeds.resident,
}
BATCHES: dict[str, Maker] = {
    "slices": batch_feeds.batch_loop,
    "augmenting_generator": batch_feeds.batches_as_given,
    "pipeline": batch_feeds.batch_pipeline,
    "resident": batch_feeds.batches_resident,
}


def make(plan: Plan, workload: Workload, seed: int, *, shared: bool = False, job: Job | None = None) -> Feed:
    """Return the feed that the plan names, which gives the workload's samples in the order of this seed.

    Where several backends have a `shared` order, it depends on none of them. Where several workers train, each gets the
    part of the samples that its `job` says.
    """
    data = source(workload)
    if isinstance(data, BatchSource):
        place = {"job": job} if job else {}
        feed = BATCHES[plan.feed](plan, workload, data, seed, **place)
        steps = data.steps * batch_size(next(data.items())) // plan.batch_size
        return replace(feed, epoch_calls=max(1, math.ceil(steps / plan.steps_per_execution)))
    calls = array_feeds.samples_used(plan, data.samples) // (plan.batch_size * plan.steps_per_execution)
    more: dict[str, Any] = {"shared": True} if shared and plan.feed == "arrays" else {}
    more |= {"job": job} if job else {}
    return replace(ARRAYS[plan.feed](plan, workload, data, seed, **more), epoch_calls=calls)
