"""The colour of an event on the page: that of its category in the breakdown, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.names import Kind, collective, kinds
from gpuprobe.traces.details import copy_direction
from gpuprobe.traces.timeline import Direction

if TYPE_CHECKING:
    from collections.abc import Sequence

_TONE_OF_KIND = (
    (Kind.COMPILE | Kind.GRAPH, "idle_compile"),
    (Kind.ONCE, "idle_once"),
    (Kind.MEMORY, "idle_memory"),
    (Kind.INPUT | Kind.ITERATOR_ROOT | Kind.ITERATOR | Kind.FEED, "idle_input"),
    (Kind.SYNC, "idle_sync"),
    (Kind.LAUNCH, "idle_launch"),
)
_TONE_OF_COPY = {Direction.H2D: "gpu_copy_h2d", Direction.D2H: "gpu_copy_d2h"}


def tones_of_work(names: Sequence[str]) -> list[str]:
    """Return the category for each name of an operation on a device."""
    is_exchange = collective(names, np.arange(len(names), dtype=np.int32))
    directions = [copy_direction(name) for name in names]
    return [
        "gpu_collective"
        if exchange
        else "gpu_compute"
        if direction is None
        else _TONE_OF_COPY.get(Direction(direction), "gpu_copy_d2d")
        for direction, exchange in zip(directions, is_exchange.tolist(), strict=True)
    ]


def tones_of_host(names: Sequence[str]) -> list[str]:
    """Return the category for each name of a host's event; empty where it has none."""
    return [
        next((tone for event_kinds, tone in _TONE_OF_KIND if kind & event_kinds), "") for kind in kinds(names).tolist()
    ]
