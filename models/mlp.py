"""A multi-layer perceptron so small that calling its layers costs more than computing them."""

from __future__ import annotations

import keras
from keras import layers

UNITS = 16
HIDDEN_LAYERS = 12


def perceptron(features: int, classes: int) -> keras.Model:
    """Build the network, uncompiled: twelve ReLU layers of 16 units and a softmax, for rows of so many features."""
    inputs = keras.Input((features,))
    x = inputs
    for _ in range(HIDDEN_LAYERS):
        x = layers.Dense(UNITS, activation="relu")(x)
    outputs = layers.Dense(classes, activation="softmax", dtype="float32")(x)
    return keras.Model(inputs, outputs, name="perceptron")
