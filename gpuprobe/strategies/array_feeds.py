"""The feeds of arrays: each returns a `Feed`, which drives the train function until the model stops.

All batches have one size: samples beyond a whole number of calls are left out, so that no strategy has to trace or
compile for a second, smaller shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from gpuprobe.backends.known import TENSORFLOW
from gpuprobe.strategies.dividing import as_planned, as_written, part_of, served
from gpuprobe.strategies.driving import Feed, driven, fit, loop
from gpuprobe.workloads.source import ArraySource, Rows, mapped
from gpuprobe.workloads.tensorflow_data import tensorflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpuprobe.records import Job
    from gpuprobe.strategies.plan import Plan
    from gpuprobe.workloads.workload import Workload

# Two processes, so that one prepares while the other hands over.
LOADER_PROCESSES = 2


def samples_used(plan: Plan, samples: int) -> int:
    """Return how many samples an epoch has: those of whole calls.

    If one call needs more than there are, some are repeated.
    """
    per_call = plan.batch_size * plan.steps_per_execution
    return max(per_call, samples // per_call * per_call)


def slices(plan: Plan, workload: Workload, arrays: ArraySource, seed: int) -> Feed:
    """`train_on_batch` over shuffled numpy slices in a Python loop."""
    ready, batch = mapped(workload, arrays), plan.batch_size
    used = samples_used(plan, arrays.samples)

    def batches(epoch: int) -> Iterator[tuple[Any, ...]]:
        order = np.resize(np.random.default_rng((seed, epoch)).permutation(arrays.samples), max(used, arrays.samples))
        for start in range(0, used, batch):
            yield ready.rows(order[start : start + batch])

    return loop(workload, batches, len(ready.parts))


def augmenting_generator(plan: Plan, workload: Workload, arrays: ArraySource, seed: int) -> Feed:
    """`fit` on a Python generator that augments with numpy."""
    ready, batch = mapped(workload, arrays), plan.batch_size
    used, augment = samples_used(plan, arrays.samples), workload.augment
    assert augment is not None

    def batches(epoch: int) -> Iterator[tuple[Any, ...]]:
        while True:
            random = np.random.default_rng((seed, epoch))
            order = np.resize(random.permutation(arrays.samples), max(used, arrays.samples))
            for start in range(0, used, batch):
                x, *rest = ready.rows(order[start : start + batch])
                yield (augment(x, random), *rest)
            epoch += 1

    return fit(workload, batches, steps_per_epoch=used // batch)


def arrays(plan: Plan, workload: Workload, arrays: ArraySource, seed: int, *, shared: bool = False) -> Feed:
    """`fit` on arrays; if several backends have a `shared` order, it is drawn before, since their shuffles differ."""
    x, *rest = mapped(workload, _in_one_order(arrays, seed) if shared else arrays).first(
        samples_used(plan, arrays.samples)
    )
    named = dict(zip(("y", "sample_weight"), rest, strict=False))
    return fit(workload, lambda _epoch: x, batch_size=plan.batch_size, shuffle=not shared, **named)


def grain(plan: Plan, workload: Workload, arrays: ArraySource, seed: int) -> Feed:
    """`fit` on a Grain pipeline: shuffled anew each epoch, and batched."""
    import grain

    used = samples_used(plan, arrays.samples)
    rows = grain.MapDataset.source(Rows(mapped(workload, arrays).first(used)))
    batches = rows.seed(seed).shuffle().repeat().batch(plan.batch_size, drop_remainder=True)
    return fit(workload, lambda _epoch: batches.to_iter_dataset(), steps_per_epoch=used // plan.batch_size)


def data_loader(plan: Plan, workload: Workload, arrays: ArraySource, seed: int) -> Feed:
    """`fit` on PyTorch's DataLoader: shuffled anew each epoch, batched in processes of its own."""
    import torch

    rows = Rows(mapped(workload, arrays).first(samples_used(plan, arrays.samples)))
    loader = torch.utils.data.DataLoader(
        rows,
        batch_size=plan.batch_size,
        shuffle=True,
        generator=torch.Generator().manual_seed(seed),
        num_workers=LOADER_PROCESSES,
        persistent_workers=True,
    )
    return fit(workload, lambda _epoch: loader)


def pipeline(plan: Plan, workload: Workload, arrays: ArraySource, seed: int, *, job: Job | None = None) -> Feed:
    """`fit`, or a custom loop, on tf.data: shuffle, map, batch, with the plan's cache and prefetch.

    Of several workers each takes its share of the shuffled samples before they are mapped. All have the same order, so
    their parts of a step together are the samples of a single worker's step.
    """
    tf = tensorflow()
    used = samples_used(plan, arrays.samples)
    samples = tf.data.Dataset.from_tensor_slices(arrays.first(used))
    calls, own = plan.parallel_calls, plan.batch_size // plan.workers
    kept = _mapped(samples, workload, calls).cache() if plan.cache else None

    def ready(epoch: int) -> Any:
        order = _seed(seed, epoch)
        if kept is not None:
            shuffled = kept.shuffle(used, seed=order)
        else:
            shuffled = _mapped(part_of(samples.shuffle(used, seed=order), job), workload, calls)
        if plan.servers and job:
            return as_planned(served(as_written(shuffled.batch(own)), own, job), plan)
        return as_planned(shuffled.batch(own, drop_remainder=True), plan)

    def warm() -> None:
        if kept is not None:
            kept.reduce(np.int64(0), lambda total, *_sample: total + 1)

    return driven(plan, workload, ready, used // plan.batch_size, warm)


def resident(plan: Plan, workload: Workload, arrays: ArraySource, seed: int) -> Feed:
    """`fit` on shuffled indices; the train step gathers the samples from the device and maps them there if it can."""
    if plan.backend != TENSORFLOW:
        return _gathered(plan, workload, arrays, seed)
    tf = tensorflow()
    used = samples_used(plan, arrays.samples)
    on_device = workload.map if workload.map_takes_batches else None
    stored = arrays if on_device else mapped(workload, arrays)
    tensors = keras.tree.map_structure(tf.constant, stored.first(used))
    change = on_device or _as_it_is

    def ready(epoch: int) -> Any:
        indices = tf.data.Dataset.range(used).shuffle(used, seed=_seed(seed, epoch))
        return indices.batch(plan.batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)

    def adapt(model: keras.Model) -> None:
        step = model.train_step

        def gathering_step(rows: Any) -> Any:
            return step(change(*keras.tree.map_structure(lambda tensor: tf.gather(tensor, rows), tensors)))

        model.train_step = gathering_step

    return fit(workload, ready, adapt=adapt)


def _gathered(plan: Plan, workload: Workload, arrays: ArraySource, seed: int) -> Feed:
    """`fit` on a generator that gathers each batch on the device.

    It is not done within the step, since JAX would copy the data into the compiled step, and PyTorch has no graph.
    """
    used = samples_used(plan, arrays.samples)
    tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, mapped(workload, arrays).first(used))

    def batches(epoch: int) -> Iterator[tuple[Any, ...]]:
        while True:
            order = np.random.default_rng((seed, epoch)).permutation(used)
            for start in range(0, used, plan.batch_size):
                rows = keras.ops.convert_to_tensor(order[start : start + plan.batch_size])
                yield keras.tree.map_structure(lambda tensor, rows=rows: keras.ops.take(tensor, rows, axis=0), tensors)
            epoch += 1

    return fit(workload, batches, steps_per_epoch=used // plan.batch_size)


def _seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])


def _in_one_order(arrays: ArraySource, seed: int) -> ArraySource:
    return ArraySource(parts=arrays.rows(np.random.default_rng(seed).permutation(arrays.samples)))


def _mapped(samples: Any, workload: Workload, calls: int) -> Any:
    change = workload.pipeline_map
    # Without `num_parallel_calls` TensorFlow runs the map in the thread that asks for the next sample.
    return samples.map(change, num_parallel_calls=None if calls == 1 else calls) if change else samples


def _as_it_is(*parts: Any) -> tuple[Any, ...]:
    return parts
