"""A change: how it alters the graph, the range of its effect, and the most that it can gain.

The docstring of a function that makes a change says what the training is like after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.whatif.graph import Graph
from gpuprobe.whatif.replay import steady_ms

if TYPE_CHECKING:
    from gpuprobe.whatif.cpu_contention import Sharing
    from gpuprobe.whatif.run_facts import Known

# A training after a change: graphs, each with the share of calls that run like it; the shares add up to 1.
Mixture = tuple[tuple[float, Graph], ...]
Altered = Graph | Mixture
Alter = Callable[[Graph], Altered]


@dataclass(frozen=True)
class Change:
    """One change. `alter` is what is expected of it, `least` and `most` the ends of its range where it has one.

    `utmost` removes all of the work that the change reduces: no change of this kind gains more (Amdahl's law). A
    changed step has `samples` times as many samples. `in_some_steps` means that the removed work occurs in some steps
    only, so that steps longer than the traced ones have more of it. `takes` are the only categories of the breakdown
    that the change shortens, empty where it may shorten any. `hindrance` is why the change does not apply to this
    trace, None where it does. `assumption` is one sentence.
    """

    id: str
    assumption: str
    alter: Alter
    hindrance: Callable[[Graph, Known], str | None]
    least: Alter | None = None
    most: Alter | None = None
    utmost: Alter | None = None
    samples: float = 1.0
    in_some_steps: bool = False
    takes: tuple[str, ...] = ()


def mixture_ms(altered: Altered, sharing: Sharing | None = None) -> float:
    """Return the mean time of a call of the training function after a change in ms, including that of sharing cores."""
    parts = altered if isinstance(altered, tuple) else ((1.0, altered),)
    return sum(share * (steady_ms(graph) + (sharing.stretch_ms(graph) if sharing else 0.0)) for share, graph in parts)
