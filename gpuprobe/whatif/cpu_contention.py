"""Models the contention for cores between a training on the processor and its input pipeline.

While both run and want more cores than there are, each is slowed to the same fraction, `pace`, of its speed (the
scheduler's fair share). Let D be the time of the training's work in a step alone, and P that of the pipeline's.
Together they take max(D, P) + min(D, P) (1 / pace - 1).

A scheduler favours threads that often sleep: the pipeline's threads may run whenever they want to, and the training
gets the remaining cores. That is the other end of the range.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.thresholds import fixed
from gpuprobe.units import US_PER_MS
from gpuprobe.whatif.graph import Work

if TYPE_CHECKING:
    from gpuprobe.whatif.graph import Graph
    from gpuprobe.whatif.run_facts import Known

# The precision with which the cores that the training uses are searched for.
TRIED = 64


@dataclass(frozen=True)
class Sharing:
    """How the cores of a machine are shared.

    `cores` are those that other programs leave free; `width` is how many the training's operations use when
    undisturbed, `maker` the fraction of a core that each pipeline thread uses (0: it waits, 1: it computes). With
    `first` the training does not slow the pipeline.
    """

    cores: float
    width: float
    maker: float
    first: bool = False

    def pace(self, threads: float) -> float:
        """Return the fraction of its speed (0 to 1) at which each runs while the training and `threads` others run."""
        return min(1.0, self.cores / (self.width + self.maker * min(threads, self.cores)))

    def relieved(self, graph: Graph) -> Graph:
        """Return the graph with the training's and the pipeline's work as long as each would take alone."""
        training, making = _spent(graph)
        saved = min(training, making) * (1 - self._pace_of_training(graph))
        if not saved:
            return graph
        alone = graph.scaled(graph.does(Work.DISPATCH), 1 - saved / training)
        return alone if self.first else alone.scaled(alone.does(Work.PRODUCE), 1 - saved / making)

    def stretch_ms(self, graph: Graph) -> float:
        """Return by how many ms running both at once lengthens each step of such a graph."""
        training, making = _spent(graph)
        pace = self._pace_of_training(graph)
        if self.first:
            beside = min(making, training / pace)
            longer = max(0.0, training + beside * (1 - pace) - max(training, making))
        else:
            longer = min(training, making) * (1 / pace - 1)
        return longer / graph.steps / US_PER_MS

    def _pace_of_training(self, graph: Graph) -> float:
        threads = graph.feed.map_threads
        fair = self.pace(threads)
        if not self.first:
            return fair
        return min(1.0, max((self.cores - self.maker * threads) / self.width, fixed.CORES_LEFT * fair))


def sharings(graph: Graph, known: Known, step_ms: float) -> tuple[Sharing, ...]:
    """Return the ways in which the cores may be shared: the expected one, and the extremes that the measurements allow.

    Empty where a GPU computes or the number of cores is unknown. `step_ms` is the untraced step, over which the process
    used `known.busy_cores`.
    """
    if graph.gpu or not known.cores:
        return ()
    # At least one core, since other programs would also yield a part.
    cores, feed = max(1.0, known.cores - (known.other_cores or 0.0)), graph.feed
    least, most = feed.computing, feed.computing + feed.unknown
    if known.busy_cores is None:
        usual = Sharing(cores, (1 + cores) / 2, (least + most) / 2)
        return usual, Sharing(cores, 1.0, least), Sharing(cores, cores, most), Sharing(cores, cores, most, first=True)
    used_us = known.busy_cores * step_ms * US_PER_MS * graph.steps
    training, making = _spent(graph)[0], _made_us(graph)
    # CPU time beyond that of a training on one core is the pipeline's.
    spare = (used_us - training) / max(making * feed.map_threads, 1.0)
    maker = float(np.clip(spare, least, most))
    widths = np.linspace(1.0, cores, TRIED)
    off = np.array([abs(_used_us(graph, Sharing(cores, width, maker)) - used_us) for width in widths])
    # Where both always want more cores than there are, every width uses them all.
    near = widths[off <= off.min() + fixed.CORES_ALIKE * used_us]
    width, widest = float(near.mean()), float(near[-1])
    if _spent(graph)[1]:
        # An operation on several cores waits for its last part. While the pipeline holds that core, the others are
        # idle. So the training wants at least the cores that were used.
        width, widest = (width + cores) / 2, cores
    fewer, more = Sharing(cores, float(near[0]), least), Sharing(cores, widest, most)
    return Sharing(cores, width, maker), fewer, more, Sharing(cores, width, maker, first=True)


def _used_us(graph: Graph, sharing: Sharing) -> float:
    alone = sharing.relieved(graph)
    training, making = _spent(alone)[0], _made_us(alone)
    python = float(graph.us[graph.does(Work.BETWEEN, Work.CALL, Work.COMPILE)].sum())
    return sharing.width * training + sharing.maker * graph.feed.map_threads * making + python


def _made_us(graph: Graph) -> float:
    """Return the time of making batches in us, including those made while the training waits."""
    inline = float(graph.us[graph.does(Work.INPUT)].sum()) if graph.feed.kind == "inline" else 0.0
    return _spent(graph)[1] + inline


def _spent(graph: Graph) -> tuple[float, float]:
    """Return the training's own work, and the pipeline's work in parallel to it, in us over all steps."""
    return float(graph.us[graph.does(Work.DISPATCH)].sum()), float(graph.us[graph.does(Work.PRODUCE)].sum())
