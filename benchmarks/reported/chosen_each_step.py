"""A batch chosen without replacement from a million samples in each step: numpy shuffles all indices for it."""

import numpy as np
from common import FLAWED, Meter, count, dense

steps = count(250, 6000)
meter = Meter(steps)
x, y = np.random.rand(1_000_000, 16).astype("float32"), np.random.rand(1_000_000, 1).astype("float32")
model = dense(16, 64)
model.compile("adam", "mse")
rng = np.random.default_rng(0)
for _ in range(steps):
    chosen = np.random.choice(len(x), 64, replace=False) if FLAWED else rng.integers(0, len(x), 64)
    model.train_on_batch(x[chosen], y[chosen])
    meter.tick()
meter.say()
