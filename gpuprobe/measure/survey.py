"""Looks at a workload before a study, in a process of its own: what it is, and which strategies can't apply to it.

`python -m gpuprobe.measure.survey` reads a `Question` as JSON on stdin and answers with a `Survey` or a `Refusal`.
The parent of a study never runs a user's code and never imports TensorFlow.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from gpuprobe.errors import GpuprobeError, InputError, UsageError, in_short
from gpuprobe.measure.process import QUIET
from gpuprobe.records import Record

if TYPE_CHECKING:
    import keras

    from gpuprobe.strategies.plan import Plan
    from gpuprobe.workloads.source import BatchSource, Source
    from gpuprobe.workloads.workload import Workload

# Of the free memory: the epoch is copied once more when it becomes a tensor, and others on the machine need some.
USABLE_MEMORY_FRACTION = 0.4


class Question(Record, frozen=True, kw_only=True):
    """Which workload, with how many samples a step where not its own number, under which strategies."""

    model: str
    batch_size: int | None
    strategies: tuple[str, ...]


class Survey(Record, frozen=True, kw_only=True):
    """What a workload is: its data in words, the samples of an epoch and of a step, and why some strategies can't."""

    name: str
    data: str
    samples: int
    batch_size: int
    skip: dict[str, str]


class Refusal(Record, frozen=True, kw_only=True):
    """Why a workload cannot be trained, in one line."""

    refused: str


def survey(question: Question) -> Survey:
    """Ask a fresh process about the workload. Raises InputError with its one line where it cannot be trained."""
    asked = subprocess.run(
        [sys.executable, "-m", "gpuprobe.measure.survey"],
        input=msgspec.json.encode(question),
        capture_output=True,
        env={**os.environ, **QUIET},
        check=False,
    )
    answer = asked.stdout.splitlines()[-1] if asked.stdout else b""
    try:
        return msgspec.json.decode(answer, type=Survey)
    except msgspec.MsgspecError:
        pass
    try:
        refusal = msgspec.json.decode(answer, type=Refusal).refused
    except msgspec.MsgspecError:
        last = (asked.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        refusal = f"{question.model}: the process that looked at it ended early: {last}"
    raise InputError(refusal)


def answer(question: Question) -> Survey:
    """Build the workload and look at it (in the survey's own process)."""
    import keras

    from gpuprobe.workloads.resolve import resolve
    from gpuprobe.workloads.source import ArraySource, batch_size, source

    if keras.backend.backend() != "tensorflow":
        raise UsageError(
            f"Keras trains with {keras.backend.backend()} here; the strategies are TensorFlow's. "
            "Set KERAS_BACKEND=tensorflow, or watch your own training with gpuprobe.keras.Probe()"
        )
    workload = resolve(question.model)
    given = source(workload)
    model = workload.build()
    workload.compile(model, jit_compile=True, steps_per_execution=1)
    if isinstance(given, ArraySource):
        size = question.batch_size or workload.batch_size
        samples, words = given.samples, "arrays"
        if samples < size:
            raise InputError(f"the workload's data has {samples} samples, fewer than a batch of {size}")
    else:
        size = batch_size(next(given.items()))
        samples, words = size * given.steps, given.kind
    _try(model, workload, given)
    skip = {name: _cannot(name, size, workload, given, model) for name in question.strategies}
    return Survey(
        name=workload.name or question.model.rpartition("/")[2],
        data=words,
        samples=samples,
        batch_size=size,
        skip={name: reason for name, reason in skip.items() if reason},
    )


def _cannot(strategy: str, batch_size: int, workload: Workload, given: Source, model: keras.Model) -> str | None:
    """Return why a strategy cannot train this, or None where it can."""
    from gpuprobe.strategies.feasible import cannot
    from gpuprobe.strategies.plan import Machine
    from gpuprobe.strategies.registry import changes, plan

    if changes()[strategy].combines:
        # It starts from whatever can be trained.
        return None
    # What a strategy would change is asked; how far it may go here is the run's business.
    machine = Machine(compute_capability=None, cpu_has_bfloat16=True, largest_batch=lambda: sys.maxsize)
    planned = plan(strategy, batch_size, machine)
    return cannot(planned, workload, given) or _cannot_compute(planned, workload, model) or _too_large(planned, given)


def _try(model: keras.Model, workload: Workload, given: Source) -> None:
    """Show the model a few samples. Raises InputError where they are not of the shape that it takes."""
    import keras

    from gpuprobe.workloads.source import ArraySource, mapped

    first = mapped(workload, ArraySource(parts=given.rows(slice(0, 1)))).parts if isinstance(given, ArraySource) else (
        next(given.items())
    )  # fmt: skip
    try:
        model(first[0])
    except ValueError as error:
        # Keras's own words come second, and may quote the data over several lines.
        paragraphs = str(error).split("\n\n")
        line = in_short(ValueError(" ".join(paragraphs[min(1, len(paragraphs) - 1)].split())))
        # Anything else that it raises may be its own way: a custom train step need not call the model.
        if "incompatible" in line:
            shapes = [tuple(leaf.shape) for leaf in keras.tree.flatten(first[0])]
            raise InputError(f"the model does not take its data, of which a batch is {shapes}: {line}") from error
    except Exception:  # noqa: BLE001, S110 - the runs will tell, should it matter
        pass


def _cannot_compute(plan: Plan, workload: Workload, model: keras.Model) -> str | None:
    if plan.jit_compile and model.run_eagerly:
        return "the model was compiled to run eagerly"
    # Keras refuses where a layer, as a string lookup, says that XLA cannot compile it.
    if plan.jit_compile and not model.jit_compile:
        return "a layer of the model cannot be compiled by XLA"
    if plan.dtype_policy != "float32" and workload.built_before:
        return "the model was built before its dtype policy could be set; give the function that builds it"
    return None


def _too_large(plan: Plan, given: Source) -> str | None:
    import psutil

    from gpuprobe.workloads.source import ArraySource

    if isinstance(given, ArraySource) or not (plan.feed == "resident" or plan.cache):
        return None
    needed, free = _epoch_bytes(given), psutil.virtual_memory().available
    return None if needed <= USABLE_MEMORY_FRACTION * free else "an epoch of its batches does not fit into memory"


def _epoch_bytes(given: BatchSource) -> int:
    import keras
    import numpy as np
    import tensorflow as tf

    leaves = tf.nest.flatten(keras.tree.flatten(next(given.items())), expand_composites=True)
    return given.steps * sum(np.asarray(leaf).nbytes for leaf in leaves)


def main() -> None:
    """Answer the question on stdin; whatever the user's code prints must not get between the answer's lines."""
    out = os.dup(1)
    os.dup2(2, 1)
    said: Record
    try:
        said = answer(msgspec.json.decode(sys.stdin.buffer.read(), type=Question))
    except GpuprobeError as error:
        said = Refusal(refused=str(error))
    except Exception as error:  # noqa: BLE001 - whatever the user's code raises is the answer
        said = Refusal(refused=f"the workload cannot be built: {in_short(error)}")
    os.write(out, msgspec.json.encode(said) + b"\n")


if __name__ == "__main__":
    main()
