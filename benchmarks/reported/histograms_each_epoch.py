"""TensorBoard writes histograms of all weights after each short epoch."""

import tempfile

import numpy as np
from common import FLAWED, Meter, Ticker, count, dense, keras

epochs = count(40, 200)
meter = Meter(epochs)
x, y = np.random.rand(640, 64).astype("float32"), np.random.rand(640, 1).astype("float32")
model = dense(64, 512, layers=6)
model.compile("adam", "mse")
board = keras.callbacks.TensorBoard(tempfile.mkdtemp(), histogram_freq=1 if FLAWED else 0)
model.fit(x, y, batch_size=32, epochs=epochs, verbose=0, callbacks=[board, Ticker(meter, epochs=True)])
meter.say()
