"""A loop of one's own that saves the weights after each step, lest anything be lost."""

import tempfile
from pathlib import Path

import numpy as np
from common import FLAWED, Meter, count, dense

steps = count(600, 4000)
meter = Meter(steps)
folder = Path(tempfile.mkdtemp())
x, y = np.random.rand(64, 32).astype("float32"), np.random.rand(64, 1).astype("float32")
model = dense(32, 128, layers=4)
model.compile("adam", "mse")
for step in range(steps):
    model.train_on_batch(x, y)
    if FLAWED or step % 500 == 0:
        model.save_weights(folder / "newest.weights.h5")
    meter.tick()
meter.say()
