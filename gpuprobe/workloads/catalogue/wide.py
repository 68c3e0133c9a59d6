"""A workload with much input and little compute: most of a step is copying."""

from __future__ import annotations

from gpuprobe.workloads.registry import workload
from gpuprobe.workloads.workload import Workload

SAMPLES, SIDE, CHANNELS, CLASSES = 128, 512, 3, 10
BATCH = 16


@workload(
    order=30,
    on_cpu="input_bound: python_feed, there is no bus to cross, and gathering 50 MB and making a tensor of them takes "
    "longer than averaging them",
    on_gpu="copy_bound once tf.data feeds it: 50 MB of float32 cross the bus each step for a few microseconds of "
    "kernels; as python_feed, input_bound there too",
)
def wide() -> Workload:
    """Train one small layer on the means of 128 float32 pictures of 512 x 512, 16 a step: 50 MB of input a step."""
    import numpy as np

    from gpuprobe.models.wide import averager

    random = np.random.default_rng(0)
    y = random.integers(0, CLASSES, SAMPLES)
    x = np.repeat(y[:, None, None, None] / CLASSES, CHANNELS, axis=-1).astype(np.float32)
    x = x + random.standard_normal((1, SIDE, SIDE, CHANNELS), np.float32)
    return Workload(
        name="wide input, little compute",
        model=lambda: averager((SIDE, SIDE, CHANNELS), CLASSES),
        data=(x, y),
        batch_size=BATCH,
        loss="sparse_categorical_crossentropy",
        metrics=("accuracy",),
    )
