"""Reads settings and counts that are the same under every backend."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import keras

from gpuprobe.records import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

EXACT_IN_FLOAT32 = 2**24


def samples_of_epoch(model: keras.Model) -> int:
    """Return how many samples the running loss has counted; 0 where unknown. To be called at an epoch's end.

    Only then has every backend set its count. Keras counts in float32, which is not exact above `EXACT_IN_FLOAT32`.
    """
    counted = as_number(loss_count(model))
    return counted if counted < EXACT_IN_FLOAT32 else 0


def loss_count(model: keras.Model) -> Any:
    """Return the variable of Keras's running loss that counts its samples, or None."""
    return next((metric.count for metric in model.metrics if metric.name == "loss" and hasattr(metric, "count")), None)


def as_number(count: Any) -> int:
    """Return a variable's value, 0 where there is none."""
    return int(float(keras.ops.convert_to_numpy(count))) if count is not None else 0


def settings_of(
    model: keras.Model,
    batch_size: int,
    feed_dtype: str,
    device: str,
    *,
    intra_op_threads: int = 0,
    inter_op_threads: int = 0,
    onednn: bool | None = None,
    threads_spin: bool | None = None,
    tf32: bool | None = None,
    gpu_pci_bus_id: str = "",
    replicas: int = 1,
    trainable_mib: float | None = None,
    functions_eagerly: bool = False,
) -> Settings:
    """Combine Keras's settings with those of its backend; 0 threads means one for each core."""
    return Settings(
        backend=keras.backend.backend(),
        device=device,
        dtype_policy=model.dtype_policy.name,
        compute_dtype=model.dtype_policy.compute_dtype,
        jit_compile=bool(model.jit_compile),
        batch_size=batch_size,
        feed_dtype=feed_dtype,
        steps_per_execution=int(model.steps_per_execution),
        optimizer=type(model.optimizer).__name__,
        intra_op_threads=intra_op_threads or cores(),
        inter_op_threads=inter_op_threads or cores(),
        onednn=onednn,
        threads_spin=threads_spin,
        tf32=tf32,
        run_eagerly=bool(model.run_eagerly),
        gpu_pci_bus_id=gpu_pci_bus_id,
        replicas=replicas,
        trainable_mib=trainable_mib,
        functions_eagerly=functions_eagerly,
        distribution_devices=_distribution_devices(),
    )


def _distribution_devices() -> int:
    """Return over how many devices `keras.distribution` was told to spread the training; 0 where it was not."""
    distribution = keras.distribution.distribution()
    return (
        math.prod(distribution.device_mesh.shape)
        if distribution is not None and distribution.device_mesh is not None
        else 0
    )


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def note_in_step(model: keras.Model, note: Callable[[Any], None]) -> None:
    """Have `note` called with the data, the last argument, when Python runs the train step, as to build its graph."""
    step = model.train_step

    def noting_step(*args: Any) -> Any:
        note(args[-1])
        return step(*args)

    model.train_step = noting_step


def nothing() -> None:
    """Do nothing: no trace runs."""
