"""Mixed precision, switched on where there is no GPU."""

import numpy as np
from common import FLAWED, Meter, Ticker, count, keras

epochs = count(3, 12)
meter = Meter(epochs * 20)
if FLAWED:
    keras.mixed_precision.set_global_policy("mixed_float16")
x, y = np.random.rand(320, 32, 32, 3).astype("float32"), np.random.randint(0, 10, 320)
layers = [keras.layers.Conv2D(32, 3, padding="same", activation="relu") for _ in range(3)]
model = keras.Sequential(
    [keras.Input((32, 32, 3)), *layers, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10, dtype="float32")]
)
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(x, y, batch_size=16, epochs=epochs, verbose=0, callbacks=[Ticker(meter)])
meter.say()
