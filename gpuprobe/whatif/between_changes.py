"""A change to what the host does between the steps: it only begins the next one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gpuprobe.thresholds import fixed
from gpuprobe.whatif.change import Change
from gpuprobe.whatif.graph import Graph, Work

if TYPE_CHECKING:
    from gpuprobe.whatif.run_facts import Known

# The time of Keras's own loop between two steps, without callbacks.
KERAS_LOOP_US = 300.0


def callbacks_removed(computing: float = 1.0) -> Change:
    """Between two steps the host only begins the next one; `computing` is as in `_without_pauses`."""
    return Change(
        id="callbacks_removed",
        assumption="the host does nothing outside the training function but read results",
        alter=lambda graph: graph.scaled(graph.does(Work.BETWEEN), 0.0),
        least=_loop_left,
        most=partial(_without_pauses, computing=computing),
        hindrance=_no_callbacks,
        takes=("idle_between_steps",),
    )


def _no_callbacks(graph: Graph, _: Known) -> str | None:
    if graph.feed.kind == "python":
        return "the trace does not tell callbacks from Python that makes the next batch"
    return None if _between_us(graph) else "nothing was done outside the training function"


def _without_pauses(graph: Graph, computing: float) -> Graph:
    """Return the graph without work between steps; on a processor a step after no long pause starts sooner.

    `computing` is the share of the time in the training function in which operations run (0 to 1).
    """
    alone = graph.scaled(graph.does(Work.BETWEEN), 0.0)
    if graph.gpu or _between_us(graph) < fixed.PAUSED * float(graph.us.sum()):
        return alone
    sooner = alone.scaled(alone.does(Work.CALL), 1 / fixed.AFTER_PAUSE)
    return sooner.scaled(sooner.does(Work.DISPATCH), computing + (1 - computing) / fixed.AFTER_PAUSE)


def _loop_left(graph: Graph) -> Graph:
    between = graph.does(Work.BETWEEN)
    left = min(1.0, KERAS_LOOP_US * graph.steps / max(_between_us(graph), KERAS_LOOP_US))
    return graph.scaled(between, left)


def _between_us(graph: Graph) -> float:
    return float(graph.us[graph.does(Work.BETWEEN)].sum())
