"""Advice on loops in the model: over the samples of a batch, and through time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.advice.copies import FUSED
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


def serial_loop(here: Situation, stage: str | None) -> Given:
    """Advise to write the loop's body for the whole batch."""
    del here, stage
    return Given(
        "Write the loop's body for the whole batch at once: TensorFlow's operations take a batch as their first "
        "dimension, and tf.vectorized_map runs a function for all samples at once. The loop is needed only if an "
        "iteration needs the one before.",
        VECTORISED,
        "loop_vectorised",
    )


def loop_through_time(here: Situation, stage: str | None) -> Given:
    """Advise what shortens a loop whose iterations need each other; one matrix product if they only scale and add."""
    if stage == "linear":
        return Given(
            "An iteration only scales the result of the one before and adds to it. So one matrix product can replace "
            "the loop: the matrix holds the weight of each moment in each later one. Without scaling, tf.cumsum can.",
            ONE_PRODUCT,
        )
    layer = "cuDNN runs it whole" if here.on_gpu else "on a GPU cuDNN would run it whole"
    ways = [f"a recurrent layer of Keras (LSTM, GRU) where one does the same, since {layer}"]
    ways += ["jit_compile=True, which fuses the operations of an iteration"] if here.jit_compile is not True else []
    ways += [
        "fewer iterations: shorter sequences, or several moments in one iteration",
        "a larger batch, since an iteration computes all samples at once",
    ]
    return Given(
        f"Each iteration needs the one before, so they cannot run at once. What may help: {'; '.join(ways)}. If none "
        "of these can be done, nothing else is known to help.",
        FUSED if here.jit_compile is not True and not here.own_loop else "",
    )
