"""The layers of ResNet-v1 for CIFAR with their sizes, in plain Python: no TensorFlow is needed to know its work.

Follows `models/resnet20.py`; a test holds both to the same weights.
"""

from __future__ import annotations

from typing import Literal

from gpuprobe.errors import UsageError
from gpuprobe.records import Record

LayerKind = Literal["convolution", "norm", "relu", "add", "pool", "dense"]
STAGE_FILTERS = (16, 32, 64)
SIDE, CHANNELS, CLASSES = 32, 3, 10
SHALLOWEST = 8


class Layer(Record, frozen=True, kw_only=True):
    """One layer: multiply-adds of a sample's forward pass, elements of a sample read and written, trained weights."""

    kind: LayerKind
    inputs: int
    outputs: int
    macs: int = 0
    weights: int = 0
    first: bool = False


def resnet_v1(depth: int) -> tuple[Layer, ...]:
    """Return the layers of the ResNet of that depth, 6n+2. Raises UsageError where the depth is not of that form."""
    blocks, rest = divmod(depth - 2, 6)
    if rest or depth < SHALLOWEST:
        raise UsageError(f"--depth: {depth} is not 6n+2; this ResNet has 20, 32, 44, 56 or 110 layers")
    layers = [_convolution(SIDE, CHANNELS, STAGE_FILTERS[0], first=True), *_norm_relu(SIDE, STAGE_FILTERS[0])]
    side, filters = SIDE, STAGE_FILTERS[0]
    for stage, wanted in enumerate(STAGE_FILTERS):
        for block in range(blocks):
            strides = 2 if stage and not block else 1
            layers += _block(side, filters, wanted, strides)
            side, filters = side // strides, wanted
    layers.append(Layer(kind="pool", inputs=side * side * filters, outputs=filters))
    weights = filters * CLASSES
    layers.append(
        Layer(kind="dense", inputs=filters, outputs=CLASSES, macs=weights, weights=weights + CLASSES),
    )
    return tuple(layers)


def _block(side: int, filters: int, wanted: int, strides: int) -> list[Layer]:
    after = side // strides
    elements = after * after * wanted
    layers = [
        _convolution(side, filters, wanted, strides=strides),
        *_norm_relu(after, wanted),
        _convolution(after, wanted, wanted),
        _norm_relu(after, wanted)[0],
        Layer(kind="add", inputs=2 * elements, outputs=elements),
        Layer(kind="relu", inputs=elements, outputs=elements),
    ]
    shortcut = [_convolution(side, filters, wanted, kernel=1, strides=strides)] if strides > 1 else []
    return [*shortcut, *layers]


def _convolution(
    side: int, filters: int, wanted: int, *, kernel: int = 3, strides: int = 1, first: bool = False
) -> Layer:
    outputs = (side // strides) ** 2 * wanted
    taps = kernel * kernel * filters
    return Layer(
        kind="convolution",
        inputs=side * side * filters,
        outputs=outputs,
        macs=outputs * taps,
        weights=taps * wanted + wanted,
        first=first,
    )


def _norm_relu(side: int, filters: int) -> list[Layer]:
    elements = side * side * filters
    return [
        Layer(kind="norm", inputs=elements, outputs=elements, weights=2 * filters),
        Layer(kind="relu", inputs=elements, outputs=elements),
    ]
