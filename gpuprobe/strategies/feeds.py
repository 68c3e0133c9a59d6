"""The feeds that plans name: each returns a `Feed`, which drives the train function until the model stops.

Batches of arrays all have one size: samples beyond a whole number of calls are left out, so that no strategy has to
trace or compile for a second, smaller shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from gpuprobe.backends.known import TENSORFLOW
from gpuprobe.strategies.dividing import as_written, part_of, served
from gpuprobe.strategies.driving import Feed, fit, loop, own_loop
from gpuprobe.workloads.source import ArraySource, BatchSource, Rows, batch_size, collected, mapped, source
from gpuprobe.workloads.tensorflow_data import tensorflow

if TYPE_CHECKING:
    from gpuprobe.records import Job
    from gpuprobe.strategies.plan import Plan
    from gpuprobe.workloads.workload import Workload

# Two processes, so that one prepares while the other hands over.
LOADER_PROCESSES = 2
ALL_MADE = "each worker makes all batches, and trains on its part: what is not tf.data's cannot be divided before"
FROZEN = "each epoch gets the batches of the first one: what changes them at random comes before"


def make(plan: Plan, workload: Workload, seed: int, *, shared: bool = False, job: Job | None = None) -> Feed:
    """Return the feed that the plan names, for this workload and order of samples, `shared` by several backends.

    Of several workers each gets the part that its `job` says.
    """
    given = source(workload)
    if isinstance(given, BatchSource):
        place = {"job": job} if job else {}
        feed = BATCHES[plan.feed](plan, workload, given, seed, **place)
        steps = given.steps * batch_size(next(given.items())) // plan.batch_size
        return replace(feed, epoch_calls=max(1, math.ceil(steps / plan.steps_per_execution)))
    calls = samples_used(plan, given.samples) // (plan.batch_size * plan.steps_per_execution)
    more: dict[str, Any] = {"shared": True} if shared and plan.feed == "arrays" else {}
    more |= {"job": job} if job else {}
    return replace(ARRAYS[plan.feed](plan, workload, given, seed, **more), epoch_calls=calls)


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
            return _as_planned(served(as_written(shuffled.batch(own)), own, job), plan)
        return _as_planned(shuffled.batch(own, drop_remainder=True), plan)

    def warm() -> None:
        if kept is not None:
            kept.reduce(np.int64(0), lambda total, *_sample: total + 1)

    return _driven(plan, workload, ready, used // plan.batch_size, warm)


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


def batch_loop(plan: Plan, workload: Workload, given: BatchSource, seed: int) -> Feed:
    """`train_on_batch` over the batches in a Python loop."""
    return loop(workload, lambda _epoch: given.items(), len(next(given.items())))


def batches_as_given(plan: Plan, workload: Workload, given: BatchSource, seed: int) -> Feed:
    """`fit` on the user's own data object."""
    return fit(workload, lambda _epoch: given.endless(), steps_per_epoch=given.steps)


def batch_pipeline(plan: Plan, workload: Workload, given: BatchSource, seed: int, *, job: Job | None = None) -> Feed:
    """`fit`, or a custom loop, on tf.data over the user's batches, followed by the plan's cache and prefetch.

    Of several workers each makes all batches, and trains on its part of each.
    """
    batches = given.dataset()
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

    steps = max(1, given.steps * size // plan.batch_size)
    feed = _driven(plan, workload, lambda _epoch: _as_planned(batches, plan), steps, warm)
    notes = (*([FROZEN] if plan.cache else []), *([ALL_MADE] if plan.workers > 1 and not plan.servers else []))
    return replace(feed, notes=notes)


def batches_resident(plan: Plan, workload: Workload, given: BatchSource, seed: int) -> Feed:
    """`resident` on one epoch of the user's batches."""
    return replace(resident(plan, replace(workload, map=None), collected(given), seed), notes=(FROZEN,))


Maker = Callable[..., Feed]
ARRAYS: dict[str, Maker] = {
    "slices": slices,
    "augmenting_generator": augmenting_generator,
    "arrays": arrays,
    "grain": grain,
    "data_loader": data_loader,
    "pipeline": pipeline,
    "resident": resident,
}
BATCHES: dict[str, Maker] = {
    "slices": batch_loop,
    "augmenting_generator": batches_as_given,
    "pipeline": batch_pipeline,
    "resident": batches_resident,
}


def _seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])


def _in_one_order(arrays: ArraySource, seed: int) -> ArraySource:
    return ArraySource(parts=arrays.rows(np.random.default_rng(seed).permutation(arrays.samples)))


def _driven(plan: Plan, workload: Workload, ready: Callable[[int], Any], steps: int, warm: Callable[[], None]) -> Feed:
    return own_loop(workload, ready, steps, warm) if plan.own_loop else fit(workload, ready, warm=warm)


def _mapped(samples: Any, workload: Workload, calls: int) -> Any:
    change = workload.pipeline_map
    # Without `num_parallel_calls` TensorFlow runs the map in the thread that asks for the next sample.
    return samples.map(change, num_parallel_calls=None if calls == 1 else calls) if change else samples


def _as_it_is(*parts: Any) -> tuple[Any, ...]:
    return parts


def _merge(*parts: Any) -> Any:
    """Make one batch of several: (k, n, ...) becomes (k n, ...)."""
    tf = tensorflow()
    return keras.tree.map_structure(lambda leaf: tf.reshape(leaf, tf.concat([[-1], tf.shape(leaf)[2:]], 0)), parts)


def _as_planned(batches: Any, plan: Plan) -> Any:
    if plan.prefetch:
        batches = batches.prefetch(plan.prefetch)
    return as_written(batches)
