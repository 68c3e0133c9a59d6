"""Changes to what the device does: its copies, the size of its kernels, their precision, and the card itself."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.cards import TENSOR_CORES_FROM
from gpuprobe.thresholds import fixed
from gpuprobe.whatif.change import Change
from gpuprobe.whatif.graph import Edge, Graph, Work

if TYPE_CHECKING:
    from gpuprobe.whatif.graph import Bools, Floats
    from gpuprobe.whatif.run_facts import Known

# NVIDIA's mixed precision guide: up to 3x for networks that consist mostly of such kernels; the peak is 8 times fp32's.
TENSOR_CORE_SPEEDUP, LEAST_SPEEDUP, MOST_SPEEDUP = 3.0, 1.5, 8.0
# Pageable memory is copied twice, by the processor first; pinned memory is more than twice as fast.
PINNED_SPEEDUP = 2.5
NO_GPU = "there is no GPU in the trace"
NO_COPIES = "no batch is copied to the device"


def _without_gpu(graph: Graph, _: Known) -> str | None:
    return None if graph.gpu else NO_GPU


# --- copies ------------------------------------------------------------------------------------------------------


def _batch_copies(graph: Graph) -> Bools:
    return graph.does(Work.H2D) & graph.sized


def _latency_us(graph: Graph) -> float:
    copies = graph.us[graph.does(Work.H2D, Work.D2H)]
    return min(fixed.LATENCY_US, float(copies.min())) if len(copies) else 0.0


def _copies_times(graph: Graph, factor: float) -> Graph:
    """Scale the size of copies: their latency stays the same."""
    latency = np.minimum(graph.us, _latency_us(graph))
    return replace(graph, us=np.where(_batch_copies(graph), latency + (graph.us - latency) * factor, graph.us))


def uint8_feed() -> Change:
    """Images cross the bus as bytes and are cast on the device."""
    return Change(
        id="uint8_feed",
        assumption="the batch is fed as bytes where it is fed as 32-bit numbers now; the cast costs nothing",
        alter=partial(_copies_times, factor=0.25),
        utmost=partial(_copies_times, factor=0.0),
        hindrance=_no_uint8,
    )


def _no_uint8(graph: Graph, known: Known) -> str | None:
    if known.feed_dtype not in {None, "float32", "int32"}:
        return f"{known.feed_dtype} is fed already"
    return None if _batch_copies(graph).any() else (NO_COPIES if graph.gpu else NO_GPU)


def copies_hidden() -> Change:
    """The next batch is copied, from pinned memory, while this one is computed."""
    return Change(
        id="copies_hidden",
        assumption="a batch is copied from pinned memory while the one before it is computed",
        alter=partial(_hidden, speedup=PINNED_SPEEDUP),
        least=partial(_hidden, speedup=1.0),
        utmost=lambda graph: _copies_times(_hidden(graph, 1.0), 0.0),
        hindrance=_no_hiding,
    )


def _no_hiding(graph: Graph, _: Known) -> str | None:
    if not graph.gpu or not _batch_copies(graph).any():
        return NO_GPU if not graph.gpu else NO_COPIES
    if graph.feed.kind == "python":
        return "the batches are made by Python between the steps; make them in a tf.data pipeline first"
    return None if len(graph.feed.taken) else "the trace shows no input pipeline"


def _hidden(graph: Graph, speedup: float) -> Graph:
    """Let each copy start when the previous batch was taken, in parallel to kernels; only kernels wait for it."""
    copies = _batch_copies(graph)
    blocking = (graph.reason == Edge.COPIED) & copies[graph.source]
    paged = np.zeros(len(graph), np.bool_)
    paged[graph.source[blocking]] = True
    calls = np.zeros(len(graph), np.bool_)
    calls[graph.target[blocking]] = True
    freed = graph.keeping(
        ~(copies[graph.target] & np.isin(graph.reason, (Edge.LAUNCHED, Edge.STREAM, Edge.ORDER))) & ~blocking
    )
    freed = freed.scaled(paged, 1 / speedup).scaled(calls, 0.0)
    taken, indices = graph.feed.taken, np.flatnonzero(copies)
    before = np.searchsorted(taken, indices) - 2
    return freed.waiting(indices, taken[before % len(taken)], -(before // len(taken)), Edge.BATCH)


# --- kernels -----------------------------------------------------------------------------------------------------


def _kernels_times(graph: Graph, kernels: Bools, factor: float | Floats) -> Graph:
    """Scale the work of kernels: the minimum time of a kernel stays the same."""
    floor = np.minimum(graph.us, graph.floor_us)
    return replace(graph, us=np.where(kernels, floor + (graph.us - floor) * factor, graph.us))


def batch_times(factor: float) -> Change:
    """A batch `factor` times as large."""
    return Change(
        id=f"batch_times_{factor:g}",
        assumption=f"kernels grow only once they fill the card, input and copies with the batch; launches stay; "
        f"a step holds {factor:g} times the samples",
        alter=partial(_larger, factor=factor, full=1.0),
        # At worst every kernel grows, the optimizer's too; at best a multiprocessor with one block has room for two.
        least=lambda graph: _larger(replace(graph, sized=graph.sized | graph.does(Work.KERNEL)), factor, full=0.0),
        most=partial(_larger, factor=factor, full=2.0),
        utmost=partial(_larger, factor=factor, full=np.inf),
        hindrance=_without_gpu,
        samples=factor,
    )


def _larger(graph: Graph, factor: float, full: float) -> Graph:
    """Lengthen kernels by the blocks that do not fit onto the card; `full` is how many fit onto a multiprocessor."""
    fill = np.nan_to_num(graph.fill, nan=np.inf)
    growth = np.full(len(graph), factor)
    finite = np.isfinite(fill) & (full > 0)
    growth[finite] = np.maximum(fill[finite] * factor, full) / np.maximum(fill[finite], full) if full < np.inf else 1.0
    kernels = graph.does(Work.KERNEL) & graph.sized
    larger = _copies_times(_kernels_times(graph, kernels, growth), factor)
    works = [Work.PRODUCE]
    works += [Work.INPUT] if graph.feed.kind == "inline" else []
    works += [Work.BETWEEN] if graph.feed.kind == "python" else []
    return larger.scaled(larger.does(*works), factor)


def fp16() -> Change:
    """Matrices are multiplied in 16 bits on Tensor Cores."""
    return Change(
        id="fp16",
        assumption=f"convolutions and products of matrices take 1/{TENSOR_CORE_SPEEDUP:g} of their time on Tensor "
        "Cores, other kernels as long as now",
        alter=partial(_half, speedup=TENSOR_CORE_SPEEDUP),
        least=partial(_half, speedup=LEAST_SPEEDUP),
        most=partial(_half, speedup=MOST_SPEEDUP),
        utmost=partial(_half, speedup=np.inf),
        hindrance=_no_fp16,
    )


def _no_fp16(graph: Graph, _: Known) -> str | None:
    if not graph.gpu:
        return NO_GPU
    if graph.compute_capability is None:
        return "the trace does not tell the card's compute capability"
    if graph.compute_capability < TENSOR_CORES_FROM:
        return f"a card of compute capability {graph.compute_capability:g} has no Tensor Cores"
    return None if graph.matrix.any() else "every kernel that could use Tensor Cores does"


def _half(graph: Graph, speedup: float) -> Graph:
    return _kernels_times(graph, graph.matrix, 1 / speedup)


def faster_card(factor: float) -> Change:
    """A card that computes `factor` times as fast."""
    return Change(
        id=f"faster_card_{factor:g}",
        assumption=f"every kernel's work takes 1/{factor:g} of its time; the host, the bus and the launches stay",
        alter=partial(_quicker, factor=factor),
        utmost=partial(_quicker, factor=np.inf),
        hindrance=_without_gpu,
    )


def _quicker(graph: Graph, factor: float) -> Graph:
    return _kernels_times(graph, graph.does(Work.KERNEL), 1 / factor)
