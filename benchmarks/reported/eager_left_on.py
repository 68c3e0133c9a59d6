"""`tf.config.run_functions_eagerly(True)`, left on after a search for a fault."""

import numpy as np
import tensorflow as tf
from common import FLAWED, Meter, Ticker, count, dense

tf.config.run_functions_eagerly(FLAWED)
epochs = count(8, 80)
meter = Meter(epochs * 50)
x, y = np.random.rand(3200, 32).astype("float32"), np.random.rand(3200, 1).astype("float32")
model = dense(32, 64, layers=4)
model.compile("adam", "mse")
model.fit(x, y, batch_size=64, epochs=epochs, verbose=0, callbacks=[Ticker(meter)])
meter.say()
