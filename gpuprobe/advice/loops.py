"""Advice on loops in the model: over the samples of a batch, and through time, where each turn needs the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.advice.given import Given

if TYPE_CHECKING:
    from gpuprobe.advice.situation import Situation

VECTORISED = "- y = tf.map_fn(of_one, x)\n+ y = tf.vectorized_map(of_one, x)"
ONE_PRODUCT = """\
- for t in tf.range(steps):  # or tf.while_loop
-     mean = 0.9 * mean + 0.1 * x[:, t]
+ age = tf.range(x.shape[1])[:, None] - tf.range(x.shape[1])
+ weights = tf.where(age < 0, 0.0, 0.1 * 0.9 ** tf.cast(age, tf.float32))
+ y = tf.einsum("ts,bs...->bt...", weights, x)"""
FUSED = "- model.compile(optimizer, loss)\n+ model.compile(optimizer, loss, jit_compile=True)"


def serial_loop(here: Situation, stage: str | None) -> Given:
    """The loop's body for the whole batch."""
    del here, stage
    return Given(
        "Write the loop's body for the whole batch at once: TensorFlow's operations take a batch as their first "
        "dimension, and tf.vectorized_map does where single ones do not. Only where a turn needs the one before is the "
        "loop needed.",
        VECTORISED,
        "loop_vectorised",
    )


def loop_through_time(here: Situation, stage: str | None) -> Given:
    """What shortens a loop whose turns cannot run at once; one product where a turn only scales and adds."""
    if stage == "linear":
        return Given(
            "A turn only scales and adds what the one before left, so that all turns together are one product with a "
            "matrix of how much each moment leaves to each later one (or tf.cumsum, where nothing fades).",
            ONE_PRODUCT,
        )
    layer = "cuDNN runs it whole" if here.on_gpu else "on a GPU cuDNN would run it whole"
    ways = [f"a recurrent layer of Keras (LSTM, GRU) where one does the same, since {layer}"]
    ways += ["jit_compile=True, which fuses the operations of a turn"] if here.jit_compile is not True else []
    ways += [
        "fewer turns, by shorter sequences or several moments in a turn",
        "a larger batch, which each turn does at once",
    ]
    return Given(
        f"Each turn needs the one before, so that they cannot run at once. What may help: {'; '.join(ways)}. Where "
        "none of it can be done, it cannot be helped.",
        FUSED if here.jit_compile is not True and not here.own_loop else "",
    )
