"""How several workers divide a data set, and how servers prepare it for them: tf.data's sharding and its service."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from gpuprobe.workloads.tensorflow_data import tensorflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpuprobe.records import Job

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

    Each sample of an epoch comes once, in the servers' order: they take samples dynamically (dynamic sharding), and the
    rests of their last batches are joined here.
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

    They add a prefetch, or fuse map and batch into a stage that works ahead, which would hide the gain of prefetching.
    """
    options = tensorflow().data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.experimental_optimization.inject_prefetch = False
    return batches.with_options(options)
