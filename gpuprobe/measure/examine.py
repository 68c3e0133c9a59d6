"""Examines a workload in a process of its own, before a study: what it is, and which strategies cannot apply to it.

`python -m gpuprobe.measure.examine` reads a `Question` as JSON on stdin and answers with a `Survey` or a `Refusal`.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.backends.importing import uncollected
from gpuprobe.errors import GpuprobeError, InputError, in_short
from gpuprobe.measure.survey import Question, Refusal, Survey, SurveyStage
from gpuprobe.units import KIB, MIB

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras

    from gpuprobe.records import Record
    from gpuprobe.strategies.plan import Plan
    from gpuprobe.workloads.source import BatchSource, Source
    from gpuprobe.workloads.workload import Workload

# The usable share of free memory: an epoch is copied when it becomes a tensor, and other programs need some.
USABLE_MEMORY_FRACTION = 0.4
# The options by which Keras's optimizers clip gradients, before they are exchanged.
CLIPPING = ("clipnorm", "global_clipnorm", "clipvalue")


def _ignore_stage(_stage: str) -> None:
    return


def examine(question: Question, on_stage: Callable[[str], None] = _ignore_stage) -> Survey:
    """Build the workload and try the model on its data; `on_stage` is called before each stage, with its name.

    Raises InputError where the workload cannot be trained.
    """
    with uncollected():
        import keras  # noqa: F401

    from gpuprobe.workloads.keras_alone import refuse_tensorflow_in, under
    from gpuprobe.workloads.resolve import resolve
    from gpuprobe.workloads.source import ArraySource, batch_size, source

    on_stage("its code was loaded and its factory called")
    workload = under(question.backend, resolve, question.model)
    on_stage("its data was made")
    data = source(workload)
    on_stage("its model was built")
    model = under(question.backend, workload.build)
    refuse_tensorflow_in(model, question.backend)
    workload.compile(model, jit_compile=True, steps_per_execution=1)
    if isinstance(data, ArraySource):
        samples_per_batch = question.batch_size or workload.batch_size
        samples, data_words, counted = data.samples, "arrays", True
        if samples < samples_per_batch:
            raise InputError(f"the workload's data has {samples} samples, fewer than a batch of {samples_per_batch}")
    else:
        samples_per_batch = batch_size(next(data.items()))
        samples, data_words, counted = samples_per_batch * data.steps, data.kind, data.are_alike
    on_stage("its model was tried on its data")
    _try_model(model, workload, data)
    plans = {name: _planned(name, samples_per_batch, question) for name in question.strategies}
    skip = {name: _cannot(planned, workload, data, model) for name, planned in plans.items() if planned}
    return Survey(
        name=workload.name or question.model.rpartition("/")[2],
        data=data_words,
        samples=samples,
        counted=counted,
        batch_size=samples_per_batch,
        skip={name: reason for name, reason in skip.items() if reason},
    )


def _planned(strategy: str, batch_size: int, question: Question) -> Plan | None:
    """Return the plan of a strategy, None for one that may start from any other."""
    from gpuprobe.strategies.plan import Machine
    from gpuprobe.strategies.registry import changes, plan

    if changes()[strategy].combines:
        return None
    # Only the change matters here; the run itself decides on its size.
    machine = Machine(compute_capability=None, cpu_has_bfloat16=True, largest_batch=lambda: sys.maxsize)
    start = question.against.get(strategy, "")
    return plan(strategy, batch_size, machine, start=start, backend=question.backend)


def _cannot(planned: Plan, workload: Workload, data: Source, model: keras.Model) -> str | None:
    """Return why a plan cannot train this, or None where it can."""
    from gpuprobe.strategies.feasible import cannot

    return cannot(planned, workload, data) or _cannot_compute(planned, workload, model) or _too_large(planned, data)


def _try_model(model: keras.Model, workload: Workload, data: Source) -> None:
    """Call the model on a few samples. Raises InputError where it does not take their shape."""
    import keras

    from gpuprobe.workloads.source import ArraySource, mapped

    if isinstance(data, ArraySource):
        first_batch = mapped(workload, ArraySource(parts=data.rows(slice(0, 1)))).parts
    else:
        first_batch = next(data.items())
    try:
        model(first_batch[0])
    except ValueError as error:
        # Keras's own message comes second, and may quote the data over several lines.
        paragraphs = str(error).split("\n\n")
        line = in_short(ValueError(" ".join(paragraphs[min(1, len(paragraphs) - 1)].split())))
        # Any other error is ignored: a custom train step need not call the model like this.
        if "incompatible" in line:
            shapes = [tuple(tensor.shape) for tensor in keras.tree.flatten(first_batch[0])]
            raise InputError(f"the model does not take its data, of which a batch is {shapes}: {line}") from error
    except Exception:  # noqa: BLE001, S110 - the runs will tell, should it matter
        pass


def _cannot_compute(plan: Plan, workload: Workload, model: keras.Model) -> str | None:
    if plan.jit_compile and model.run_eagerly:
        return "the model was compiled to run eagerly"
    # Keras refuses if a layer, such as a string lookup, declares that it cannot be compiled.
    if plan.jit_compile and not model.jit_compile:
        return "a layer of the model cannot be compiled (jit_compile)"
    if workload.built_before and plan.dtype_policy != "float32":
        return "the model was built before its dtype policy could be set; pass the function that builds it"
    return _cannot_spread(plan, workload, model) if plan.replicas * plan.workers > 1 else None


def _cannot_spread(plan: Plan, workload: Workload, model: keras.Model) -> str | None:
    """Return why a model cannot train on several devices or workers as planned, or None where it can."""
    if workload.built_before:
        return "the model was built before its devices were known; pass the function that builds it"
    if getattr(model.optimizer, "gradient_accumulation_steps", None):
        return "TensorFlow cannot accumulate gradients over several replicas"
    if plan.half_gradients and (clips := _clipping_option(model)):
        return f"its optimizer clips gradients ({clips}), and would clip them in 16 bits"
    return _cannot_pack(plan, model) if plan.pack_kib else None


def _clipping_option(model: keras.Model) -> str:
    """Return the option by which an optimizer clips gradients, empty where it does not."""
    return next((name for name in CLIPPING if getattr(model.optimizer, name, None)), "")


def _cannot_pack(plan: Plan, model: keras.Model) -> str | None:
    from gpuprobe.backends.with_tensorflow import trainable_mib

    kib = trainable_mib(model) * MIB / KIB
    return f"its gradients, {wording.significant(kib)} KiB, fit into one pack" if kib <= plan.pack_kib else None


def _too_large(plan: Plan, data: Source) -> str | None:
    import psutil

    from gpuprobe.workloads.source import ArraySource

    if isinstance(data, ArraySource) or not (plan.feed == "resident" or plan.cache):
        return None
    needed, free = _epoch_bytes(data), psutil.virtual_memory().available
    return None if needed <= USABLE_MEMORY_FRACTION * free else "an epoch of its batches does not fit into memory"


def _epoch_bytes(data: BatchSource) -> int:
    import keras
    import numpy as np

    leaves = keras.tree.flatten(next(data.items()))
    if data.is_uneven:
        from gpuprobe.workloads.tensorflow_data import tensorflow

        leaves = tensorflow().nest.flatten(leaves, expand_composites=True)
    return data.steps * sum(np.asarray(leaf).nbytes for leaf in leaves)


def main() -> None:
    """Answer the question on stdin, on stdout; what the user's code prints goes to stderr."""
    answer_descriptor = os.dup(1)
    os.dup2(2, 1)
    stage = ""

    def write_message(message: Record) -> None:
        os.write(answer_descriptor, msgspec.json.encode(message) + b"\n")

    def on_stage(stage_words: str) -> None:
        nonlocal stage
        stage = stage_words
        write_message(SurveyStage(stage=stage_words))

    answer: Record
    try:
        answer = examine(msgspec.json.decode(sys.stdin.buffer.read(), type=Question), on_stage)
    except GpuprobeError as error:
        answer = Refusal(refused=str(error))
    except SystemExit as error:
        answer = Refusal(refused=f"the workload called sys.exit({error.code!r}) while {stage}; remove that call")
    except Exception as error:  # noqa: BLE001 - whatever the user's code raises is the answer
        answer = Refusal(refused=f"the workload cannot be built: {in_short(error)}")
    write_message(answer)
    # Exit even if the user's code has left a thread running.
    os._exit(0)


if __name__ == "__main__":
    main()
