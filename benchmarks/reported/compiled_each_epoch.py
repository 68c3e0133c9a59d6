"""Layers frozen and freed in turns, each time by another `compile` and a `fit` of one epoch."""

import numpy as np
from common import FLAWED, Meter, Ticker, count, dense, keras

epochs = count(30, 300)
meter = Meter(epochs)
x, y = np.random.rand(3200, 32).astype("float32"), np.random.rand(3200, 1).astype("float32")
model = dense(32, 64, layers=4)
if FLAWED:
    for epoch in range(epochs):
        model.layers[0].trainable = epoch % 2 == 0
        model.compile(keras.optimizers.Adam(), "mse")
        model.fit(x, y, batch_size=64, epochs=1, verbose=0, callbacks=[Ticker(meter, epochs=True)])
else:
    model.compile(keras.optimizers.Adam(), "mse")
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0, callbacks=[Ticker(meter, epochs=True)])
meter.say()
