"""Images turned and scaled by numpy in a generator; the twin does it with TensorFlow, for a batch at once."""

import numpy as np
import tensorflow as tf
from common import FLAWED, Meter, Ticker, count, keras

steps = count(350, 1500)
meter = Meter(steps)
images, labels = np.random.randint(0, 255, (2048, 32, 32, 3), np.uint8), np.random.randint(0, 10, 2048)


def one_by_one():
    rng = np.random.default_rng(0)
    while True:
        for image, label in zip(images, labels, strict=True):
            turned = np.rot90(image, rng.integers(4)).astype("float32")
            padded = np.pad(turned, ((4, 4), (4, 4), (0, 0)), mode="reflect")
            top, left = rng.integers(9, size=2)
            part = padded[top : top + 32, left : left + 32]
            yield (part - part.mean()) / (part.std() + 1e-3), label


def at_once(batch, label):
    padded = tf.pad(tf.cast(batch, tf.float32), [[0, 0], [4, 4], [4, 4], [0, 0]], "REFLECT")
    cut = tf.image.random_crop(padded, (32, 32, 32, 3))
    mean, variance = tf.nn.moments(cut, [1, 2, 3], keepdims=True)
    return (cut - mean) / (tf.sqrt(variance) + 1e-3), label


if FLAWED:
    signature = (tf.TensorSpec((32, 32, 3), tf.float32), tf.TensorSpec((), tf.int64))
    data = tf.data.Dataset.from_generator(one_by_one, output_signature=signature).batch(32)
else:
    data = tf.data.Dataset.from_tensor_slices((images, labels)).repeat().batch(32, drop_remainder=True)
    data = data.map(at_once, num_parallel_calls=tf.data.AUTOTUNE)
layers = [keras.layers.Conv2D(8, 3, 4, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(10)]
model = keras.Sequential([keras.Input((32, 32, 3)), *layers])
model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(data.prefetch(2), steps_per_epoch=steps, epochs=1, verbose=0, callbacks=[Ticker(meter)])
meter.say()
