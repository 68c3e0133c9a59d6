"""The default workload: ResNet-v1 on CIFAR-10 with the Keras example's optimizer and schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpuprobe.workloads.augment import shift_and_mirror
from gpuprobe.workloads.workload import Workload

if TYPE_CHECKING:
    import keras

    from gpuprobe.workloads.arrays import Arrays

LEARNING_RATE = 1e-3
# The verdicts expected for it.
ON_CPU = "compute_bound: a processor takes far longer to compute a step than to feed it"
ON_GPU = "launch_bound: hundreds of kernels that are small at batch 32"
# After these epochs the rate is this share of the first one (keras-io, examples/cifar10_resnet.py, lr_schedule).
SCHEDULE = ((180, 0.5e-3), (160, 1e-3), (120, 1e-2), (80, 1e-1))


def learning_rate(epoch: int) -> float:
    """Return the example's learning rate for an epoch, from 0."""
    return LEARNING_RATE * next((share for after, share in SCHEDULE if epoch > after), 1.0)


def workload_name(depth: int, data_name: str) -> str:
    """Return the name of this workload in reports."""
    return f"ResNet{depth} on {data_name}"


def resnet_on_cifar(data: Arrays, *, depth: int = 20, batch_size: int = 32) -> Workload:
    """Return the workload: ResNet-v1 of that depth, Adam, categorical cross-entropy, accuracy.

    Its map scales x to float32 in [0, 1], subtracts the pixel mean, and makes y one-hot.
    """
    import keras
    import numpy as np

    from gpuprobe.models.resnet20 import resnet_v1

    def build() -> keras.Model:
        return resnet_v1(depth, classes=data.classes, shape=data.x.shape[1:])

    def optimizer() -> keras.optimizers.Optimizer:
        return keras.optimizers.Adam(LEARNING_RATE)

    def scale(x: Any, y: Any) -> tuple[Any, Any]:
        if isinstance(x, np.ndarray):
            # Scaling before the training needs no backend.
            one_hot: Any = np.eye(data.classes, dtype=np.float32)[y]
            return x.astype(np.float32) / np.float32(255.0) - data.mean, one_hot
        import tensorflow as tf

        return tf.cast(x, tf.float32) / 255.0 - data.mean, tf.one_hot(y, data.classes)

    return Workload(
        name=workload_name(depth, data.name),
        model=build,
        data=(data.x, data.y),
        map=scale,
        map_takes_batches=True,
        augment=shift_and_mirror,
        optimizer=optimizer,
        loss="categorical_crossentropy",
        metrics=("accuracy",),
        learning_rate=learning_rate,
        batch_size=batch_size,
    )
