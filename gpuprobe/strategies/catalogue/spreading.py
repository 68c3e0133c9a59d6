"""Strategies of several devices: what MirroredStrategy does with them, and runs that show what it costs.

All have the feed of `tfdata_prefetch`, which takes any data. None has XLA, which Keras switches off under
`tf.distribute`, but for the one that shows on one device what that costs.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from gpuprobe.backends.known import TENSORFLOW
from gpuprobe.records import Scale
from gpuprobe.strategies.catalogue.compiling import STEPS_PER_EXECUTION
from gpuprobe.strategies.numbers import ORDERS, each_number
from gpuprobe.strategies.registry import strategy

if TYPE_CHECKING:
    from gpuprobe.strategies.plan import Machine, Plan

ONE_DEVICE = "tfdata_prefetch"
PACKS = 2
# Twice as much: one step further, which a device's memory usually holds.
BATCH_TIMES = 2
LARGER, HALVED = f"{BATCH_TIMES} times the batch", "gradients are exchanged in float16"
over_devices = functools.partial(each_number, over="devices")


def larger(plan: Plan, machine: Machine) -> Plan:
    """Return the plan with a larger batch for all its devices or workers, where the memory of each holds its part."""
    batch = BATCH_TIMES * plan.batch_size
    if batch <= machine.largest_batch() * plan.replicas * plan.workers:
        return replace(plan, batch_size=batch)
    return replace(
        plan, notes=(*plan.notes, f"memory holds no larger batch than {plan.batch_size}: nothing was changed")
    )


@strategy(
    order=ORDERS["devices"],
    against=ONE_DEVICE,
    changes="XLA compiles the train step",
    alone=False,
    needs=TENSORFLOW,
    scale=Scale(devices=1, role="xla"),
)
def one_device_xla(plan: Plan, machine: Machine) -> Plan:
    """One device with XLA, which Keras switches off as soon as there are several: what is lost by that."""
    return replace(plan, jit_compile=True)


@over_devices(0, "share", ONE_DEVICE, "one of {} parts of the batch")
def share(plan: Plan, machine: Machine, devices: int) -> Plan:
    """One device with the part of the batch that each of several has: what a replica takes with nobody beside it."""
    return replace(plan, batch_size=plan.batch_size // devices)


@over_devices(1, "spread", ONE_DEVICE, "{} devices share each batch")
def mirrored(plan: Plan, machine: Machine, devices: int) -> Plan:
    """`fit` under MirroredStrategy: each device has the whole model and a part of the batch, and they add up gradients.

    The whole batch, the learning rate and the order of the samples stay the same. BatchNormalization sees the part of
    its device alone.
    """
    return replace(plan, replicas=devices)


@over_devices(2, "apart", "mirrored_{}", "the {} devices exchange no gradients")
def apart(plan: Plan, machine: Machine, devices: int) -> Plan:
    """The same without an exchange of gradients: a probe of what the exchange costs, and no way to train."""
    return replace(plan, exchange=False)


@over_devices(3, "spread", ONE_DEVICE, "{} devices, each with a whole batch", weak=True)
def mirrored_weak(plan: Plan, machine: Machine, devices: int) -> Plan:
    """`fit` under MirroredStrategy with a batch for each device, and the learning rate multiplied by their number.

    There are fewer updates an epoch, and its loss curve differs.
    """
    return replace(plan, replicas=devices, batch_size=devices * plan.batch_size, rate_times=float(devices))


@over_devices(4, "apart", "mirrored_weak_{}", "the {} devices exchange no gradients", weak=True)
def apart_weak(plan: Plan, machine: Machine, devices: int) -> Plan:
    """The same without an exchange of gradients: a probe of what the exchange costs, and no way to train."""
    return replace(plan, exchange=False)


@over_devices(5, "change", "mirrored_{}", f"gradients go in {PACKS} packs")
def packs(plan: Plan, machine: Machine, devices: int) -> Plan:
    """The gradients go in several packs, where by default all go in one that waits for the last of them."""
    return replace(plan, packs=PACKS)


@over_devices(6, "change", "mirrored_{}", f"{STEPS_PER_EXECUTION} steps per execution")
def mirrored_steps(plan: Plan, machine: Machine, devices: int) -> Plan:
    """Python calls all devices once for several steps."""
    return replace(plan, steps_per_execution=STEPS_PER_EXECUTION)


@over_devices(7, "change", "mirrored_{}", "XLA compiles the train step")
def mirrored_xla(plan: Plan, machine: Machine, devices: int) -> Plan:
    """XLA under MirroredStrategy."""
    return replace(plan, jit_compile=True)


@over_devices(8, "change", "mirrored_{}", LARGER, part="batch")
def larger_global_batch(plan: Plan, machine: Machine, devices: int) -> Plan:
    """A larger batch for all devices together: there are fewer exchanges for each sample, and fewer updates an epoch.

    The learning rate stays the same, and its loss curve differs.
    """
    return larger(plan, machine)


@over_devices(9, "change", "mirrored_{}", HALVED)
def fp16_gradients(plan: Plan, machine: Machine, devices: int) -> Plan:
    """The devices add up gradients of 16 bits, half of what goes over their links; weights and updates keep 32 bits.

    Gradients smaller than 6e-8 become zero, and sums beyond 65,504 infinite.
    """
    return replace(plan, half_gradients=True)
