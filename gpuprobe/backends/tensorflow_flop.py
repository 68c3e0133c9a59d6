"""The floating-point operations of one training step, by TensorFlow's own count."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable


def step_flop(train_step: Callable[[Any], Any], data: Any) -> float | None:
    """Return the floating-point operations of one call of `train_step` on a batch like `data` (tensors or specs).

    A multiply-add counts as two. None where TensorFlow counts zero, which means that it could not count. It does not
    count within nested functions, so the step is traced without any. Source of the count: tf.compat.v1.profiler, which
    knows the formulas of matrix products, convolutions and element-wise operations.
    """
    specs = tf.nest.map_structure(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), data)
    graph = tf.function(train_step, autograph=False).get_concrete_function(specs).graph
    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation()).with_empty_output().build()
    # Hides a deprecation warning on every call.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        counted = profiler.profile(graph=graph, cmd="scope", options=options)
    total = float(counted.total_float_ops)
    return total if total > 0 else None
