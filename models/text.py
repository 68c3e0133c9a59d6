"""A classifier of token sequences, small beside what it takes to make the tokens."""

from __future__ import annotations

import keras
from keras import layers


def classifier(vocabulary: int, length: int) -> keras.Model:
    """Build the network, uncompiled: embedding, mean over the tokens, one layer, a probability.

    It takes (batch, length) int32 tokens below `vocabulary`.
    """
    inputs = keras.Input((length,), dtype="int32")
    x = layers.Embedding(vocabulary, 32)(inputs)
    x = layers.GlobalAveragePooling1D()(x)
    x = layers.Dense(32, activation="relu")(x)
    outputs = layers.Dense(1, activation="sigmoid", dtype="float32")(x)
    return keras.Model(inputs, outputs, name="text_classifier")
