"""A workload without a bottleneck: the device computes nearly all the time."""

from __future__ import annotations

from gpuprobe.workloads.registry import workload
from gpuprobe.workloads.workload import Workload

SAMPLES, SIDE, CHANNELS, CLASSES = 512, 64, 3, 10


@workload(
    order=40,
    on_cpu="compute_bound: its convolutions take all but a few percent of a step",
    on_gpu="compute_bound: few, large kernels, and little input beside them",
)
def healthy() -> Workload:
    """Train a convolutional network with wide layers on 512 pictures of 64 x 64, 32 a step."""
    import numpy as np

    from gpuprobe.models.healthy import convolutional

    random = np.random.default_rng(0)
    y = random.integers(0, CLASSES, SAMPLES)
    x = (random.standard_normal((SAMPLES, SIDE, SIDE, CHANNELS), np.float32) + y[:, None, None, None]) / CLASSES
    return Workload(
        name="wide convolutions",
        model=lambda: convolutional((SIDE, SIDE, CHANNELS), CLASSES),
        data=(x, y),
        loss="sparse_categorical_crossentropy",
        metrics=("accuracy",),
    )
