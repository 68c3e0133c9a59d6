"""A slow and obvious step-time breakdown, to hold the fast one against.

It is written from the definition, docs/glossary.md, and from nothing in `ledger/`: between any two moments at which
something begins or ends nothing changes, so each such stretch of a step goes whole to the first category of the order
below that holds then. It knows no names of events: who makes a timeline says what each event of it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

# Work of the device comes before idle time, and a kernel before the copies that it hides; in an exchange that another
# device has not reached, the device waits. Idle time goes to the first reason that holds.
ORDER = (
    "gpu_compute",
    "gpu_copy_h2d",
    "gpu_copy_d2h",
    "gpu_copy_d2d",
    "idle_peer",
    "gpu_collective",
    "idle_compile",
    "idle_once",
    "idle_memory",
    "idle_input",
    "idle_sync",
    "idle_between_steps",
    "idle_queue",
    "others_turn",
    "idle_host_work",
    "idle_launch",
)
# The host has launched what it had for this device, and other threads launch for others or wait for one of them.
COUNTS_AS = {"others_turn": "idle_peer"}
UNKNOWN = "unattributed"


@dataclass(frozen=True)
class Stretch:
    """From `begin` to `end`, the end not included, a category holds for as long as none before it in the order does."""

    category: str
    begin: int
    end: int

    def holds(self, moment: int) -> bool:
        """Whether it holds at a moment, and until the next one at which anything changes."""
        return self.begin <= moment < self.end


def breakdown(steps: Sequence[tuple[int, int]], stretches: Iterable[Stretch]) -> list[dict[str, int]]:
    """Return how long each category holds within each step, which is given by its begin and end."""
    found = list(stretches)
    edges = {edge for one in found for edge in (one.begin, one.end)}
    return [_of_step(begin, end, edges, found) for begin, end in steps]


def _of_step(begin: int, end: int, edges: set[int], stretches: list[Stretch]) -> dict[str, int]:
    spent = dict.fromkeys((*ORDER, UNKNOWN), 0)
    moments = sorted({begin, end, *(edge for edge in edges if begin < edge < end)})
    near = [one for one in stretches if one.begin < end and one.end > begin]
    for now, then in pairwise(moments):
        holding = {one.category for one in near if one.holds(now)}
        first = next((category for category in ORDER if category in holding), UNKNOWN)
        spent[COUNTS_AS.get(first, first)] += then - now
    return spent


def outside(begin: int, end: int, stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what of [begin, end) none of the stretches covers, in as many pieces as there are moments between."""
    covers = list(stretches)
    moments = sorted({begin, end, *(edge for cover in covers for edge in cover if begin < edge < end)})
    return [(now, then) for now, then in pairwise(moments) if not any(a <= now < b for a, b in covers)]
