"""Strategies of tf.data service: processes of their own prepare the batches, started and ended by gpuprobe."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpuprobe.backends.known import TENSORFLOW
from gpuprobe.strategies.numbers import DEVICES
from gpuprobe.strategies.plan import MOST_DEVICES
from gpuprobe.strategies.registry import strategy

if TYPE_CHECKING:
    from gpuprobe.strategies.plan import Machine, Plan

FIRST_ORDER = 600
NAME = "data_service_{}"


def _register(servers: int) -> None:
    def data_service(plan: Plan, machine: Machine) -> Plan:
        """tf.data service prepares the batches in processes of its own; the training only takes them.

        Each sample comes once in an epoch, in the order in which the servers finish. They share the host's cores.
        """
        return replace(plan, servers=servers)

    data_service.__name__ = NAME.format(servers)
    strategy(
        order=FIRST_ORDER + servers,
        against=DEVICES.single,
        changes=f"{servers} {'process' if servers == 1 else 'processes'} of tf.data service prepare the batches",
        part="feed",
        alone=False,
        needs=TENSORFLOW,
    )(data_service)


for number in range(1, MOST_DEVICES + 1):
    _register(number)
