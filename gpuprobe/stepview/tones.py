"""The colour of an event: that of its category, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.names import Kind, collective, kinds
from gpuprobe.traces.details import copy_direction
from gpuprobe.traces.timeline import Direction

if TYPE_CHECKING:
    from collections.abc import Sequence

_OF_HOST = (
    (Kind.COMPILE | Kind.GRAPH, "idle_compile"),
    (Kind.ONCE, "idle_once"),
    (Kind.MEMORY, "idle_memory"),
    (Kind.INPUT | Kind.ITERATOR_ROOT | Kind.ITERATOR | Kind.FEED, "idle_input"),
    (Kind.SYNC, "idle_sync"),
    (Kind.LAUNCH, "idle_launch"),
)
_OF_COPY = {Direction.H2D: "gpu_copy_h2d", Direction.D2H: "gpu_copy_d2h"}


def of_work(names: Sequence[str]) -> list[str]:
    """Return the category of each name of a device's work."""
    together = collective(names, np.arange(len(names), dtype=np.int32))
    directions = [copy_direction(name) for name in names]
    return [
        "gpu_collective"
        if exchange
        else "gpu_compute"
        if direction is None
        else _OF_COPY.get(Direction(direction), "gpu_copy_d2d")
        for direction, exchange in zip(directions, together.tolist(), strict=True)
    ]


def of_host(names: Sequence[str]) -> list[str]:
    """Return the category of each name of a host's event, empty where it has none."""
    return [next((tone for wanted, tone in _OF_HOST if kind & wanted), "") for kind in kinds(names).tolist()]
