"""Advice on how the step is compiled, called and computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.advice.given import Given
from gpuprobe.advice.situation import USUAL_BATCH, WORTH_IT, convergence
from gpuprobe.ledger.stages import BATCHING

if TYPE_CHECKING:
    from gpuprobe.advice.situation import Situation

IN_EACH_STEP = """\
  class Log(keras.callbacks.Callback):
-     def on_train_batch_end(self, batch, logs=None):
+     def on_epoch_end(self, epoch, logs=None):
          print(logs["loss"])"""
EAGERLY = "- model.compile(optimizer, loss, run_eagerly=True)\n+ model.compile(optimizer, loss)"
NO_FUNCTION = "- tf.config.run_functions_eagerly(True)\n+ tf.config.run_functions_eagerly(False)"
ONE_FUNCTION = "- step = train_one_batch\n+ step = tf.function(train_one_batch)"
BUILT_ANEW = """\
- step(x, y, weight)
+ step(x, y, tf.constant(weight))  # where a Python number is new
- step = tf.function(train_one_batch)
+ step = tf.function(train_one_batch, reduce_retracing=True)  # where a shape is new"""
QUIET_FIT = "- model.fit(ds)\n+ model.fit(ds, verbose=2)"
SAVE_SELDOM = """\
- saves = keras.callbacks.ModelCheckpoint("best.keras", save_freq=2)
+ saves = keras.callbacks.ModelCheckpoint("best.keras", save_freq="epoch")"""
ROWS_ONLY = """\
- model.compile(keras.optimizers.Adam(), loss)
+ model.compile(keras.optimizers.SGD(0.1), loss)  # its learning rate is to be found anew"""
PADDED = """\
- ds = ds.padded_batch(SIZE)
+ ds = ds.padded_batch(SIZE, padded_shapes=shapes)  # one shape for all of them, or one for each bucket"""
LESS_OFTEN = """\
  class {name}(keras.callbacks.Callback):
-     def on_train_batch_end(self, batch, logs=None):
+     def on_epoch_end(self, epoch, logs=None):"""
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
# The number of steps in a call if no replay chose one.
USUAL_STEPS = "8"
# The options of `compile` that make a change of the replay.
CODED = {"launches_fused": "jit_compile", "steps_per_execution": "steps_per_execution"}
# The value of `verbose` for Keras's progress bar, which each batch writes again.
BAR = 1.0
SAVES = "ModelCheckpoint"


def launch_bound(here: Situation, stage: str | None) -> Given:
    """Advise fewer launches for the same work: what is not on yet and what the replay, if any, predicts a gain for."""
    del stage
    ways = {}
    if here.jit_compile is not True:
        ways["launches_fused"] = "compile with XLA (it fuses small kernels)"
    if here.grown:
        ways["batch_times"] = "take a larger batch"
    if (here.steps_per_execution or 1) <= 1:
        ways["steps_per_execution"] = "run several steps in one call"
    if not ways:
        return Given(
            f"XLA and several steps in one call are on already. {here.no_larger} What is left is fewer, larger layers."
        )
    useful = {change: way for change, way in ways.items() if not here.pointless(change)}
    if not useful:
        no_gain = f"To {wording.listing([*ways.values()])} would gain nothing, by the trace's replay"
        return Given(f"{no_gain}. What is left is fewer, larger layers.")
    options = {"jit_compile": "True"} if "launches_fused" in useful and here.worth("launches_fused") else {}
    if "steps_per_execution" in useful and here.worth("steps_per_execution"):
        options["steps_per_execution"] = _steps(here)
    larger = "batch_times" in useful and here.worth("batch_times")
    code = _compiled(options) if options else _batch(here) if larger else ""
    # The gain that is told is that of what the code does.
    coded = [change for change, option in CODED.items() if option in options]
    best = max(coded or useful, key=here.gained)
    words = f"Launch less for the same work: {wording.listing([*useful.values()])}."
    if "batch_times" in useful:
        return Given(f"{words} {_converges(here)}", code, best)
    return Given(words if here.grown else f"{words} {here.no_larger}", code, best)


def batch_too_small(here: Situation, stage: str | None) -> Given:
    """Advise a larger batch if one fits, else several steps in a call."""
    del stage
    if here.grown:
        return Given(f"Train with a larger batch. {_converges(here)}", _batch(here), "batch_times")
    if here.gained("steps_per_execution") >= WORTH_IT:
        code = _compiled({"steps_per_execution": _steps(here)})
        return Given(f"{here.no_larger} Run several steps in one call.", code, "steps_per_execution")
    room = " Mixed precision or a smaller model would make room." if here.can_halve else ""
    return Given(f"{here.no_larger}{room}")


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
        return Given(BETWEEN_UPDATES, READ_SELDOM, "callbacks_removed")
    words, code = "Do less between steps: fewer callbacks, summaries and checkpoints per batch", SAVE_SELDOM
    if here.callbacks:
        words = f"{words} (here {wording.listing(here.callbacks)})"
        code = SAVE_SELDOM if SAVES in here.callbacks else LESS_OFTEN.format(name=here.callbacks[0])
    if SAVES not in here.callbacks and (here.verbose is None or here.verbose == BAR):
        words, code = f"{words}, verbose=2", QUIET_FIT
    if (here.steps_per_execution or 1) > 1:
        return Given(f"{words}; several steps already run in one call.", code, "callbacks_removed")
    if not here.worth("steps_per_execution"):
        return Given(f"{words}.", code, "callbacks_removed")
    return Given(
        f"{words}, several steps in one call (callbacks of a batch then run once a call).",
        f"{_compiled({'steps_per_execution': _steps(here)})}\n{code}",
        "callbacks_removed",
    )


def eager_or_retracing(here: Situation, stage: str | None) -> Given:
    """Advise one graph for all steps: stop building it again, or make one if there is none."""
    del stage
    if here.graphs_built and here.varies:
        return _padded(here)
    if here.graphs_built:
        return Given(
            "The tf.function is built again for each new Python number, object or shape that it is called with: give "
            "it tensors of one type, let its shapes be relaxed, and make it once, outside the loop. The trace does "
            "not tell which of these it is.",
            BUILT_ANEW,
            "compiling_removed",
        )
    if here.functions_eagerly:
        return Given(
            "tf.config.run_functions_eagerly(True) is on: every tf.function, the model's own too, runs operation by "
            "operation. Remove it; it is meant for debugging.",
            NO_FUNCTION,
            "eager_removed",
        )
    if here.run_eagerly is True:
        return Given("Put the step into one graph: compile without run_eagerly.", EAGERLY, "eager_removed")
    if here.run_eagerly is False:
        return Given(
            "The model itself runs as a graph: put the operations that Python starts around it into a tf.function too.",
            ONE_FUNCTION,
            "eager_removed",
        )
    return Given(
        "Put the step into one graph: compile without run_eagerly, or one tf.function around a loop of your own.",
        ONE_FUNCTION,
        "eager_removed",
    )


def recompiling(here: Situation, stage: str | None) -> Given:
    """Advise one shape for all steps."""
    del stage
    if here.graphs_built and here.varies is None:
        return eager_or_retracing(here, None)
    if here.varies:
        return _padded(here)
    fix = "Let every step have the same shapes and types: full batches, tensors instead of Python numbers."
    return Given(fix, _one_shape(here), "compiling_removed")


def _padded(here: Situation) -> Given:
    return Given(
        "The samples differ in their shape, and each new one is compiled: pad them to few lengths, as buckets do.",
        PADDED.replace("SIZE", here.batch_words),
        "compiling_removed",
    )


def tensor_cores_unused(here: Situation, stage: str | None) -> Given:
    """Advise mixed precision."""
    del stage
    policy = here.half
    return Given(
        "Switch mixed precision on before the model is built, keep the last softmax in float32, and channels multiples "
        "of 8. The loss may move a little: compare it.",
        f'+ keras.mixed_precision.set_global_policy("{policy}")  # before the model is built',
        "fp16",
    )


def compute_bound(here: Situation, stage: str | None) -> Given | None:
    """Advise cheaper work, by what this card can do."""
    if stage == "dense_update":
        return Given(
            "Let the update touch only the rows that a batch used: plain SGD does, while Adam and other optimizers "
            "with moments update all rows of an embedding in each step. Or make the embedding smaller: fewer, hashed "
            "or shorter rows.",
            ROWS_ONLY,
            "rows_updated_only",
        )
    if not here.on_gpu:
        return None
    ways = [f"mixed precision ({here.half})"] if here.can_halve else []
    ways += ["XLA, to fuse kernels"] if here.jit_compile is not True else []
    ways.append("a smaller model or a faster card")
    options = {"jit_compile": "True"} if here.jit_compile is not True and here.worth("launches_fused") else {}
    return Given(
        f"Feeding it faster gains little. Make the work cheaper: {', '.join(ways[:-1])}{', or ' if ways[:-1] else ''}"
        f"{ways[-1]}.",
        _compiled(options) if options else "",
        "fp16" if here.can_halve else "launches_fused" if here.jit_compile is not True else "faster_card",
    )


def _compiled(options: dict[str, str]) -> str:
    arguments = "".join(f", {name}={value}" for name, value in options.items())
    return f"- model.compile(optimizer, loss)\n+ model.compile(optimizer, loss{arguments})"


def _steps(here: Situation) -> str:
    """Return the number of steps in a call that the replay tried; the usual one without a replay."""
    prediction = here.promised("steps_per_execution")
    return prediction.change.rpartition("_")[2] if prediction else USUAL_STEPS


def _batch(here: Situation) -> str:
    """Return a larger batch as code, at the place where the batches are made, with the sizes if they are known."""
    if not here.batch:
        return f"+ batch_size *= {here.grown // USUAL_BATCH}  # where the batches are made"
    if here.own_loop and not here.stages:
        return f"- size = {here.batch}\n+ size = {here.grown}  # where the batches are made"
    if any(map(here.has, BATCHING)) or here.data_kind == "a tf.data dataset":
        return f"- ds = ds.batch({here.batch})\n+ ds = ds.batch({here.grown})"
    return f"- model.fit(x, y, batch_size={here.batch})\n+ model.fit(x, y, batch_size={here.grown})"


def _one_shape(here: Situation) -> str:
    size = here.batch_words
    return f"- ds = ds.batch({size})\n+ ds = ds.batch({size}, drop_remainder=True)"


def _converges(here: Situation) -> str:
    return convergence(here.batch, here.grown)
