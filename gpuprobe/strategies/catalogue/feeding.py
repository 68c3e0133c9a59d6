"""Strategies that differ in how the next batch reaches the device."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpuprobe.strategies.plan import AUTOTUNE
from gpuprobe.strategies.registry import strategy

if TYPE_CHECKING:
    from gpuprobe.strategies.plan import Machine, Plan


@strategy(order=10, against=None, changes="nothing: the starting point", part="loop")
def python_feed(plan: Plan, machine: Machine) -> Plan:
    """`train_on_batch` over numpy slices in a Python loop: what `fit` on arrays did in 2019.

    Python cuts each batch, hands it over, waits for the step, and reads the loss back.
    """
    return replace(plan, feed="slices")


@strategy(order=20, against="numpy", changes="a Python generator augments and feeds the batches", part="feed")
def generator(plan: Plan, machine: Machine) -> Plan:
    """`fit` on a Python generator that shifts and flips each image with numpy, by as much as the Keras example does.

    One Python thread prepares every batch. The shifts are whole pixels, where the example's interpolates, so that its
    cost may differ.
    """
    return replace(plan, feed="augmenting_generator")


@strategy(
    order=30,
    against="python_feed",
    changes="`fit` feeds the arrays instead of a Python loop",
    what_if="input_free",
    part="feed",
)
def numpy(plan: Plan, machine: Machine) -> Plan:
    """`fit` on numpy arrays: under TensorFlow, Keras 3 makes a tf.data pipeline with prefetch of them."""
    return replace(plan, feed="arrays")


@strategy(order=33, against="numpy", changes="a Grain pipeline cuts the batches", part="feed", needs="grain")
def grain(plan: Plan, machine: Machine) -> Plan:
    """`fit` on a Grain pipeline: its threads read, shuffle and batch ahead, sample by sample, without TensorFlow."""
    return replace(plan, feed="grain")


@strategy(
    order=36,
    against="numpy",
    changes="PyTorch's DataLoader cuts the batches in two processes",
    part="feed",
    needs="torch",
    not_under={
        "jax": "the DataLoader forks its processes, which JAX's threads do not outlive; grain is the like for JAX",
        "tensorflow": "the DataLoader forks its processes, which TensorFlow's threads do not outlive",
    },
)
def data_loader(plan: Plan, machine: Machine) -> Plan:
    """`fit` on a `torch.utils.data.DataLoader` that has two processes prepare the batches, sample by sample."""
    return replace(plan, feed="data_loader")


@strategy(
    order=40,
    against="numpy",
    changes="an own tf.data pipeline scales each image in a map",
    part="feed",
    needs="tensorflow",
)
def tfdata(plan: Plan, machine: Machine) -> Plan:
    """`fit` on a tf.data pipeline as first written: shuffle, map, batch; nothing in parallel, nothing kept.

    The prefetch and the fusing that TensorFlow would add by itself are switched off in all tf.data strategies, so that
    each shows what it gains.
    """
    return replace(plan, feed="pipeline")


@strategy(
    order=45,
    against="tfdata",
    changes="its map runs on several cores",
    what_if="parallel_map",
    part="feed",
    sizes=(2, 4, 8, 16),
    alone=False,
    needs="tensorflow",
)
def tfdata_parallel(plan: Plan, machine: Machine, calls: int = AUTOTUNE) -> Plan:
    """The pipeline with `num_parallel_calls` in its map: several samples are prepared at a time."""
    return replace(plan, parallel_calls=calls)


@strategy(
    order=50,
    against="tfdata",
    changes="prefetch",
    what_if="prefetch",
    part="feed",
    sizes=(2, 4, 8),
    needs="tensorflow",
)
def tfdata_prefetch(plan: Plan, machine: Machine, batches: int = AUTOTUNE) -> Plan:
    """The pipeline with `prefetch(AUTOTUNE)` at its end: the next batch is prepared while the device computes."""
    return replace(plan, prefetch=batches)


@strategy(
    order=60,
    against="tfdata_prefetch",
    changes="cache after the map",
    what_if="input_free",
    part="feed",
    needs="tensorflow",
)
def tfdata_cache_prefetch(plan: Plan, machine: Machine) -> Plan:
    """The pipeline with `cache()` after the map too: the images are scaled once, and kept in memory."""
    return replace(plan, cache=True)


@strategy(
    order=70,
    against="tfdata_cache_prefetch",
    changes="the images lie on the device",
    what_if="input_free",
    part="feed",
)
def device_resident(plan: Plan, machine: Machine) -> Plan:
    """The whole training set lies on the device, and only shuffled indices are fed: the ceiling for any input."""
    return replace(plan, feed="resident", cache=False, prefetch=AUTOTUNE)
