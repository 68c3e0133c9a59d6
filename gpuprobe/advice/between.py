"""Advice on what Python does in and between steps: callbacks, the progress bar, results read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.advice.callbacks import QUIET_FIT
from gpuprobe.advice.compute import compiled_with, steps_of_call
from gpuprobe.advice.given import Given

if TYPE_CHECKING:
    from gpuprobe.advice.situation import Situation

IN_EACH_STEP = """\
  class Log(keras.callbacks.Callback):
-     def on_train_batch_end(self, batch, logs=None):
+     def on_epoch_end(self, epoch, logs=None):
          print(logs["loss"])"""
SAVE_SELDOM = """\
- saves = keras.callbacks.ModelCheckpoint("best.keras", save_freq=2)
+ saves = keras.callbacks.ModelCheckpoint("best.keras", save_freq="epoch")"""
CALL_SELDOM = (
    "Call predict and evaluate once an epoch or once in many steps, for all samples at once; for a single batch "
    "`model(x)` in a tf.function costs less than predict."
)
EVALUATE_SELDOM = """\
- def on_train_batch_end(self, batch, logs=None):
+ def on_epoch_end(self, epoch, logs=None):
      self.model.evaluate(x_val, y_val)"""
BETWEEN_UPDATES = (
    "Do less between two updates of the loop: put what works on tensors into the tf.function of the step, read its "
    "results once in many steps, log and save seldom, and let tf.data make the batches ahead."
)
READ_SELDOM = """\
- losses.append(float(step(x, y)))
+ losses.append(step(x, y))  # a tensor each: float() of them once an epoch"""
BATCHES_AHEAD = """\
- for step in range(steps):
-     x, y = next_batch()
+ ds = tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(2)
+ for x, y in ds.take(steps):
      train(x, y)"""
# The value of `verbose` for Keras's progress bar, which each batch writes again.
BAR = 1.0
NOTHING_OF_YOURS = (
    "No callback of yours and no progress bar runs between the steps: what is left there is what Keras itself does."
)


def sync_every_step(here: Situation, stage: str | None) -> Given:
    """Advise to read results less often."""
    del stage
    fix = "Read losses and metrics on the host once an epoch, or once in many steps, not in each."
    return Given(fix, READ_SELDOM if here.own_loop else IN_EACH_STEP, "syncs_removed")


def host_between_steps(here: Situation, stage: str | None) -> Given:
    """Advise less Python between two calls, and fewer calls."""
    if stage == "other_functions":
        return Given(CALL_SELDOM, EVALUATE_SELDOM, "callbacks_removed")
    if here.own_loop:
        of_loop = READ_SELDOM if here.stages else f"{READ_SELDOM}\n{BATCHES_AHEAD}"
        return Given(BETWEEN_UPDATES, of_loop, "callbacks_removed")
    ways, code = _less_between(here)
    if (here.steps_per_execution or 1) <= 1 and here.worth("steps_per_execution"):
        ways.append("several steps in one call (callbacks of a batch then run once a call)")
        code = [compiled_with({"steps_per_execution": steps_of_call(here)}), *code]
    fix = f"Do less between steps: {', '.join(ways)}" if ways else NOTHING_OF_YOURS.rstrip(".")
    done = "; several steps already run in one call" if (here.steps_per_execution or 1) > 1 else ""
    return Given(f"{fix}{done}.", "\n".join(code), "callbacks_removed")


def _less_between(here: Situation) -> tuple[list[str], list[str]]:
    """Return ways to do less between steps: in words, and the code of each that has some.

    They are about the user's callbacks and the progress bar, and are left out where these are known not to run.
    """
    ways, code = [], []
    if here.callbacks is None or here.callbacks:
        ways.append("fewer callbacks, summaries and checkpoints per batch")
        code.append(SAVE_SELDOM if here.callbacks is None else here.fewer_in_batches)
    if here.callbacks:
        ways[0] = f"{ways[0]} (here {wording.listing(here.callbacks)})"
    if here.verbose is None or here.verbose == BAR:
        ways.append("verbose=2")
        code.insert(0, QUIET_FIT)
    return ways, [lines for lines in code if lines]
