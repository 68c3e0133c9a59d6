"""A workload for `--model` that differs from the default one in its network alone, whose graph is made in no time."""

from __future__ import annotations

from dataclasses import replace

import keras

from gpuprobe.workloads.cifar import resnet_on_cifar
from gpuprobe.workloads.synthetic import synthetic
from gpuprobe.workloads.workload import Workload


def network() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(4, 3, strides=4),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax", dtype="float32"),
        ]
    )


def workload() -> Workload:
    images = synthetic(0, "", train=512, test=1)
    return replace(resnet_on_cifar(images, batch_size=8), model=network, name="a small network")
