"""The work of one training step: FLOP and bytes of each large operation, and how many operations there are in all.

Forward, backward and Adam's update in float32. A convolution's or dense layer's backward pass is two more products of
the same size, one for its input (the first layer has none) and one for its weights. Every operation is taken to read
its inputs from memory and to write its outputs there, which holds where nothing is fused.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from gpuprobe.predict.layers import resnet_v1
from gpuprobe.records import Record

if TYPE_CHECKING:
    from gpuprobe.predict.layers import Layer

FLOAT_BYTES = 4
# Operations of one train step that compute something, counted in the graph that Keras 3.15 on TensorFlow 2.21 runs
# after TensorFlow's own optimisation, for depth 8, 14 and 20 with Adam: 1,088, 1,882 and 2,676. Casts, scalars of the
# optimiser and sums of gradients are launches too.
OPERATIONS_BASE = 294
OPERATIONS_PER_BLOCK = 794
# Passes over a layer's elements, in elements read or written for each one of its output.
NORM_FORWARD, NORM_BACKWARD = 7, 9
RELU_FORWARD, RELU_BACKWARD = 2, 3
ADD_FORWARD, ADD_BACKWARD = 3, 3
# Adam reads the gradient, the weight and two moments and writes three of them, in steps that keep nothing: about twelve
# operations of three passes each.
ADAM_OPERATIONS, ADAM_PASSES = 12, 3


class Operation(Record, frozen=True, kw_only=True):
    """One operation of the step: FLOP and bytes a sample, and bytes a step that do not grow with the batch."""

    flop: float = 0.0
    sample_bytes: float = 0.0
    step_bytes: float = 0.0


class Work(Record, frozen=True, kw_only=True):
    """The work of a train step: its large `operations`, and the number of all operations, small ones too."""

    depth: int
    operations: tuple[Operation, ...]
    operation_count: int

    @property
    def flop_per_sample(self) -> float:
        """FLOP of one sample, forward and backward."""
        return sum(operation.flop for operation in self.operations)

    def bytes_per_step(self, batch_size: int) -> float:
        """Bytes that a step of that batch size moves to and from memory."""
        return sum(operation.sample_bytes * batch_size + operation.step_bytes for operation in self.operations)


@functools.cache
def train_step(depth: int) -> Work:
    """Return the work of a train step of the built-in ResNet. Raises UsageError where the depth is not 6n+2."""
    operations = [operation for layer in resnet_v1(depth) for operation in (*_passes(layer), *_update(layer))]
    blocks = (depth - 2) // 6
    count = OPERATIONS_BASE + OPERATIONS_PER_BLOCK * blocks
    return Work(depth=depth, operations=tuple(operations), operation_count=count)


def _passes(layer: Layer) -> list[Operation]:
    if layer.macs:
        return _products(layer)
    passes = {
        "norm": (NORM_FORWARD, NORM_BACKWARD),
        "relu": (RELU_FORWARD, RELU_BACKWARD),
        "add": (ADD_FORWARD, ADD_BACKWARD),
    }
    if layer.kind == "pool":
        moved = FLOAT_BYTES * (layer.inputs + layer.outputs)
        return [Operation(sample_bytes=moved), Operation(sample_bytes=moved)]
    return [Operation(sample_bytes=FLOAT_BYTES * count * layer.outputs) for count in passes[layer.kind]]


def _products(layer: Layer) -> list[Operation]:
    product = Operation(
        flop=2.0 * layer.macs,
        sample_bytes=FLOAT_BYTES * (layer.inputs + layer.outputs),
        step_bytes=FLOAT_BYTES * layer.weights,
    )
    bias = Operation(sample_bytes=FLOAT_BYTES * 2 * layer.outputs)
    bias_gradient = Operation(sample_bytes=FLOAT_BYTES * layer.outputs)
    return [*[product] * (2 if layer.first else 3), bias, bias_gradient]


def _update(layer: Layer) -> list[Operation]:
    if not layer.weights:
        return []
    return [Operation(step_bytes=FLOAT_BYTES * ADAM_PASSES * layer.weights)] * ADAM_OPERATIONS
