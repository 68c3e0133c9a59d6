"""Advice on how the step is compiled, called and computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.advice.situation import USUAL_BATCH, convergence

if TYPE_CHECKING:
    from gpuprobe.diagnosis.advice.situation import Situation
    from gpuprobe.records import Finding

NO_ROOM = "The card's memory holds no larger batch."
IN_EACH_STEP = """\
  class Log(keras.callbacks.Callback):
-     def on_train_batch_end(self, batch, logs=None):
+     def on_epoch_end(self, epoch, logs=None):
          print(logs["loss"])"""
EAGERLY = "- model.compile(optimizer, loss, run_eagerly=True)\n+ model.compile(optimizer, loss)"
ONE_SHAPE = "- ds = ds.batch(32)\n+ ds = ds.batch(32, drop_remainder=True)"


def launch_bound(found: Finding, here: Situation) -> tuple[str, str]:
    """Launch less for the same work, by what is not on yet."""
    del found
    ways = []
    options = {}
    if here.jit_compile is not True:
        ways.append("compile with XLA (it fuses small kernels)")
        options["jit_compile"] = "True"
    if here.grown:
        ways.append("take a larger batch")
    if (here.steps_per_execution or 1) <= 1:
        ways.append("run several steps in one call")
        options.setdefault("steps_per_execution", "8")
    if not ways:
        return f"XLA and several steps in one call are on already. {NO_ROOM} What is left is fewer, larger layers.", ""
    words = f"Launch less for the same work: {wording.listing(ways)}."
    code = _compiled(options) if options else _batch(here)
    return (f"{words} {_converges(here)}" if here.grown else f"{words} {NO_ROOM}"), code


def batch_too_small(found: Finding, here: Situation) -> tuple[str, str]:
    """A larger batch, where one fits."""
    del found
    if not here.grown:
        return f"{NO_ROOM} Mixed precision or a smaller model would make room." if here.can_halve else NO_ROOM, ""
    return f"Train with a larger batch. {_converges(here)}", _batch(here)


def sync_every_step(found: Finding, here: Situation) -> tuple[str, str]:
    """Read results seldom."""
    del found, here
    return "Read losses and metrics on the host once an epoch, or once in many steps, not in each.", IN_EACH_STEP


def host_between_steps(found: Finding, here: Situation) -> tuple[str, str]:
    """Less Python between two calls, and fewer calls."""
    del found
    words = "Do less between steps: fewer callbacks and summaries per batch, verbose=2"
    fit = "- model.fit(ds, callbacks=[on_every_batch])\n+ model.fit(ds, verbose=2)"
    if (here.steps_per_execution or 1) > 1:
        return f"{words}; several steps already run in one call.", fit
    return (
        f"{words}, several steps in one call (callbacks of a batch then come once in so many).",
        f"{_compiled({'steps_per_execution': '8'})}\n{fit}",
    )


def eager_or_retracing(found: Finding, here: Situation) -> tuple[str, str]:
    """One graph for all steps."""
    del found
    words = "Put the step into one graph: compile without run_eagerly, or one tf.function around a loop of your own"
    if here.run_eagerly is False:
        return f"{words}; give it tensors of one shape and type, never Python numbers that change.", ONE_SHAPE
    return f"{words}.", EAGERLY


def recompiling(found: Finding, here: Situation) -> tuple[str, str]:
    """One shape for all steps."""
    del found, here
    return "Let every step have the same shapes and types: full batches, tensors instead of Python numbers.", ONE_SHAPE


def tensor_cores_unused(found: Finding, here: Situation) -> tuple[str, str]:
    """16 bits, before the model is built."""
    del found
    policy = here.half
    return (
        "Switch mixed precision on before the model is built, keep the last softmax in float32, and channels multiples "
        "of 8. The loss may move a little: compare it.",
        f'+ keras.mixed_precision.set_global_policy("{policy}")  # before the model is built',
    )


def compute_bound(found: Finding, here: Situation) -> tuple[str, str]:
    """Cheaper work, by what this card can do."""
    if not here.on_gpu:
        return found.fix, ""
    ways = [f"mixed precision ({here.half})"] if here.can_halve else []
    ways += ["XLA, to fuse kernels"] if here.jit_compile is not True else []
    ways.append("a smaller model or a faster card")
    options = {"jit_compile": "True"} if here.jit_compile is not True else {}
    return (
        f"Feeding it faster gains little. Make the work cheaper: {', '.join(ways[:-1])}{', or ' if ways[:-1] else ''}"
        f"{ways[-1]}.",
        _compiled(options) if options else "",
    )


def _compiled(options: dict[str, str]) -> str:
    told = "".join(f", {name}={value}" for name, value in options.items())
    return f"- model.compile(optimizer, loss)\n+ model.compile(optimizer, loss{told})"


def _batch(here: Situation) -> str:
    before = here.batch or USUAL_BATCH
    return f"- model.fit(x, y, batch_size={before})\n+ model.fit(x, y, batch_size={here.grown})"


def _converges(here: Situation) -> str:
    return convergence(here.batch, here.grown)
