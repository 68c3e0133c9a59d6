"""Builds and compiles a run's model, and creates all its variables (worker only)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from gpuprobe.backends.known import TENSORFLOW

if TYPE_CHECKING:
    from gpuprobe.backends.backend import Backend
    from gpuprobe.strategies.plan import Plan
    from gpuprobe.workloads.workload import Workload


def compiled(workload: Workload, plan: Plan, backend: Backend) -> tuple[keras.Model, dict[str, Any]]:
    """Return the compiled model, and a dict that its train step fills when traced: batch size, dtype, data.

    A `tf.function` that creates variables is traced twice, so the optimizer's and metrics' variables are made first.
    Only the shapes of the data matter; under backends other than TensorFlow it is an outline without values.
    """
    model = workload.build()
    workload.compile(model, jit_compile=plan.jit_compile, steps_per_execution=plan.steps_per_execution)
    # A model may be marked as built while some of its layers are not, so each layer is checked, as Keras does.
    if model.optimizer is not None and all(layer.built for layer in model._flatten_layers()):
        model.optimizer.build(model.trainable_variables)
    if plan.backend == TENSORFLOW and workload.loss == "categorical_crossentropy":
        _make_metrics(model, plan.batch_size)
    seen: dict[str, Any] = {"feed_dtype": "unknown"}

    def note(data: Any) -> None:
        first = keras.tree.flatten(data)[0]
        seen.update(batch_size=first.shape[0], feed_dtype=keras.backend.standardize_dtype(first.dtype))
        if plan.backend == TENSORFLOW:
            seen.update(data=data)
        elif "data" not in seen:
            # JAX gives no values here, and PyTorch's would keep a batch in memory.
            seen.update(data=keras.tree.map_structure(_outline, data))

    backend.note_batches(model, note)
    return model, seen


def _outline(tensor: Any) -> keras.KerasTensor | None:
    if tensor is None:
        return None
    return keras.KerasTensor(tuple(tensor.shape), keras.backend.standardize_dtype(tensor.dtype))


def _make_metrics(model: keras.Model, batch_size: int) -> None:
    """Make the metrics' variables by one update with class probabilities that are all equal."""
    shape = (batch_size, *model.output_shape[1:])
    probabilities = np.full(shape, 1 / shape[-1], "float32")
    model.compute_loss(y=probabilities, y_pred=probabilities)
    model.compute_metrics(None, probabilities, probabilities)
    model.reset_metrics()
