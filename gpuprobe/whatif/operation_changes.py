"""Changes to single operations of the step: a loop over the samples vectorised, a dense update made for few rows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gpuprobe.whatif.change import Change
from gpuprobe.whatif.graph import Graph, Work

if TYPE_CHECKING:
    from gpuprobe.ledger.device_facts import LoopFacts
    from gpuprobe.whatif.run_facts import Known

OF_THE_STEP = (Work.DISPATCH, Work.LAUNCH, Work.KERNEL)
# The remaining share of an update limited to the rows that a batch used, whose number is unknown: as expected, and at
# worst.
ROWS_LEFT, ROWS_MOST = 0.1, 0.5


def loop_vectorised(loop: LoopFacts | None) -> Change:
    """Run all iterations of a loop in the model's graph at once; `loop` is the longest, None where there is none."""
    whole, busy, turns = (loop.ms_per_step, loop.busy_ms_per_step, max(loop.turns, 1.0)) if loop else (0.0, 0.0, 1.0)
    once = whole / turns
    return Change(
        id="loop_vectorised",
        assumption="the loop's operations run once for all samples, in the time of one iteration and half of the time "
        "in which they compute now",
        alter=partial(_shortened, saved_ms=max(0.0, whole - once - busy / 2)),
        least=partial(_shortened, saved_ms=max(0.0, whole - once - busy)),
        most=partial(_shortened, saved_ms=whole - once),
        utmost=partial(_shortened, saved_ms=whole),
        hindrance=lambda _, __: None if loop else "the trace shows no loop over samples in the model's graph",
    )


def rows_updated_only(dense_ms: float) -> Change:
    """Update only the rows that a batch used; updating all rows takes `dense_ms` of a step now."""

    def hindrance(_: Graph, __: Known) -> str | None:
        return None if dense_ms else "the trace shows no optimizer that updates all rows for the few of a batch"

    return Change(
        id="rows_updated_only",
        assumption=f"the update takes {ROWS_LEFT:.0%} of its time, as far as a batch uses so few of the rows",
        alter=partial(_shortened, saved_ms=(1 - ROWS_LEFT) * dense_ms),
        least=partial(_shortened, saved_ms=(1 - ROWS_MOST) * dense_ms),
        most=partial(_shortened, saved_ms=dense_ms),
        hindrance=hindrance,
    )


def _shortened(graph: Graph, saved_ms: float) -> Graph:
    """Return the graph with less computing in each step, spread over its nodes, since nodes have no names."""
    nodes = graph.does(*OF_THE_STEP)
    resource = graph.resource[nodes]
    busiest = max(
        (float(graph.us[nodes][resource == busy_resource].sum()) for busy_resource in set(resource.tolist())),
        default=0.0,
    )
    left = 1 - min(1.0, saved_ms * 1000 * graph.steps / busiest) if busiest else 1.0
    return graph.scaled(nodes, left)
