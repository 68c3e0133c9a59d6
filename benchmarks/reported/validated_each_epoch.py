"""Epochs of ten steps, after each of which the whole validation set is gone through."""

import numpy as np
from common import FLAWED, Meter, Ticker, count, dense

epochs = count(60, 300)
meter = Meter(epochs)
x, y = np.random.rand(320, 64).astype("float32"), np.random.rand(320, 1).astype("float32")
held = np.random.rand(12800, 64).astype("float32"), np.random.rand(12800, 1).astype("float32")
model = dense(64, 128)
model.compile("adam", "mse")
model.fit(
    x,
    y,
    batch_size=32,
    epochs=epochs,
    validation_data=held,
    validation_batch_size=32,
    validation_freq=1 if FLAWED else 25,
    verbose=0,
    callbacks=[Ticker(meter, epochs=True)],
)
meter.say()
