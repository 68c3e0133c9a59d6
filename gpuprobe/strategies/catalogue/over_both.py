"""Strategies that several devices and several workers have alike: probes of what spreading costs, and changes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpuprobe.strategies.numbers import SPREADS, each_number

if TYPE_CHECKING:
    from gpuprobe.strategies.plan import Machine, Plan

# Twice as much: one step further, which a device's memory usually holds.
BATCH_TIMES = 2
LARGER, HALVED = f"{BATCH_TIMES} times the batch", "gradients are exchanged in float16"


def share(plan: Plan, machine: Machine, number: int) -> Plan:
    """One device trains on the part of the batch that each of several would get: how long that takes it by itself."""
    return replace(plan, batch_size=plan.batch_size // number)


def apart(plan: Plan, machine: Machine, number: int) -> Plan:
    """The same without an exchange of gradients: a probe of what the exchange costs, and no way to train.

    Several workers still wait for each other once a step.
    """
    return replace(plan, exchange=False)


def larger_global_batch(plan: Plan, machine: Machine, number: int) -> Plan:
    """A larger batch for all together, where memory holds it: fewer exchanges for each sample, fewer updates an epoch.

    The learning rate stays the same, and the loss curve differs.
    """
    batch = BATCH_TIMES * plan.batch_size
    if batch <= machine.largest_batch() * plan.replicas * plan.workers:
        return replace(plan, batch_size=batch)
    note = f"memory holds no larger batch than {plan.batch_size}: nothing was changed"
    return replace(plan, notes=(*plan.notes, note))


def fp16_gradients(plan: Plan, machine: Machine, number: int) -> Plan:
    """Gradients are exchanged in 16 bits, half of what goes over the links; weights and updates keep 32 bits.

    Gradients smaller than 6e-8 become zero, and sums beyond 65,504 infinite.
    """
    return replace(plan, half_gradients=True)


for spread in SPREADS.values():
    together, no_exchange = f"{spread.together}_{{}}", f"the {{}} {spread.over} exchange no gradients"
    each_number(spread, 0, "share", spread.single, "one of {} parts of the batch", name=spread.share)(share)
    each_number(spread, 2, "apart", together, no_exchange, name=spread.apart)(apart)
    weak_together, weak_apart = f"{spread.together}_weak_{{}}", f"{spread.apart}_weak"
    each_number(spread, 4, "apart", weak_together, no_exchange, name=weak_apart, weak=True)(apart)
    larger = f"{spread.prefix}larger_global_batch"
    each_number(spread, spread.place, "change", together, LARGER, name=larger, part="batch")(larger_global_batch)
    halved = f"{spread.prefix}fp16_gradients"
    each_number(spread, spread.place + 1, "change", together, HALVED, name=halved)(fp16_gradients)
