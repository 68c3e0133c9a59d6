"""Sentences padded to the longest of their batch, in a `tf.function` that is traced for each new length."""

import numpy as np
import tensorflow as tf
from common import FLAWED, Meter, count, keras

steps = count(150, 2500)
meter = Meter(steps)
rng = np.random.default_rng(0)
layers = [keras.layers.Embedding(1000, 16), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(1)]
model = keras.Sequential([keras.Input((None,)), *layers])
optimizer = keras.optimizers.SGD(0.01)
optimizer.build(model.trainable_variables)


@tf.function
def step(words, labels):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(words, training=True) - labels) ** 2)
    optimizer.apply(tape.gradient(loss, model.trainable_variables))
    return loss


for _ in range(steps):
    length = int(rng.integers(20, 2000)) if FLAWED else 500 * int(rng.integers(1, 5))
    step(rng.integers(0, 1000, (32, length)), rng.random((32, 1), np.float32))
    meter.tick()
meter.say()
