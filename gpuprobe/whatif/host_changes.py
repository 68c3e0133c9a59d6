"""Changes to the host's work other than input: its launches, and its work between steps."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.whatif.change import Altered, Change
from gpuprobe.whatif.graph import Edge, Graph, Work
from gpuprobe.whatif.input_changes import PYTHON_FEED, input_free, with_input_free

if TYPE_CHECKING:
    from gpuprobe.whatif.graph import Bools
    from gpuprobe.whatif.run_facts import Known

# TensorFlow's executor dispatches an operation of a compiled function in 5 to 10 us; Python takes many times as long.
EXECUTOR_US = 6.0
OTHER_LOOPS = frozenset({"jax", "pytorch"})


def _total_us(graph: Graph, *works: Work) -> float:
    return float(graph.us[graph.does(*works)].sum())


def steps_per_execution(steps: int, now: int) -> Change:
    """One call of the training function runs `steps` steps, where it runs `now`."""
    times = steps / now
    return Change(
        id=f"steps_per_execution_{steps}",
        assumption=f"callbacks, reads of results and the start of a call come once in {steps} steps",
        alter=partial(_fewer_calls, times=times),
        utmost=lambda graph: _without_call_reads(_scaled_calls(graph, 0.0)),
        hindrance=lambda graph, known: _no_fewer_calls(graph, known, times),
    )


def _no_fewer_calls(graph: Graph, known: Known, times: float) -> str | None:
    if known.framework in OTHER_LOOPS:
        return "the trace is not of Keras, whose training loop has this setting"
    if times <= 1:
        return "as many steps run in one call already"
    if graph.eager:
        return "the model runs eagerly; compile it into a function first"
    return PYTHON_FEED if graph.feed.kind == "python" else None


def _fewer_calls(graph: Graph, times: float) -> Altered:
    """Change all but the last of every `times` steps: in them the host does not return from the call.

    Where a call does not wait for a result, its work once per call overlaps with the device's work, spread over its
    steps.
    """
    if not call_reads(graph).any():
        return _scaled_calls(graph, 1 / times)
    return ((1 / times, graph), (1 - 1 / times, _without_call_reads(_scaled_calls(graph, 0.0))))


def _scaled_calls(graph: Graph, factor: float) -> Graph:
    return graph.scaled(graph.does(Work.BETWEEN, Work.CALL), factor)


def _without_call_reads(graph: Graph) -> Graph:
    reads = call_reads(graph)
    return graph.keeping(~((graph.reason == Edge.READ) & reads[graph.target])).scaled(reads, 0.0)


def call_reads(graph: Graph) -> Bools:
    """Return which nodes wait for a result after the last launch of their step, (n,) bool.

    Launches of copies to the host do not count, as they are part of that wait.
    """
    nodes = np.arange(len(graph))
    launches = np.flatnonzero(graph.does(Work.LAUNCH) & ~_launches_copy_back(graph))
    marks = np.flatnonzero(graph.does(Work.MARK))
    next_launch = np.append(launches, len(graph))[np.searchsorted(launches, nodes)]
    next_mark = np.append(marks, len(graph))[np.searchsorted(marks, nodes)]
    after_last: Bools = next_launch >= next_mark
    return graph.does(Work.SYNC) & after_last


def _launches_copy_back(graph: Graph) -> Bools:
    launched = graph.reason == Edge.LAUNCHED
    back = graph.work[graph.target] == Work.D2H
    copying = np.zeros(len(graph), np.bool_)
    copying[graph.source[launched & back]] = True
    return copying


def fit_instead_of_a_loop() -> Change:
    """Keras's `fit` takes the place of a Python loop that cuts each batch, waits for the step, and reads the loss."""
    return Change(
        id="fit_instead_of_a_loop",
        assumption="every batch is ready when it is asked for, and the host reads nothing back",
        alter=lambda graph: _syncs_removed(with_input_free(graph)),
        # `fit` has callbacks of its own.
        least=with_input_free,
        hindrance=input_free().hindrance,
    )


def syncs_removed() -> Change:
    """The host reads nothing back."""
    return Change(
        id="syncs_removed",
        assumption="the host waits for the device only if its queue is full",
        alter=_syncs_removed,
        hindrance=lambda graph, _: None if (graph.reason == Edge.READ).any() else "nothing is read back",
    )


def _syncs_removed(graph: Graph) -> Graph:
    return graph.without(Edge.READ).scaled(graph.does(Work.SYNC), 0.0)


def compiling_removed(computing: float = 1.0) -> Change:
    """Nothing is compiled or traced after warm-up.

    A new graph also starts its operations slowly. `computing` is the share of the time in the training function in
    which operations run (0 to 1): at most the rest can be saved.
    """
    return replace(
        _gone("compiling_removed", "nothing is traced or compiled in any step", Work.COMPILE),
        most=partial(_nothing_new, computing=computing),
        in_some_steps=True,
    )


def _nothing_new(graph: Graph, computing: float) -> Graph:
    step = np.cumsum(graph.does(Work.MARK))
    new = np.isin(step, step[graph.does(Work.COMPILE) & (graph.us > 0)])
    starting = new & graph.does(Work.DISPATCH, Work.CALL)
    return graph.scaled(graph.does(Work.COMPILE), 0.0).scaled(starting, computing)


def host_work_removed() -> Change:
    """The host does no work of its own in the step."""
    assumption = "the work that the host does while it launches nothing is done elsewhere"
    return _gone("host_work_removed", assumption, Work.HELD, "idle_host_work")


def one_time_work_removed() -> Change:
    """One-time work is over."""
    return _gone("one_time_work_removed", "one-time work does not come again in later steps", Work.ONCE, "idle_once")


def allocations_removed() -> Change:
    """No memory is asked of the driver."""
    return _gone("allocations_removed", "the driver is asked for no memory in these steps", Work.MEMORY, "idle_memory")


def _gone(name: str, assumption: str, work: Work, *takes: str) -> Change:
    def hindrance(graph: Graph, _: Known) -> str | None:
        return None if _total_us(graph, work) else "the trace shows no such time"

    return Change(
        id=name,
        assumption=assumption,
        alter=lambda graph: graph.scaled(graph.does(work), 0.0),
        hindrance=hindrance,
        takes=takes,
    )


# --- the launches ------------------------------------------------------------------------------------------------


def launches_fused(factor: float) -> Change:
    """XLA fuses every `factor` kernels into one."""
    # How many it fuses depends on the model: chains of small operations become one, convolutions stay.
    fewest, most = max(1.0, factor / 3), factor * 2
    return Change(
        id=f"launches_fused_{factor:g}",
        assumption=f"XLA launches one kernel in place of every {factor:g}, with the work of all of them",
        alter=partial(_fused, factor=factor),
        least=partial(_fused, factor=fewest),
        most=partial(_fused, factor=most),
        utmost=partial(_fused, factor=np.inf),
        hindrance=_no_fusing,
    )


def _no_fusing(graph: Graph, known: Known) -> str | None:
    if not graph.gpu:
        return "there is no GPU in the trace"
    return "the step is compiled already (jit_compile)" if known.jit_compile else None


def _fused(graph: Graph, factor: float) -> Graph:
    compiled = as_function(graph) if graph.eager else graph
    fewer = compiled.scaled(compiled.does(Work.DISPATCH, Work.LAUNCH), 1 / factor).without(Edge.QUEUE)
    kernels = fewer.does(Work.KERNEL)
    saved = np.minimum(fewer.us, fewer.floor_us) * (1 - 1 / factor)
    return replace(fewer, us=np.where(kernels, fewer.us - saved, fewer.us))


def as_function(graph: Graph) -> Graph:
    """Return the graph in which the runtime starts the operations that Python now starts one by one."""
    dispatch = graph.does(Work.DISPATCH)
    return replace(graph, us=np.where(dispatch, np.minimum(graph.us, EXECUTOR_US), graph.us))


def eager_removed() -> Change:
    """The training step is compiled into a function."""
    return Change(
        id="eager_removed",
        assumption=f"the runtime dispatches each operation in {EXECUTOR_US:g} us where Python does now",
        alter=as_function,
        hindrance=_no_function_to_make,
    )


def _no_function_to_make(graph: Graph, _: Known) -> str | None:
    if not graph.eager:
        return "the training function is compiled already"
    # On a processor such a call also computes: shortened to the time of dispatching, it would lose that work.
    return None if graph.gpu else "on the processor an operation runs inside the call that dispatches it"
