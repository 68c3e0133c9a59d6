"""Advice on how the step is compiled, called and computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.advice.situation import USUAL_BATCH, convergence

if TYPE_CHECKING:
    from gpuprobe.diagnosis.advice.situation import Situation

NO_ROOM = "The card's memory holds no larger batch."
IN_EACH_STEP = """\
  class Log(keras.callbacks.Callback):
-     def on_train_batch_end(self, batch, logs=None):
+     def on_epoch_end(self, epoch, logs=None):
          print(logs["loss"])"""
EAGERLY = "- model.compile(optimizer, loss, run_eagerly=True)\n+ model.compile(optimizer, loss)"
# The stages of tf.data that make batches of samples.
BATCHING = ("Batch", "ParallelBatch", "PaddedBatch", "MapAndBatch")
# How many steps a call should hold where no replay chose.
USUAL_STEPS = "8"


def launch_bound(here: Situation, stage: str | None) -> tuple[str, str]:
    """Launch less for the same work, by what is not on yet and, where a replay tells, by what gains."""
    del stage
    ways = {}
    if here.jit_compile is not True:
        ways["launches_fused"] = "compile with XLA (it fuses small kernels)"
    if here.grown:
        ways["batch_times"] = "take a larger batch"
    if (here.steps_per_execution or 1) <= 1:
        ways["steps_per_execution"] = "run several steps in one call"
    if not ways:
        return f"XLA and several steps in one call are on already. {NO_ROOM} What is left is fewer, larger layers.", ""
    useful = {change: way for change, way in ways.items() if not here.pointless(change)}
    if not useful:
        told = f"To {wording.listing([*ways.values()])} would gain nothing, by the trace's replay"
        return f"{told}. What is left is fewer, larger layers.", ""
    options = {"jit_compile": "True"} if "launches_fused" in useful and here.worth("launches_fused") else {}
    if "steps_per_execution" in useful and here.worth("steps_per_execution"):
        options["steps_per_execution"] = _steps(here)
    larger = "batch_times" in useful and here.worth("batch_times")
    code = _compiled(options) if options else _batch(here) if larger else ""
    words = f"Launch less for the same work: {wording.listing([*useful.values()])}."
    if "batch_times" in useful:
        return f"{words} {_converges(here)}", code
    return (words if here.grown else f"{words} {NO_ROOM}"), code


def batch_too_small(here: Situation, stage: str | None) -> tuple[str, str]:
    """A larger batch, where one fits."""
    del stage
    if not here.grown:
        return f"{NO_ROOM} Mixed precision or a smaller model would make room." if here.can_halve else NO_ROOM, ""
    return f"Train with a larger batch. {_converges(here)}", _batch(here)


def sync_every_step(here: Situation, stage: str | None) -> tuple[str, str]:
    """Read results seldom."""
    del here, stage
    return "Read losses and metrics on the host once an epoch, or once in many steps, not in each.", IN_EACH_STEP


def host_between_steps(here: Situation, stage: str | None) -> tuple[str, str]:
    """Less Python between two calls, and fewer calls."""
    del stage
    words = "Do less between steps: fewer callbacks and summaries per batch, verbose=2"
    fit = "- model.fit(ds, callbacks=[on_every_batch])\n+ model.fit(ds, verbose=2)"
    if (here.steps_per_execution or 1) > 1:
        return f"{words}; several steps already run in one call.", fit
    if not here.worth("steps_per_execution"):
        return f"{words}.", fit
    return (
        f"{words}, several steps in one call (callbacks of a batch then come once in so many).",
        f"{_compiled({'steps_per_execution': _steps(here)})}\n{fit}",
    )


def eager_or_retracing(here: Situation, stage: str | None) -> tuple[str, str]:
    """One graph for all steps."""
    del stage
    words = "Put the step into one graph: compile without run_eagerly, or one tf.function around a loop of your own"
    if here.run_eagerly is False:
        words += "; give it tensors of one shape and type, never Python numbers that change"
        return f"{words}.", _one_shape(here)
    return f"{words}.", EAGERLY


def recompiling(here: Situation, stage: str | None) -> tuple[str, str]:
    """One shape for all steps."""
    del stage
    words = "Let every step have the same shapes and types: full batches, tensors instead of Python numbers."
    return words, _one_shape(here)


def tensor_cores_unused(here: Situation, stage: str | None) -> tuple[str, str]:
    """16 bits, before the model is built."""
    del stage
    policy = here.half
    return (
        "Switch mixed precision on before the model is built, keep the last softmax in float32, and channels multiples "
        "of 8. The loss may move a little: compare it.",
        f'+ keras.mixed_precision.set_global_policy("{policy}")  # before the model is built',
    )


def compute_bound(here: Situation, stage: str | None) -> tuple[str, str] | None:
    """Cheaper work, by what this card can do."""
    del stage
    if not here.on_gpu:
        return None
    ways = [f"mixed precision ({here.half})"] if here.can_halve else []
    ways += ["XLA, to fuse kernels"] if here.jit_compile is not True else []
    ways.append("a smaller model or a faster card")
    options = {"jit_compile": "True"} if here.jit_compile is not True and here.worth("launches_fused") else {}
    return (
        f"Feeding it faster gains little. Make the work cheaper: {', '.join(ways[:-1])}{', or ' if ways[:-1] else ''}"
        f"{ways[-1]}.",
        _compiled(options) if options else "",
    )


def _compiled(options: dict[str, str]) -> str:
    told = "".join(f", {name}={value}" for name, value in options.items())
    return f"- model.compile(optimizer, loss)\n+ model.compile(optimizer, loss{told})"


def _steps(here: Situation) -> str:
    """The number of steps in a call that the replay was asked about, the usual one where there is none."""
    made = here.promised("steps_per_execution")
    return made.change.rpartition("_")[2] if made else USUAL_STEPS


def _batch(here: Situation) -> str:
    """A larger batch as code, of the numbers where they are known, and where the batches are made."""
    if not here.batch:
        return f"+ batch_size *= {here.grown // USUAL_BATCH}  # where the batches are made"
    if any(map(here.has, BATCHING)):
        return f"- ds = ds.batch({here.batch})\n+ ds = ds.batch({here.grown})"
    return f"- model.fit(x, y, batch_size={here.batch})\n+ model.fit(x, y, batch_size={here.grown})"


def _one_shape(here: Situation) -> str:
    size = here.batch_words
    return f"- ds = ds.batch({size})\n+ ds = ds.batch({size}, drop_remainder=True)"


def _converges(here: Situation) -> str:
    return convergence(here.batch, here.grown)
