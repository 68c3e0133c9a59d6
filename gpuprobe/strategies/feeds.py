"""The feeds that plans name: each makes what drives the train function until the model says stop.

Batches are all of one size: what a whole number of calls does not use of the training set is left out, so that no
strategy pays for tracing or compiling a second, smaller shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from gpuprobe.strategies.plan import Plan
    from gpuprobe.workloads.workload import Workload

# Training ends when the measuring is done, never because the epochs ran out.
ENDLESS = 1_000_000


def _nothing() -> None:
    """Most feeds have nothing to do before the first step."""


@dataclass(frozen=True, kw_only=True)
class Feed:
    """`warm` does once what only a first epoch pays for; `train` runs steps until `model.stop_training`."""

    train: Callable[[keras.Model], None]
    warm: Callable[[], None] = _nothing
    adapt: Callable[[keras.Model], None] = lambda _model: None


def make(plan: Plan, workload: Workload, seed: int) -> Feed:
    """Return the feed that the plan names, for this workload and order of samples."""
    maker: Callable[[Plan, Workload, int], Feed] = globals()[plan.feed]
    return maker(plan, workload, seed)


def samples_used(plan: Plan, workload: Workload) -> int:
    """How many training samples an epoch has: as many as fill whole calls, and at least one call."""
    per_call = plan.batch_size * plan.steps_per_execution
    return max(per_call, len(workload.data.x) // per_call * per_call)


def slices(plan: Plan, workload: Workload, seed: int) -> Feed:
    """`train_on_batch` over shuffled numpy slices in a Python loop."""
    x, y = workload.prepare_arrays()
    used, batch = samples_used(plan, workload), plan.batch_size

    def train(model: keras.Model) -> None:
        random = np.random.default_rng(seed)
        model.stop_training = False
        for epoch in range(ENDLESS):
            model.optimizer.learning_rate.assign(workload.learning_rate(epoch))
            model.reset_metrics()
            order = random.permutation(len(x))
            for start in range(0, used, batch):
                rows = order[start : start + batch]
                model.train_on_batch(x[rows], y[rows])
                if model.stop_training:
                    return

    return Feed(train=train)


def augmenting_generator(plan: Plan, workload: Workload, seed: int) -> Feed:
    """`fit` on a Python generator that augments with numpy."""
    x, y = workload.prepare_arrays()
    used, batch = samples_used(plan, workload), plan.batch_size

    def batches() -> Iterator[tuple[Any, Any]]:
        random = np.random.default_rng(seed)
        while True:
            order = random.permutation(len(x))
            for start in range(0, used, batch):
                rows = order[start : start + batch]
                yield workload.augment(x[rows], random), y[rows]

    return _fit(workload, batches(), steps_per_epoch=used // batch)


def arrays(plan: Plan, workload: Workload, seed: int) -> Feed:
    """`fit` on arrays."""
    x, y = workload.prepare_arrays()
    used = samples_used(plan, workload)
    return _fit(workload, x[:used], y=y[:used], batch_size=plan.batch_size)


def pipeline(plan: Plan, workload: Workload, seed: int) -> Feed:
    """`fit` on tf.data: shuffle, map, batch, with the plan's cache and prefetch."""
    used = samples_used(plan, workload)
    images = tf.data.Dataset.from_tensor_slices((workload.data.x[:used], workload.data.y[:used]))
    if plan.cache:
        kept = images.map(workload.map_sample).cache()
        ready = kept.shuffle(used, seed=seed)
    else:
        kept = None
        ready = images.shuffle(used, seed=seed).map(workload.map_sample)
    ready = ready.batch(plan.batch_size, drop_remainder=True)
    if plan.prefetch:
        ready = ready.prefetch(tf.data.AUTOTUNE)
    # By itself TensorFlow would add a prefetch, or fuse map and batch into one that works ahead; then what prefetching
    # gains could not be seen. The pipelines do what they say, and differ in nothing else.
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.experimental_optimization.inject_prefetch = False
    ready = ready.with_options(options)

    def warm() -> None:
        if kept is not None:
            kept.reduce(np.int64(0), lambda total, _sample: total + 1)

    return _fit(workload, ready, warm=warm)


def resident(plan: Plan, workload: Workload, seed: int) -> Feed:
    """`fit` on shuffled indices; the train step gathers the images from the device and scales them there."""
    used = samples_used(plan, workload)
    images, labels = tf.constant(workload.data.x[:used]), tf.constant(workload.data.y[:used])
    indices = tf.data.Dataset.range(used).shuffle(used, seed=seed).batch(plan.batch_size, drop_remainder=True)

    def adapt(model: keras.Model) -> None:
        step = model.train_step

        def gathering_step(rows: Any) -> Any:
            return step(workload.prepare(tf.gather(images, rows), tf.gather(labels, rows)))

        model.train_step = gathering_step

    return _fit(workload, indices.prefetch(tf.data.AUTOTUNE), adapt=adapt)


def _fit(
    workload: Workload,
    x: Any,
    *,
    warm: Callable[[], None] = _nothing,
    adapt: Callable[[keras.Model], None] = lambda _model: None,
    **options: Any,
) -> Feed:
    def train(model: keras.Model) -> None:
        # The scheduler has no batch hooks, so it costs no step anything and forces no reading of the loss.
        schedule = keras.callbacks.LearningRateScheduler(workload.learning_rate)
        model.fit(x, epochs=ENDLESS, verbose=0, callbacks=[schedule], **options)

    return Feed(train=train, warm=warm, adapt=adapt)
