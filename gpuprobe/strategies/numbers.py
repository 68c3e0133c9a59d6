"""What a study spreads a batch over, devices or workers, and how one function becomes a strategy for each number."""

from __future__ import annotations

import functools
from dataclasses import dataclass
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

ORDERS_A_COUNT = 10
ELSEWHERE = "several devices train under tf.distribute, which is TensorFlow's"


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What a batch is spread `over`, and its strategies by name, but for their number.

    All are compared with the strategy of a `single` device or worker. `together` trains on the whole batch, a `share`
    is one part of it alone, and those `apart` exchange no gradients. The names of changes that both have begin with
    `prefix`, and their places in the list with `place`. `order` is where all of them begin there.
    """

    over: Literal["devices", "workers"]
    single: str
    together: str
    share: str
    apart: str
    prefix: str
    place: int
    order: int


# Both come after all other strategies.
DEVICES = Spread(
    over="devices",
    single="tfdata_prefetch",
    together="mirrored",
    share="share",
    apart="apart",
    prefix="",
    place=8,
    order=200,
)
WORKERS = Spread(
    over="workers",
    single="own_loop",
    together="multi_worker",
    share="worker_share",
    apart="workers_apart",
    prefix="worker_",
    place=6,
    order=400,
)
SPREADS = {spread.over: spread for spread in (DEVICES, WORKERS)}


def each_number(
    spread: Spread,
    place: int,
    role: Role,
    against: str,
    changes: str,
    *,
    name: str = "",
    weak: bool = False,
    part: Part = "compute",
) -> Callable[[Any], Any]:
    """Register a function of a number once for each number from 2 on, as `name_2` and so on.

    `name` is by default that of the function; `against` and `changes` may hold the number as `{}`; `place` orders the
    strategies of one number.
    """

    def register(function: Callable[[Plan, Machine, int], Plan]) -> Callable[[Plan, Machine, int], Plan]:
        for number in range(2, MOST_DEVICES + 1):

            def member(plan: Plan, machine: Machine, number: int = number) -> Plan:
                return function(plan, machine, number)

            functools.update_wrapper(member, function)
            member.__name__ = f"{name or function.__name__}_{number}"
            strategy(
                order=spread.order + ORDERS_A_COUNT * number + place,
                against=against.format(number),
                changes=changes.format(number),
                part=part,
                alone=False,
                needs=TENSORFLOW,
                not_under={"jax": ELSEWHERE, "torch": ELSEWHERE},
                scale=Scale(devices=number, role=role, weak=weak, over=spread.over),
            )(member)
        return function

    return register
