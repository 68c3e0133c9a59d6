"""Advice on causes outside the steps: what to change, and the code as a diff."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpuprobe.records import Evidence

SMALL_FITS = "- model.fit(x, y)\n+ model.train_on_batch(x, y)"
SMALL_PREDICTS = "- model.predict(x)\n+ model.predict_on_batch(x)  # or predict once, for all samples together"
PREDICT_AT_ONCE = (
    "Call predict once, for all samples together; where each sample comes alone, call predict_on_batch, or the model "
    "itself in a tf.function."
)
ONE_LONG_EPOCH = (
    "- model.fit(ds, epochs=epochs)\n"
    "+ model.fit(ds.repeat(), steps_per_epoch=steps, epochs=total_steps // steps)  # steps: a few hundred"
)
LONGER = "Make an epoch longer: repeat() the data and give steps_per_epoch."
ARRAYS_ONCE = (
    "- model.fit(x, y, batch_size=size, epochs=epochs)\n"
    "+ ds = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).repeat().batch(size).prefetch(2)\n"
    "+ model.fit(ds, steps_per_epoch=steps, epochs=total_steps // steps)  # steps: a few hundred"
)
SHUFFLE_EARLY = (
    "- ds = ds.map(load).shuffle(size)\n+ ds = ds.shuffle(size).map(load)  # file names or indices are shuffled"
)
BATCHES_AHEAD = (
    "- for x, y in list(ds):\n"
    "+ ds = ds.cache().prefetch(tf.data.AUTOTUNE)  # once, before the loop\n"
    "+ for x, y in ds:\n"
    "      model.train_on_batch(x, y)"
)
ONE_GRAPH = (
    "- step(x, y, weight)\n"
    "+ step(x, y, tf.constant(weight, tf.float32))  # a number as a tensor\n"
    "- step = tf.function(step)\n"
    "+ step = tf.function(step, reduce_retracing=True)  # shapes that differ"
)
ONE_FIT = (
    "- for part in parts:\n"
    "-     model.fit(*load(part))\n"
    "+ ds = tf.data.Dataset.from_generator(lambda: map(load, parts), output_signature=signature)\n"
    "+ model.fit(ds.rebatch(size).prefetch(tf.data.AUTOTUNE))  # the next part is read meanwhile"
)
TAKE_BATCHES = (
    "Take each batch when it is needed, from a dataset that makes batches ahead (prefetch) and keeps them (cache, "
    "where nothing is random). list(ds) makes all batches anew each time, and nothing trains meanwhile."
)
SAME_SHAPES = (
    "Give the tf.function tensors of one shape and type: each new Python number and each new shape builds a new graph. "
    "Where lengths differ, pad them to few lengths, or set reduce_retracing=True so that one graph takes all."
)


def longer_epoch(evidence: Evidence) -> str:
    """Return the code for longer epochs, which differs for arrays and for datasets."""
    return ARRAYS_ONCE if evidence.text("data_kind") == "arrays" else ONE_LONG_EPOCH
