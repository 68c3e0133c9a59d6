"""Advice on how the step is compiled, called and computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.advice.given import Given
from gpuprobe.advice.situation import USUAL_BATCH, WORTH_IT, convergence
from gpuprobe.ledger.stages import BATCHING

if TYPE_CHECKING:
    from gpuprobe.advice.situation import Situation

EAGERLY = "- model.compile(optimizer, loss, run_eagerly=True)\n+ model.compile(optimizer, loss)"
NO_FUNCTION = "- tf.config.run_functions_eagerly(True)\n+ tf.config.run_functions_eagerly(False)"
ONE_FUNCTION = "- step = train_one_batch\n+ step = tf.function(train_one_batch)"
BUILT_ANEW = """\
- step(x, y, weight)
+ step(x, y, tf.constant(weight))  # where a Python number is new
- step = tf.function(train_one_batch)
+ step = tf.function(train_one_batch, reduce_retracing=True)  # where a shape is new"""
ROWS_ONLY = """\
- model.compile(keras.optimizers.Adam(), loss)
+ model.compile(keras.optimizers.SGD(0.1), loss)  # its learning rate is to be found anew"""
PADDED = """\
- ds = ds.padded_batch(SIZE)
+ ds = ds.padded_batch(SIZE, padded_shapes=shapes)  # one shape for all of them, or one for each bucket"""
# The number of steps in a call if no replay chose one.
USUAL_STEPS = "8"
# The options of `compile` that make a change of the replay.
CODED = {"launches_fused": "jit_compile", "steps_per_execution": "steps_per_execution"}


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
        options["steps_per_execution"] = steps_of_call(here)
    larger = "batch_times" in useful and here.worth("batch_times")
    code = compiled_with(options) if options else _batch(here) if larger else ""
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
        code = compiled_with({"steps_per_execution": steps_of_call(here)})
        return Given(f"{here.no_larger} Run several steps in one call.", code, "steps_per_execution")
    room = " Mixed precision or a smaller model would make room." if here.can_halve else ""
    return Given(f"{here.no_larger}{room}")


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
    without = "" if here.own_loop else "compile without run_eagerly, or "
    return Given(
        f"Put the step into one graph: {without}one tf.function around {'the step' if here.own_loop else 'a loop'} of "
        "your own.",
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


def dense_update(here: Situation, stage: str | None) -> Given:
    """Advise an update of few rows, or fewer rows."""
    del here, stage
    return Given(
        "Let the update touch only the rows that a batch used: plain SGD does, while Adam and other optimizers with "
        "moments update all rows of an embedding in each step. Or make the embedding smaller: fewer, hashed or shorter "
        "rows.",
        ROWS_ONLY,
        "rows_updated_only",
    )


def compute_bound(here: Situation, stage: str | None) -> Given | None:
    """Advise cheaper work, with what this card can do and is not on yet; None on a processor."""
    del stage
    if not here.on_gpu:
        return None
    ways = [f"mixed precision ({here.half})"] if here.can_halve else []
    ways += ["XLA, to fuse kernels"] if here.jit_compile is not True else []
    ways.append("a smaller model or a faster card")
    options = {"jit_compile": "True"} if here.jit_compile is not True and here.worth("launches_fused") else {}
    return Given(
        f"Feeding it faster gains little. Make the work cheaper: {', '.join(ways[:-1])}{', or ' if ways[:-1] else ''}"
        f"{ways[-1]}.",
        compiled_with(options) if options else "",
        "fp16" if here.can_halve else "launches_fused" if here.jit_compile is not True else "faster_card",
    )


def compiled_with(options: dict[str, str]) -> str:
    """Return the diff of a call of `compile` that gains these options."""
    arguments = "".join(f", {name}={value}" for name, value in options.items())
    return f"- model.compile(optimizer, loss)\n+ model.compile(optimizer, loss{arguments})"


def steps_of_call(here: Situation) -> str:
    """Return as code the `steps_per_execution` that the replay tried; `USUAL_STEPS` where it predicted none."""
    prediction = here.promised("steps_per_execution")
    return prediction.change.rpartition("_")[2] if prediction else USUAL_STEPS


def _batch(here: Situation) -> str:
    """Return the code that makes the batch larger, where batches are made, with the sizes if they are known."""
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
