"""Makes the devices of a run, and the distribution scope in which they train together (worker only).

GPUs exchange gradients by NCCL, TensorFlow's default. NCCL does not run on a processor, whose logical devices share its
cores and memory.
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
    """Return the names of `count` devices: GPUs, or, without any, logical devices of the processor, which it makes.

    Call it before TensorFlow makes a tensor. Raises InputError where there are fewer GPUs.
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
    """Return the context in which to build and compile a model, so that it trains on the devices as planned."""
    if plan.replicas == 1:
        return nullcontext()
    import tensorflow as tf

    reduction = tf.distribute.NcclAllReduce if "gpu" in devices[0] else tf.distribute.HierarchicalCopyAllReduce
    cross_device_ops = (reduction if plan.exchange else _without_exchange(reduction))(num_packs=plan.packs)
    mirrored = tf.distribute.MirroredStrategy(devices, cross_device_ops=cross_device_ops)
    return mirrored.scope()  # type: ignore[no-any-return]


def _without_exchange(reduction: type[Any]) -> type[Any]:
    """Return a cross-device exchange that does nothing: each replica keeps its own gradients."""

    class NoExchange(reduction):  # type: ignore[misc]
        def batch_reduce_implementation(
            self, reduce_op: Any, gradients_and_destinations: Any, options: Any
        ) -> list[Any]:
            return [gradient for gradient, _destinations in gradients_and_destinations]

    return NoExchange


def with_learning_rate(workload: Workload, model: keras.Model, factor: float) -> Workload:
    """Return the workload with its learning rate multiplied by `factor`, in its epoch schedule or in the optimizer.

    Raises InputError where the optimizer has a schedule of its own, whose rate cannot be set.
    """
    if factor == 1:
        return workload
    if (rate_by_epoch := workload.learning_rate) is not None:
        return replace(workload, learning_rate=lambda epoch: factor * rate_by_epoch(epoch))
    import keras

    rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    try:
        model.optimizer.learning_rate = factor * rate
    except TypeError as error:
        raise InputError("the optimizer has a LearningRateSchedule, which cannot be multiplied") from error
    return workload


def halve_gradients(model: keras.Model) -> None:
    """Have the optimizer exchange gradients in float16; it casts each to its weight's dtype for the update.

    A train step that does not call the optimizer's `apply` or `apply_gradients` is left as it is.
    """
    import tensorflow as tf

    apply = model.optimizer.apply

    def apply_halved(gradients: Sequence[Any], variables: Any = None) -> Any:
        return apply([None if gradient is None else _as_float16(tf, gradient) for gradient in gradients], variables)

    model.optimizer.apply = apply_halved


def _as_float16(tf: Any, gradient: Any) -> Any:
    return tf.cast(gradient, tf.float16) if gradient.dtype == tf.float32 else gradient
