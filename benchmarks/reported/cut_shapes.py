"""XLA compiles the step anew for each length of a batch."""

import numpy as np
import tensorflow as tf
from common import FLAWED, Meter, Ticker, count, keras

steps = count(120, 3000)
meter = Meter(steps)
rng = np.random.default_rng(0)


def batches():
    while True:
        length = int(rng.integers(20, 400)) if FLAWED else 100 * int(rng.integers(1, 5))
        yield rng.integers(0, 1000, (32, length)), rng.random((32, 1), np.float32)


layers = [keras.layers.Embedding(1000, 16), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(1)]
model = keras.Sequential([keras.Input((None,)), *layers])
model.compile("sgd", "mse", jit_compile=True)
signature = (tf.TensorSpec((32, None), tf.int64), tf.TensorSpec((32, 1), tf.float32))
data = tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(2)
model.fit(data, steps_per_epoch=steps, epochs=1, verbose=0, callbacks=[Ticker(meter)])
meter.say()
