"""Strategies of several devices under MirroredStrategy, and the one of a single device that they are compared with.

All have the feed of `tfdata_prefetch`, which takes any data. Keras switches XLA off under `tf.distribute`, so none has
it but `one_device_xla`, which shows what is lost by that.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from gpuprobe.backends.known import TENSORFLOW
from gpuprobe.records import Scale
from gpuprobe.strategies.catalogue.compiling import STEPS_PER_EXECUTION
from gpuprobe.strategies.numbers import DEVICES, each_number
from gpuprobe.strategies.registry import strategy

if TYPE_CHECKING:
    from gpuprobe.strategies.plan import Machine, Plan

PACKS = 2
over_devices = functools.partial(each_number, DEVICES)


@strategy(
    order=DEVICES.order,
    against=DEVICES.single,
    changes="XLA compiles the train step",
    alone=False,
    needs=TENSORFLOW,
    scale=Scale(devices=1, role="xla"),
)
def one_device_xla(plan: Plan, machine: Machine) -> Plan:
    """One device with XLA, which Keras switches off as soon as there are several: what they lose by that."""
    return replace(plan, jit_compile=True)


@over_devices(1, "spread", DEVICES.single, "{} devices share each batch")
def mirrored(plan: Plan, machine: Machine, devices: int) -> Plan:
    """`fit` under MirroredStrategy: each device has the whole model and a part of the batch, and they add up gradients.

    The whole batch, the learning rate and the order of the samples stay the same. BatchNormalization sees the part of
    its device alone.
    """
    return replace(plan, replicas=devices)


@over_devices(3, "spread", DEVICES.single, "{} devices, each with a whole batch", weak=True)
def mirrored_weak(plan: Plan, machine: Machine, devices: int) -> Plan:
    """`fit` under MirroredStrategy with a batch for each device, and the learning rate multiplied by their number.

    There are fewer updates an epoch, and its loss curve differs.
    """
    return replace(plan, replicas=devices, batch_size=devices * plan.batch_size, rate_times=float(devices))


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
