"""The devices of a run and how they train together; the scope is made here, so that no factory needs to (worker only).

On GPUs the gradients go through NCCL, TensorFlow's default there. It has no kernels for a processor, whose logical
devices share its cores and its memory.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gpuprobe.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras

    from gpuprobe.strategies.plan import Plan
    from gpuprobe.workloads.workload import Workload


def make_devices(count: int) -> list[str]:
    """Return the names of so many devices: the GPUs, or without one logical devices of the processor, made here.

    TensorFlow must not have begun to work. Raises InputError where there are fewer GPUs.
    """
    if count == 1:
        return []
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        processor = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * count)
        return [f"/cpu:{number}" for number in range(count)]
    if len(gpus) < count:
        raise InputError(f"TensorFlow sees {len(gpus)} GPUs here; {count} are needed")
    return [f"/gpu:{number}" for number in range(count)]


def scope(plan: Plan, devices: Sequence[str]) -> AbstractContextManager[Any]:
    """Return what a model is built and compiled in, so that it trains on the devices as planned."""
    if plan.replicas == 1:
        return nullcontext()
    import tensorflow as tf

    kind = tf.distribute.NcclAllReduce if "gpu" in devices[0] else tf.distribute.HierarchicalCopyAllReduce
    exchange = (kind if plan.exchange else _apart(kind))(num_packs=plan.packs)
    mirrored = tf.distribute.MirroredStrategy(devices, cross_device_ops=exchange)
    return mirrored.scope()  # type: ignore[no-any-return]


def _apart(kind: type[Any]) -> type[Any]:
    """Return a way to exchange gradients that leaves each replica its own."""

    class Apart(kind):  # type: ignore[misc]
        def batch_reduce_implementation(self, reduce_op: Any, pairs: Any, options: Any) -> list[Any]:
            return [own for own, _destinations in pairs]

    return Apart


def with_rate(workload: Workload, model: keras.Model, times: float) -> Workload:
    """Return the workload with its learning rate multiplied, in its schedule by epochs or in the optimizer.

    Raises InputError where the rate is a schedule of the optimizer's own, which cannot be set.
    """
    if times == 1:
        return workload
    if (by_epoch := workload.learning_rate) is not None:
        return replace(workload, learning_rate=lambda epoch: times * by_epoch(epoch))
    import keras

    rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    try:
        model.optimizer.learning_rate = times * rate
    except TypeError as error:
        raise InputError("the optimizer has a LearningRateSchedule, which cannot be multiplied") from error
    return workload
