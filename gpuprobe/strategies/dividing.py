"""How a tf.data pipeline is divided among workers, prepared by servers of its service, and kept as it was written."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from gpuprobe.workloads.tensorflow_data import tensorflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpuprobe.records import Job
    from gpuprobe.strategies.plan import Plan

# The name by which workers of a job share an epoch; a single one needs none.
EPOCHS = "epochs"
# The operations of `tf.py_function` and `tf.numpy_function` in a graph.
PYTHON_OPERATIONS = {"EagerPyFunc", "PyFunc", "PyFuncStateless"}


def part_of(samples: Any, job: Job | None) -> Any:
    """Return this worker's elements, every n-th one; all if it trains alone, or if servers hand them out."""
    if job is None or not job.workers or job.service:
        return samples
    return samples.shard(len(job.workers), job.index)


def served(batches: Any, size: int, job: Job) -> Any:
    """Return the batches that the servers of tf.data service prepare, each of `size` samples.

    Each sample comes once in an epoch, in the servers' order: each takes the next samples when it is free (dynamic
    sharding). What is left over in their last batches is joined here.
    """
    service = tensorflow().data.experimental.service
    prepared = batches.apply(
        service.distribute(
            processing_mode=service.ShardingPolicy.DYNAMIC,
            service=f"grpc://{job.service}",
            job_name=EPOCHS if job.workers else None,
        )
    )
    return prepared.rebatch(size, drop_remainder=True)


def calls_python(change: Callable[..., Any], rows: tuple[Any, ...]) -> bool:
    """Return whether a map calls a Python function, which exists only in the process that made the map."""
    tf = tensorflow()
    samples = tf.data.Dataset.from_tensor_slices(rows)
    graph = tf.function(change).get_concrete_function(*samples.element_spec).graph.as_graph_def()
    nested = attrgetter("library.function")(graph)
    nodes = [*graph.node, *(node for function in nested for node in function.node_def)]
    return any(node.op in PYTHON_OPERATIONS for node in nodes)


def as_written(batches: Any) -> Any:
    """Return the pipeline with TensorFlow's own optimizations switched off.

    They would add a prefetch, or fuse map and batch into a stage that works ahead. Both hide what prefetching gains.
    """
    options = tensorflow().data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.experimental_optimization.inject_prefetch = False
    return batches.with_options(options)


def as_planned(batches: Any, plan: Plan) -> Any:
    """Return the pipeline with the prefetch of the plan, and nothing that TensorFlow would add."""
    if plan.prefetch:
        batches = batches.prefetch(plan.prefetch)
    return as_written(batches)
