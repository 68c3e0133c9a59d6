"""What a change is: how it alters the graph, how far it may fall short or go beyond, and the most that it can give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.whatif.graph import Graph
from gpuprobe.whatif.replay import steady_ms

if TYPE_CHECKING:
    from gpuprobe.whatif.cpu_contention import Sharing
    from gpuprobe.whatif.run_facts import Known

# A training after a change: so much of its calls go as each graph does; the shares add up to 1.
Mixture = tuple[tuple[float, Graph], ...]
Altered = Graph | Mixture
Alter = Callable[[Graph], Altered]


@dataclass(frozen=True)
class Change:
    """One change. `alter` is what is expected of it, `least` and `most` the ends of its range where it has one.

    `utmost` takes away altogether what the change makes less of: no way of doing it gains more (Amdahl). A step then
    holds `samples` times as many samples. `in_some_steps` says that what goes comes in some steps and not in others, so
    that a step that is longer than the traced ones has more of it. `hindrance` says why the change has nothing to work
    on here, None where it has. `assumption` is one sentence.
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


def mixture_ms(altered: Altered, sharing: Sharing | None = None) -> float:
    """Return the mean time of a call of the training function after a change; on cores that are shared, with that."""
    parts = altered if isinstance(altered, tuple) else ((1.0, altered),)
    return sum(share * (steady_ms(graph) + (sharing.stretch_ms(graph) if sharing else 0.0)) for share, graph in parts)
