"""A decaying mean over time in `tf.while_loop`, which a product with a fixed matrix does at once."""

import numpy as np
import tensorflow as tf
from common import FLAWED, Meter, Ticker, count, keras

steps = count(400, 3000)
meter = Meter(steps)
x, y = np.random.rand(64 * 200, 100, 8).astype("float32"), np.random.rand(64 * 200, 1).astype("float32")
weights = np.tril(0.1 * 0.9 ** np.maximum(0, np.arange(100)[:, None] - np.arange(100)[None])).astype("float32")


class Decaying(keras.layers.Layer):
    def call(self, inputs):
        if not FLAWED:
            return tf.einsum("ts,bsf->btf", weights, inputs)
        kept = tf.TensorArray(tf.float32, 100)

        def turn(t, mean, kept):
            mean = 0.9 * mean + 0.1 * inputs[:, t]
            return t + 1, mean, kept.write(t, mean)

        last = tf.while_loop(lambda t, *_: t < 100, turn, (0, tf.zeros_like(inputs[:, 0]), kept))
        return tf.transpose(last[2].stack(), [1, 0, 2])

    def compute_output_shape(self, shape):
        return shape


layers = [Decaying(), keras.layers.Flatten(), keras.layers.Dense(16, "relu"), keras.layers.Dense(1)]
model = keras.Sequential([keras.Input((100, 8)), *layers])
model.compile("sgd", "mse", jit_compile=False)
data = tf.data.Dataset.from_tensor_slices((x, y)).batch(64, drop_remainder=True).repeat().prefetch(2)
model.fit(data, steps_per_epoch=steps, epochs=1, verbose=0, callbacks=[Ticker(meter)])
meter.say()
