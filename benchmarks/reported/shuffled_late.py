"""Twenty random batches an epoch, from a shuffle buffer that first takes in all decoded samples."""

import numpy as np
import tensorflow as tf
from common import FLAWED, Meter, Ticker, count, dense

epochs = count(14, 150)
meter = Meter(epochs)
rows = np.array([" ".join(f"{v:.4f}" for v in row) for row in np.random.rand(8000, 33)])
data = tf.data.Dataset.from_tensor_slices(rows)


def parsed(line):
    row = tf.strings.to_number(tf.strings.split(line))
    return tf.ensure_shape(row[:32], (32,)), row[32:]


if FLAWED:
    data = data.map(parsed, num_parallel_calls=tf.data.AUTOTUNE).shuffle(8000)
else:
    data = data.shuffle(8000).map(parsed, num_parallel_calls=tf.data.AUTOTUNE)
model = dense(32, 64)
model.compile("adam", "mse")
model.fit(data.batch(32).take(20).prefetch(2), epochs=epochs, verbose=0, callbacks=[Ticker(meter, epochs=True)])
meter.say()
