"""Registers one function as a strategy for each number of devices or workers."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from gpuprobe.backends.known import TENSORFLOW
from gpuprobe.records import Scale
from gpuprobe.strategies.plan import MOST_DEVICES
from gpuprobe.strategies.registry import strategy

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from gpuprobe.records import Part, Role
    from gpuprobe.strategies.plan import Machine, Plan

# Their order: after all others, by number, those of workers after those of devices.
ORDERS = {"devices": 200, "workers": 400}
ORDERS_A_COUNT = 10
ELSEWHERE = "several devices train under tf.distribute, which is TensorFlow's"


def each_number(
    place: int,
    role: Role,
    against: str,
    changes: str,
    *,
    weak: bool = False,
    part: Part = "compute",
    over: Literal["devices", "workers"],
) -> Callable[[Any], Any]:
    """Register a function of a number once for each number from 2 on, as `name_2` and so on.

    `against` and `changes` may name the number as `{}`.
    """

    def register(function: Callable[[Plan, Machine, int], Plan]) -> Callable[[Plan, Machine, int], Plan]:
        for number in range(2, MOST_DEVICES + 1):

            def member(plan: Plan, machine: Machine, number: int = number) -> Plan:
                return function(plan, machine, number)

            functools.update_wrapper(member, function)
            member.__name__ = f"{function.__name__}_{number}"
            strategy(
                order=ORDERS[over] + ORDERS_A_COUNT * number + place,
                against=against.format(number),
                changes=changes.format(number),
                part=part,
                alone=False,
                needs=TENSORFLOW,
                not_under={"jax": ELSEWHERE, "torch": ELSEWHERE},
                scale=Scale(devices=number, role=role, weak=weak, over=over),
            )(member)
        return function

    return register
