"""Strategies of several workers: processes, of one host or of many, that train together, and what shows their cost.

Keras's `fit` fails under MultiWorkerMirroredStrategy (keras-team/keras#20585), so that all of them train in a loop of
one's own around the model's `train_step`, the one process that they are compared with included.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from gpuprobe.backends.known import TENSORFLOW
from gpuprobe.records import Scale
from gpuprobe.strategies.catalogue.spreading import HALVED, LARGER, ONE_DEVICE, larger
from gpuprobe.strategies.numbers import ORDERS, each_number
from gpuprobe.strategies.registry import strategy

if TYPE_CHECKING:
    from gpuprobe.strategies.plan import Machine, Plan

ONE_WORKER = "own_loop"
# ResNet20's gradients are 1.05 MiB, so that this makes several packs of any model that is worth an exchange.
PACK_KIB = 512
over_workers = functools.partial(each_number, over="workers")


@strategy(
    order=ORDERS["workers"],
    against=ONE_DEVICE,
    changes="a loop of one's own in place of `fit`",
    alone=False,
    needs=TENSORFLOW,
    scale=Scale(devices=1, role="one", over="workers"),
)
def own_loop(plan: Plan, machine: Machine) -> Plan:
    """One process that calls the model's `train_step` in a loop of its own: what several workers are compared with."""
    return replace(plan, own_loop=True)


@strategy(
    order=ORDERS["workers"] + 1,
    against=ONE_WORKER,
    changes="XLA compiles the train step",
    alone=False,
    needs=TENSORFLOW,
    scale=Scale(devices=1, role="xla", over="workers"),
)
def own_loop_xla(plan: Plan, machine: Machine) -> Plan:
    """One process with XLA, which several workers on processors cannot have: what is lost by that."""
    return replace(plan, jit_compile=True)


@over_workers(0, "share", ONE_WORKER, "one of {} parts of the batch")
def worker_share(plan: Plan, machine: Machine, workers: int) -> Plan:
    """One process with the part of the batch that each of several has: what a worker takes with nobody beside it."""
    return replace(plan, batch_size=plan.batch_size // workers)


@over_workers(1, "spread", ONE_WORKER, "{} workers share each batch")
def multi_worker(plan: Plan, machine: Machine, workers: int) -> Plan:
    """A loop of one's own under MultiWorkerMirroredStrategy: each worker has the whole model and a part of the batch.

    They add up their gradients. The whole batch, the learning rate and the samples of each step stay the same: each
    worker prepares its own part of them. BatchNormalization sees the part of its worker alone.
    """
    return replace(plan, workers=workers)


@over_workers(2, "apart", "multi_worker_{}", "the {} workers exchange no gradients")
def workers_apart(plan: Plan, machine: Machine, workers: int) -> Plan:
    """The same without an exchange of gradients: a probe of what the exchange costs, and no way to train.

    The workers still wait for each other once a step.
    """
    return replace(plan, exchange=False)


@over_workers(3, "spread", ONE_WORKER, "{} workers, each with a whole batch", weak=True)
def multi_worker_weak(plan: Plan, machine: Machine, workers: int) -> Plan:
    """Workers under MultiWorkerMirroredStrategy with a batch each, and the learning rate multiplied by their number.

    There are fewer updates an epoch, and its loss curve differs.
    """
    return replace(plan, workers=workers, batch_size=workers * plan.batch_size, rate_times=float(workers))


@over_workers(4, "apart", "multi_worker_weak_{}", "the {} workers exchange no gradients", weak=True)
def workers_apart_weak(plan: Plan, machine: Machine, workers: int) -> Plan:
    """The same without an exchange of gradients: a probe of what the exchange costs, and no way to train.

    The workers still wait for each other once a step.
    """
    return replace(plan, exchange=False)


@over_workers(5, "change", "multi_worker_{}", f"gradients go in packs of {PACK_KIB} KiB")
def worker_packs(plan: Plan, machine: Machine, workers: int) -> Plan:
    """The gradients go in packs (`bytes_per_pack`), where by default all go in one that waits for the last of them."""
    return replace(plan, pack_kib=PACK_KIB)


@over_workers(6, "change", "multi_worker_{}", LARGER, part="batch")
def worker_larger_global_batch(plan: Plan, machine: Machine, workers: int) -> Plan:
    """A larger batch for all workers together: there are fewer exchanges for each sample, and fewer updates an epoch.

    The learning rate stays the same, and its loss curve differs.
    """
    return larger(plan, machine)


@over_workers(7, "change", "multi_worker_{}", HALVED)
def worker_fp16_gradients(plan: Plan, machine: Machine, workers: int) -> Plan:
    """The workers add up gradients of 16 bits, half of what goes over the network; weights and updates keep 32 bits.

    Gradients smaller than 6e-8 become zero, and sums beyond 65,504 infinite.
    """
    return replace(plan, half_gradients=True)
