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
    """Return the compiled model, and a dict that its train step fills when it is traced.

    The dict then holds `batch_size`, `feed_dtype` and `data`, a batch of which only the shapes matter; under backends
    other than TensorFlow that is an outline without values. The optimizer's and the metrics' variables are made here:
    a `tf.function` that creates variables would be traced twice.
    """
    model = workload.build()
    workload.compile(model, jit_compile=plan.jit_compile, steps_per_execution=plan.steps_per_execution)
    # A model may be marked as built while some of its layers are not, so each layer is checked, as Keras does.
    if model.optimizer is not None and all(layer.built for layer in model._flatten_layers()):
        model.optimizer.build(model.trainable_variables)
    if plan.backend == TENSORFLOW and workload.loss == "categorical_crossentropy":
        _make_metrics(model, plan.batch_size)
    traced_batch: dict[str, Any] = {"feed_dtype": "unknown"}

    def note_batch(data: Any) -> None:
        first_tensor = keras.tree.flatten(data)[0]
        traced_batch.update(
            batch_size=first_tensor.shape[0], feed_dtype=keras.backend.standardize_dtype(first_tensor.dtype)
        )
        if plan.backend == TENSORFLOW:
            traced_batch.update(data=data)
        elif "data" not in traced_batch:
            # JAX gives no values here, and PyTorch's would keep a batch in memory.
            traced_batch.update(data=keras.tree.map_structure(_outline, data))

    backend.note_batches(model, note_batch)
    return model, traced_batch


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
