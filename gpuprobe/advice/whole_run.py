"""Advice on causes outside the steps: what to change, and the code as a diff."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.whatif.run_savings import often

if TYPE_CHECKING:
    from gpuprobe.records import Evidence

SMALL_FITS = "- model.fit(x, y)\n- model.predict(x)\n+ model.train_on_batch(x, y)\n+ model.predict_on_batch(x)"
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
ONCE_AN_EPOCH = (
    "  class {name}(keras.callbacks.Callback):\n"
    "-     def on_train_batch_end(self, batch, logs=None):\n"
    "+     def on_epoch_end(self, epoch, logs=None):"
)
EVERY_FIFTH = (
    "  class {name}(keras.callbacks.Callback):\n"
    "      def on_epoch_end(self, epoch, logs=None):\n"
    "+         if epoch % 5:\n"
    "+             return"
)
ONE_GRAPH = (
    "- step(x, y, weight)\n"
    "+ step(x, y, tf.constant(weight, tf.float32))  # a number as a tensor\n"
    "- step = tf.function(step)\n"
    "+ step = tf.function(step, reduce_retracing=True)  # shapes that differ"
)
# How the name of a model's own saving begins, without a callback.
BY_ITSELF = "Model."
SAVE_IN_LOOP = "- model.save_weights(path)\n+ if step % 500 == 0:\n+     model.save_weights(path)"
SAVE_SELDOM = "Save seldom, once in some hundred steps; the weights alone, or onto a faster disk."
SAVE_RARER = "Save less often than once an epoch (every fifth one), the weights alone, or onto a faster disk."
SAVE_FIFTH = "- ModelCheckpoint(path)\n+ ModelCheckpoint(path, save_freq=5 * steps_per_epoch)"
TAKE_BATCHES = (
    "Take each batch when it is needed, from a dataset that makes batches ahead (prefetch) and keeps them (cache, "
    "where nothing is random). list(ds) makes all batches anew each time, and nothing trains meanwhile."
)
SAME_SHAPES = (
    "Give the tf.function tensors of one shape and type: each new Python number and each new shape builds a new graph. "
    "Where lengths differ, pad them to few lengths, or set reduce_retracing=True so that one graph takes all."
)


def longer_epoch(evidence: Evidence) -> str:
    """Return the code for longer epochs, by the kind of data."""
    return ARRAYS_ONCE if evidence.text("data_kind") == "arrays" else ONE_LONG_EPOCH


def save_less_often(evidence: Evidence) -> tuple[str, str]:
    """Return how to save less often than now, and the code; empty where the catalogue's advice fits."""
    if not often(evidence, "checkpoint"):
        return SAVE_RARER, SAVE_FIFTH
    if evidence.text("run_name.checkpoint").startswith(BY_ITSELF):
        return SAVE_SELDOM, SAVE_IN_LOOP
    return "", ""


def call_back_less_often(evidence: Evidence, name: str) -> tuple[str, str]:
    """Return how the callback of that name could do less, and the code."""
    if often(evidence, "callback"):
        fix = f"Have `{name}` do less, or less often: once an epoch, or once in a hundred batches."
        return fix, ONCE_AN_EPOCH.format(name=name)
    fix = f"Have `{name}` do less, or less often: on fewer samples, or every fifth epoch."
    return fix, EVERY_FIFTH.format(name=name)
