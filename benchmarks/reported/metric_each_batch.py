"""The area under the curve of all samples so far, worked out anew after each batch, by scikit-learn."""

import numpy as np
from common import FLAWED, Meter, Ticker, count, dense, keras
from sklearn.metrics import roc_auc_score

epochs = count(8, 40)
meter = Meter(epochs * 100)
x, y = np.random.rand(6400, 32).astype("float32"), np.random.randint(0, 2, (6400, 1)).astype("float32")
model = dense(32, 64)
model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))


class AreaUnderCurve(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if FLAWED:
            self.score()

    def on_epoch_end(self, epoch, logs=None):
        if not FLAWED:
            self.score()

    def score(self):
        roc_auc_score(y[:3200], self.model.predict_on_batch(x[:3200]))


model.fit(x, y, batch_size=64, epochs=epochs, verbose=0, callbacks=[AreaUnderCurve(), Ticker(meter)])
meter.say()
