"""Changes to how batches are made: ahead of the training, on more cores, or in no time."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.thresholds import fixed
from gpuprobe.whatif.change import Change
from gpuprobe.whatif.graph import HOST, PRODUCER, Edge, Graph, Work

if TYPE_CHECKING:
    from gpuprobe.whatif.run_facts import Known

# The share of a map's time that remains if it takes a whole batch: for small samples, whose calls cost more than their
# work, and at worst.
PER_BATCH, PER_BATCH_MOST = 0.1, 0.5
TAKES = ("idle_input",)
AHEAD = ("prefetch", "parallel", "hidden")
NO_INPUT = "the trace shows no input pipeline"
PYTHON_FEED = "the batches are made by Python between the steps; make them in a tf.data pipeline first"


def input_free(computing: float = 1.0) -> Change:
    """Every batch is ready when it is asked for; `computing` is as in `without_lock`."""
    return Change(
        id="input_free",
        assumption="every batch is ready when it is asked for, and is copied to the device as before",
        alter=with_input_free,
        most=lambda graph: without_lock(with_input_free(graph), computing),
        hindrance=lambda graph, _: NO_INPUT if graph.feed.kind == "none" else None,
        takes=TAKES,
    )


def with_input_free(graph: Graph) -> Graph:
    """Return the graph in which no batch is waited for, and making it takes no time."""
    freed = graph.without(Edge.BATCH, Edge.SLOT)
    works = [Work.INPUT, Work.PRODUCE, *([Work.BETWEEN] if graph.feed.kind == "python" else [])]
    return freed.scaled(freed.does(*works), 0.0)


def without_lock(graph: Graph, computing: float) -> Graph:
    """Return the graph without the training's waits for the interpreter's lock (GIL) while Python makes batches.

    Threads that want the lock get it in turn (`sys.setswitchinterval`), and the training wants it between two calls and
    while it enters one. A trace does not show how long it waits: at most all of the time in which no operation runs.
    `computing` is the share of the time in the training function in which an operation runs (0 to 1).
    """
    if not graph.feed.unknown:
        return graph
    # The work that is left was only ever seen beside Python's; by itself it may take less, as any that comes again.
    share = 1 / (1 + graph.feed.unknown * graph.feed.map_threads) / (1 + fixed.LEFT_APART)
    freed = graph.scaled(graph.does(Work.BETWEEN, Work.CALL), share)
    return freed.scaled(freed.does(Work.DISPATCH), computing + (1 - computing) * share)


def map_per_batch(computing: float = 1.0) -> Change:
    """The map function takes a whole batch and no longer one sample; `computing` is as in `without_lock`."""
    return Change(
        id="map_per_batch",
        assumption=f"for a batch at once the map takes {PER_BATCH:.0%} of what it takes for all samples one by one, "
        f"{PER_BATCH_MOST:.0%} at worst",
        alter=partial(_map_scaled, left=PER_BATCH),
        least=partial(_map_scaled, left=PER_BATCH_MOST),
        # Gathering the samples, which is what is left of making a batch, may then keep ahead of the training.
        most=lambda graph: without_lock(with_input_free(graph), computing),
        hindrance=_no_map,
        takes=TAKES,
    )


def _no_map(graph: Graph, _: Known) -> str | None:
    if graph.feed.kind in {"none", "python"}:
        return PYTHON_FEED if graph.feed.kind == "python" else NO_INPUT
    if graph.feed.kind == "hidden" or graph.feed.map_share is None:
        return "the trace does not show how long the map function takes"
    return None if graph.feed.map_share else "the pipeline has no map function"


def _map_scaled(graph: Graph, left: float) -> Graph:
    share = graph.feed.map_share or 0.0
    return graph.scaled(graph.does(Work.INPUT, Work.PRODUCE), 1 - share * (1 - left))


def prefetch(batches: int) -> Change:
    """Batches are made ahead of the training, `batches` of them."""
    return Change(
        id=f"prefetch_{batches}",
        assumption=f"{batches} batches are made ahead on a core that is free, each in the time it takes now",
        alter=partial(_prefetch, batches=batches),
        utmost=with_input_free,
        hindrance=_no_prefetch,
        takes=TAKES,
    )


def _no_prefetch(graph: Graph, _: Known) -> str | None:
    if graph.feed.kind in AHEAD:
        return "batches are made ahead already"
    if graph.feed.kind == "python":
        return PYTHON_FEED
    return NO_INPUT if graph.feed.kind == "none" else None


def _prefetch(graph: Graph, batches: int) -> Graph:
    """Move the work done during waits to a producer.

    Each batch waits for room in the buffer, and the training for each batch.
    """
    making, taken = np.flatnonzero(graph.does(Work.INPUT)), graph.feed.taken
    work, resource = graph.work.copy(), graph.resource.copy()
    work[making], resource[making] = Work.PRODUCE, PRODUCER
    ahead = replace(graph, work=work, resource=resource)
    batch = np.searchsorted(taken, making)
    begin = np.flatnonzero(np.diff(batch, prepend=-1))
    of_batch = batch[begin]
    kept = of_batch < len(taken)
    first, last = making[begin[kept]], taken[of_batch[kept]]
    on_host = np.flatnonzero(resource == HOST)
    index = np.searchsorted(on_host, last)
    # After the last batch the training continues in the next pass.
    target, wraps = on_host[index % len(on_host)], index // len(on_host)
    ahead = ahead.waiting(target, last, wraps, Edge.BATCH)
    room = np.arange(len(first)) - batches
    # There is room as soon as the training has taken the batch: when its next node begins, not when that ends.
    freeing = target[room % len(first)]
    return ahead.waiting(first, freeing, -(room // len(first)), Edge.SLOT, lag_us=-ahead.us[freeing])


def parallel_map(threads: int) -> Change:
    """The map function runs on `threads` cores at a time."""
    return Change(
        id=f"parallel_map_{threads}",
        assumption=f"the map function's share of making a batch is divided by up to {threads} cores, if there "
        "are as many and Python's lock allows it",
        alter=partial(_parallel_map, threads=threads),
        # A map function that holds Python's lock gains nothing.
        least=lambda graph: graph,
        utmost=partial(_parallel_map, threads=np.inf),
        hindrance=_no_parallel_map,
        takes=TAKES,
    )


def _no_parallel_map(graph: Graph, known: Known) -> str | None:
    if graph.feed.kind in {"none", "python"}:
        return PYTHON_FEED if graph.feed.kind == "python" else NO_INPUT
    if graph.feed.kind in {"parallel", "hidden"} or graph.feed.map_share is None:
        return "the trace does not show how long the map function takes"
    if not graph.feed.map_share:
        return "the pipeline has no map function"
    return "there is one core only" if known.cores == 1 else None


def _parallel_map(graph: Graph, threads: float) -> Graph:
    share = graph.feed.map_share or 0.0
    left = 1 - share * (1 - min(1.0, graph.feed.map_threads / threads))
    # On a processor, threads for the map take cores from the training.
    spread = replace(graph, feed=replace(graph.feed, map_threads=max(graph.feed.map_threads, threads)))
    return spread.scaled(spread.does(Work.INPUT, Work.PRODUCE), left)
