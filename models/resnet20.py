"""ResNet-v1 for CIFAR: depth 6n+2, as in the Keras example `cifar10_resnet.py` and section 4.2 of He et al. 2015.

Three stages of n blocks each (16, 32, 64 filters). A block is two 3x3 convolutions with BatchNorm; its second has
no ReLU before the addition. The first block of the second and third stage halves the picture, and its shortcut is
a 1x1 convolution without BatchNorm and ReLU. Trained weights and moving averages: 274,442 at depth 20.
"""

from __future__ import annotations

import keras
from keras import layers

STAGE_FILTERS = (16, 32, 64)
L2 = 1e-4


def resnet_v1(depth: int = 20, *, classes: int = 10, shape: tuple[int, int, int] = (32, 32, 3)) -> keras.Model:
    """Build the network, uncompiled, for images of `shape` (height, width, channels; float32 around 0).

    Raises ValueError where the depth is not 6n+2 with n of at least 1.
    """
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise ValueError(f"depth {depth} is not 6n+2; ResNet-v1 for CIFAR has depth 8, 14, 20, 32, 44, 56, 110, ...")
    inputs = keras.Input(shape)
    x = _relu(_normalised(_convolution(inputs, STAGE_FILTERS[0])))
    for stage, filters in enumerate(STAGE_FILTERS):
        for block in range(blocks):
            halves = stage > 0 and block == 0
            x = _block(x, filters, strides=2 if halves else 1, projects=halves)
    x = layers.AveragePooling2D(pool_size=8)(x)
    x = layers.Flatten()(x)
    # In float32 under any dtype policy: a 16-bit softmax loses the small probabilities that the loss depends on.
    outputs = layers.Dense(classes, activation="softmax", kernel_initializer="he_normal", dtype="float32")(x)
    return keras.Model(inputs, outputs, name=f"resnet{depth}_v1")


def _block(x: keras.KerasTensor, filters: int, *, strides: int, projects: bool) -> keras.KerasTensor:
    y = _relu(_normalised(_convolution(x, filters, strides=strides)))
    y = _normalised(_convolution(y, filters))
    if projects:
        x = _convolution(x, filters, kernel=1, strides=strides)
    return _relu(layers.add([x, y]))


def _convolution(x: keras.KerasTensor, filters: int, *, kernel: int = 3, strides: int = 1) -> keras.KerasTensor:
    return layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding="same",
        kernel_initializer="he_normal",
        kernel_regularizer=keras.regularizers.L2(L2),
    )(x)


def _normalised(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.BatchNormalization()(x)


def _relu(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Activation("relu")(x)
