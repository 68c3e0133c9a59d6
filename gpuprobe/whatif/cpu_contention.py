"""The cores that the training and its input pipeline share where the processor is the device.

While both are at work and want more cores than there are, each goes on at the same share of its own pace (the
scheduler's fair share). A step in which D of the training's own work lies beside P of the pipeline's then takes
max(D, P) + min(D, P) (1 / pace - 1), both as they would take alone: the shorter is stretched, and the longer with it.

A scheduler is not that fair to threads that sleep and wake: the pipeline's may run as soon as they want to, and the
training has the cores that they leave. That is the other end of the range.
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

# How finely the cores that the training uses are looked for.
TRIED = 64


@dataclass(frozen=True)
class Sharing:
    """`cores` of the machine that others leave; `width` is how many the training's operations use at once where nothing
    disturbs them, `maker` how much of one each thread of the pipeline uses (0: it waits, 1: it computes). With `first`
    the pipeline is not slowed down by the training.
    """

    cores: float
    width: float
    maker: float
    first: bool = False

    def pace(self, threads: float) -> float:
        """Return the share of its own pace at which each goes on while the training and so many threads run."""
        return min(1.0, self.cores / (self.width + self.maker * min(threads, self.cores)))

    def relieved(self, graph: Graph) -> Graph:
        """Return the graph of the trace with both as long as they would take alone."""
        training, making = _spent(graph)
        saved = min(training, making) * (1 - self._pace_of_training(graph))
        if not saved:
            return graph
        alone = graph.scaled(graph.does(Work.DISPATCH), 1 - saved / training)
        return alone if self.first else alone.scaled(alone.does(Work.PRODUCE), 1 - saved / making)

    def stretch_ms(self, graph: Graph) -> float:
        """Return by how much both at once make each step of such a graph longer."""
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
    """Return how the cores are shared: as expected, and as far from it as what is known allows.

    Nothing where a GPU computes or the cores are not known. `step_ms` is the untraced step, over which the process
    used `known.busy_cores`.
    """
    if graph.gpu or not known.cores:
        return ()
    # One core at least: what others use they would give up in part.
    cores, feed = max(1.0, known.cores - (known.other_cores or 0.0)), graph.feed
    least, most = feed.computing, feed.computing + feed.unknown
    if known.busy_cores is None:
        usual = Sharing(cores, (1 + cores) / 2, (least + most) / 2)
        return usual, Sharing(cores, 1.0, least), Sharing(cores, cores, most), Sharing(cores, cores, most, first=True)
    used_us = known.busy_cores * step_ms * US_PER_MS * graph.steps
    training, making = _spent(graph)[0], _made_us(graph)
    # What the training cannot have used with one core, the pipeline's threads may have.
    spare = (used_us - training) / max(making * feed.map_threads, 1.0)
    maker = float(np.clip(spare, least, most))
    widths = np.linspace(1.0, cores, TRIED)
    off = np.array([abs(_used_us(graph, Sharing(cores, width, maker)) - used_us) for width in widths])
    # Where both always want more cores than there are, any width uses them all.
    near = widths[off <= off.min() + fixed.CORES_ALIKE * used_us]
    width, widest = float(near.mean()), float(near[-1])
    if _spent(graph)[1]:
        # An operation on several cores waits for its last piece. While the pipeline has that core the others idle, so
        # that the cores which were used are the fewest that the training wants.
        width, widest = (width + cores) / 2, cores
    fewer, more = Sharing(cores, float(near[0]), least), Sharing(cores, widest, most)
    return Sharing(cores, width, maker), fewer, more, Sharing(cores, width, maker, first=True)


def _used_us(graph: Graph, sharing: Sharing) -> float:
    alone = sharing.relieved(graph)
    training, making = _spent(alone)[0], _made_us(alone)
    python = float(graph.us[graph.does(Work.BETWEEN, Work.CALL, Work.COMPILE)].sum())
    return sharing.width * training + sharing.maker * graph.feed.map_threads * making + python


def _made_us(graph: Graph) -> float:
    """All that making batches takes: also what the training waits for, where nothing is made ahead of it."""
    inline = float(graph.us[graph.does(Work.INPUT)].sum()) if graph.feed.kind == "inline" else 0.0
    return _spent(graph)[1] + inline


def _spent(graph: Graph) -> tuple[float, float]:
    """The training's own work and the pipeline's beside it, in us over all steps."""
    return float(graph.us[graph.does(Work.DISPATCH)].sum()), float(graph.us[graph.does(Work.PRODUCE)].sum())
