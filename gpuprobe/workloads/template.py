"""The template that `gpuprobe new` writes; it runs as it is."""

from __future__ import annotations

TEXT = '''\
"""What gpuprobe trains. Try it: gpuprobe run --model {file}:workload --quick"""

import keras
import numpy as np

import gpuprobe


def model():
    """Build your model. gpuprobe calls this once in each run, under the dtype policy that the run is about."""
    net = keras.Sequential(
        [
            keras.Input((32,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, activation="softmax", dtype="float32"),
        ]
    )
    # Loss, optimizer and metrics stay as they are; XLA and steps per execution are what strategies change.
    net.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return net


def data():
    """Return your training data. gpuprobe calls this once in each run, in a fresh process.

    Arrays (x, y) or (x, y, sample_weight) allow every strategy; a class_weight of fit becomes the weight of each
    sample. A tf.data.Dataset of batches, a keras.utils.PyDataset, or a generator function in place of this one work
    too; strategies that cannot apply to them are skipped, and the report says why.
    """
    random = np.random.default_rng(0)
    x = random.standard_normal((4096, 32), np.float32)
    y = (x @ random.standard_normal((32, 10))).argmax(axis=1)
    return x, y


def workload():
    """What `--model {file}:workload` names."""
    return gpuprobe.Workload(
        name="my model",
        model=model,
        data=data,
        batch_size=32,
        # map=lambda x, y: (tf.cast(x, tf.float32) / 255, y),   for arrays: prepares one sample, as Dataset.map does
        # map_takes_batches=True,                               if that also works on a batch, on the device
        # augment=lambda x, random: x,                          for arrays: changes a numpy batch of x at random
        # learning_rate=lambda epoch: 1e-3,                     a schedule
        # steps_per_epoch=100,                                  for batches that have no known end
    )
'''


def template(file: str = "FILE.py") -> str:
    """Return the text of a workload's file; `file` is its name in the comments."""
    return TEXT.format(file=file)
