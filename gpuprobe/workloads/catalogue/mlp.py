"""A workload whose steps are too small for any device."""

from __future__ import annotations

from gpuprobe.workloads.registry import workload
from gpuprobe.workloads.workload import Workload

SAMPLES, FEATURES, CLASSES = 20_000, 64, 10


@workload(
    order=10,
    on_cpu="batch_too_small: calling its small operations takes longer than computing them",
    on_gpu="launch_bound: a hundred kernels of a few microseconds each, and the host launches them one by one",
)
def mlp() -> Workload:
    """Train a perceptron of twelve small layers on 20,000 rows of 64 numbers, 32 a step."""
    import numpy as np

    from gpuprobe.models.mlp import perceptron

    random = np.random.default_rng(0)
    x = random.standard_normal((SAMPLES, FEATURES), np.float32)
    # A rule that can be learnt: the largest of ten fixed mixtures of the features.
    y = (x @ random.standard_normal((FEATURES, CLASSES), np.float32)).argmax(axis=1).astype(np.int64)
    return Workload(
        name="small perceptron",
        model=lambda: perceptron(FEATURES, CLASSES),
        data=(x, y),
        loss="sparse_categorical_crossentropy",
        metrics=("accuracy",),
    )
