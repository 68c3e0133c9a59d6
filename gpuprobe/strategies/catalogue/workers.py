"""Strategies of several workers, which are processes that train together, on one host or on many.

Keras's `fit` fails under MultiWorkerMirroredStrategy (keras-team/keras#20585). So they train in a custom loop around
the model's `train_step`, and so does the single process that they are compared with.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from gpuprobe.backends.known import TENSORFLOW
from gpuprobe.records import Scale
from gpuprobe.strategies.numbers import DEVICES, WORKERS, each_number
from gpuprobe.strategies.registry import strategy

if TYPE_CHECKING:
    from gpuprobe.strategies.plan import Machine, Plan

# ResNet20's gradients are 1.05 MiB: of any larger model this makes several packs.
PACK_KIB = 512
over_workers = functools.partial(each_number, WORKERS)


@strategy(
    order=WORKERS.order,
    against=DEVICES.single,
    changes="a custom loop in place of `fit`",
    alone=False,
    needs=TENSORFLOW,
    scale=Scale(devices=1, role="one", over="workers"),
)
def own_loop(plan: Plan, machine: Machine) -> Plan:
    """One process that calls the model's `train_step` in a custom loop: several workers are compared with it."""
    return replace(plan, own_loop=True)


@strategy(
    order=WORKERS.order + 1,
    against=WORKERS.single,
    changes="XLA compiles the train step",
    alone=False,
    needs=TENSORFLOW,
    scale=Scale(devices=1, role="xla", over="workers"),
)
def own_loop_xla(plan: Plan, machine: Machine) -> Plan:
    """One process with XLA, which several workers on processors cannot have: what they lose by that."""
    return replace(plan, jit_compile=True)


@over_workers(1, "spread", WORKERS.single, "{} workers share each batch")
def multi_worker(plan: Plan, machine: Machine, workers: int) -> Plan:
    """A custom loop under MultiWorkerMirroredStrategy: each worker has the whole model and a part of the batch.

    They add up their gradients. The whole batch, the learning rate and the samples of each step stay the same: each
    worker prepares its own part of them. BatchNormalization sees the part of its worker alone.
    """
    return replace(plan, workers=workers)


@over_workers(3, "spread", WORKERS.single, "{} workers, each with a whole batch", weak=True)
def multi_worker_weak(plan: Plan, machine: Machine, workers: int) -> Plan:
    """Workers under MultiWorkerMirroredStrategy with a batch each, and the learning rate multiplied by their number.

    There are fewer updates an epoch, and its loss curve differs.
    """
    return replace(plan, workers=workers, batch_size=workers * plan.batch_size, rate_times=float(workers))


@over_workers(5, "change", "multi_worker_{}", f"gradients go in packs of {PACK_KIB} KiB")
def worker_packs(plan: Plan, machine: Machine, workers: int) -> Plan:
    """The gradients go in packs (`bytes_per_pack`), where by default all go in one that waits for the last of them."""
    return replace(plan, pack_kib=PACK_KIB)
