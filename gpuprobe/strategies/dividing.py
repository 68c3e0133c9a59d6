"""How several workers divide a data set, and how servers prepare it for them: tf.data's sharding and its service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpuprobe.workloads.tensorflow_data import tensorflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpuprobe.records import Job

# By this name the workers of a job find the epoch that they share; one that reads alone needs none.
EPOCHS = "epochs"
# As `tf.py_function` and `tf.numpy_function` are called in a graph.
PYTHON_OPERATIONS = {"EagerPyFunc", "PyFunc", "PyFuncStateless"}


def part_of(samples: Any, job: Job | None) -> Any:
    """Return every so many elements, those of this worker; all where it trains alone, or servers hand them out."""
    if job is None or not job.workers or job.service:
        return samples
    return samples.shard(len(job.workers), job.index)


def served(batches: Any, size: int, job: Job) -> Any:
    """Return the batches as the servers of tf.data service prepare them, each of `size` samples.

    Each sample of an epoch comes once, in an order of the servers' own: they take the samples to prepare one after the
    other (dynamic sharding), and what is left of the last batch of each is put together here.
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
    """Say whether a map of samples calls a Python function, which exists in the process that made the map alone."""
    tf = tensorflow()
    samples = tf.data.Dataset.from_tensor_slices(rows)
    graph = tf.function(change).get_concrete_function(*samples.element_spec).graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return any(node.op in PYTHON_OPERATIONS for node in nodes)


def as_written(batches: Any) -> Any:
    """Return the pipeline as it is written: TensorFlow adds nothing to it by itself.

    It would add a prefetch, or fuse map and batch into one that works ahead; then what prefetching gains could not be
    seen. The pipelines do what they say, and differ in nothing else.
    """
    options = tensorflow().data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.experimental_optimization.inject_prefetch = False
    return batches.with_options(options)
