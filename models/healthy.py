"""A convolutional network whose few layers are wide: much to compute for each number of input and each kernel."""

from __future__ import annotations

import keras
from keras import layers

FILTERS = (64, 128, 128)


def convolutional(shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Build the network, uncompiled, for pictures of `shape` (height, width, channels; float32)."""
    inputs = keras.Input(shape)
    x = inputs
    for filters in FILTERS:
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Dense(classes, activation="softmax", dtype="float32")(x)
    return keras.Model(inputs, outputs, name="wide_convolutions")
