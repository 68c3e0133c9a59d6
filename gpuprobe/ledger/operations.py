"""The operations of a step by the layer or optimizer that owns them, and the loops in the step's graph."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.device_facts import LoopFacts, OperationFacts
from gpuprobe.ledger.intervals import intersection, union
from gpuprobe.ledger.names import Kind
from gpuprobe.ledger.scopes import Scope, maps, recurrent, scope_of
from gpuprobe.ledger.stages import THREADS
from gpuprobe.thresholds import fixed
from gpuprobe.traces.names import distinct
from gpuprobe.traces.timeline import UNKNOWN
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.steps import Windows
    from gpuprobe.traces.timeline import Device, Int32s, Int64s

TOP, TOP_TYPES = 8, 6
# Operations that only contain others.
CALLS = frozenset(
    {"While", "StatelessWhile", "If", "StatelessIf", "Case", "PartitionedCall", "StatefulPartitionedCall"}
)


@dataclass(frozen=True)
class Ran:
    """Operations that ran, (n,) each: the index of the name in `texts`, and when it began and ended (ps)."""

    texts: Sequence[str]
    name: Int32s
    start: Int64s
    end: Int64s


def on_processor(host: TracedHost) -> Ran:
    """Return the operations of a host's threads, those of the input pipeline aside."""
    parts = []
    for index, thread in enumerate(host.threads):
        if not thread.name.startswith(THREADS):
            events = thread.events
            chosen = ((host.kinds[index] & Kind.OP) != 0) & ~host.waits[events.name]
            parts.append((events.name[chosen], events.start_ps[chosen], events.end_ps[chosen]))
    return _ran(host.names, parts)


def on_device(texts: Sequence[str], device: Device) -> Ran:
    """Return the kernels of a GPU, each under the operation that launched it; those without one are left out."""
    kernels = device.kernels
    if not len(kernels.op):
        return _ran(texts, [])
    known = kernels.op != UNKNOWN
    return _ran(texts, [(kernels.op[known], kernels.start_ps[known], kernels.end_ps[known])])


def _ran(texts: Sequence[str], parts: Sequence[tuple[Int32s, Int64s, Int64s]]) -> Ran:
    none = (np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int64))
    name, start, end = (np.concatenate(column) for column in zip(none, *parts, strict=True))
    return Ran(texts, name, start, end)


def made_up_of(ran: Ran, windows: Windows) -> tuple[tuple[OperationFacts, ...], tuple[LoopFacts, ...]]:
    """Return the owners whose operations took most of the steps, and the loops that ran, the longest first."""
    inside = (ran.start >= windows.start_ps[0]) & (ran.start < windows.end_ps[-1])
    ran = Ran(ran.texts, ran.name[inside], ran.start[inside], ran.end[inside])
    scopes = _scopes(ran)
    kept = np.isin(ran.name, np.fromiter(scopes, np.int64, len(scopes)))
    ran = Ran(ran.texts, ran.name[kept], ran.start[kept], ran.end[kept])
    return _owners(ran, windows, scopes), _loops(ran, windows, scopes)


def _scopes(ran: Ran) -> dict[int, Scope]:
    """Return the scope of each operation, by the index of its name, without the path of a loop around whole steps."""
    used = distinct(ran.name.astype(np.int64))[0].tolist()
    scopes = {index: scope_of(ran.texts[index]) for index in used}
    around = {scope.loop for scope in scopes.values() if scope.loop and scope.of_optimizer}
    outer = next(iter(around), ())
    if outer:
        scopes = {index: scope_of(ran.texts[index], outer) for index in used}
    return {index: scope for index, scope in scopes.items() if scope.type and scope.type not in CALLS}


def _owners(ran: Ran, windows: Windows, scopes: Mapping[int, Scope]) -> tuple[OperationFacts, ...]:
    spent = np.bincount(ran.name, weights=ran.end - ran.start, minlength=1)
    base = _model([(scope.path, float(spent[index])) for index, scope in scopes.items() if not scope.of_optimizer])
    indices: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for index, scope in scopes.items():
        indices[_owner(scope, base)].append(index)
    window, steps = union(windows.start_ps, windows.end_ps), len(windows)
    owners = []
    longest = sorted(indices, key=lambda owner: -sum(spent[index] for index in indices[owner]))
    for owner in longest[:TOP]:
        own = np.isin(ran.name, indices[owner])
        time = intersection(union(ran.start[own], ran.end[own]), window).total
        owners.append(
            OperationFacts(
                owner=owner[0],
                of_optimizer=owner[1],
                types=_types(indices[owner], scopes, spent),
                ms_per_step=time / PS_PER_MS / steps,
                fraction=time / max(window.total, 1),
                count=float(own.sum()) / steps,
            )
        )
    return tuple(sorted(owners, key=lambda facts: -facts.fraction))


def _model(times: Sequence[tuple[tuple[str, ...], float]]) -> tuple[str, ...]:
    """Return the path of the model: the innermost scope that still holds nearly all of the time and several layers."""
    base: tuple[str, ...] = ()
    while True:
        depth = len(base)
        inner: dict[str, float] = defaultdict(float)
        layers: dict[str, set[str]] = defaultdict(set)
        deep: set[str] = set()
        for path, time in times:
            if path[:depth] == base and len(path) > depth:
                inner[path[depth]] += time
                layers[path[depth]].update(path[depth + 1 : depth + 2])
                deep.update(path[depth : depth + 1] if len(path) > depth + 2 else ())
        largest = max(inner, key=inner.__getitem__, default="")
        holds = len(layers[largest]) > 1 and largest in deep
        if not holds or inner[largest] < fixed.SCOPE_WRAPS * sum(inner.values()):
            return base
        base = (*base, largest)


def _owner(scope: Scope, base: tuple[str, ...]) -> tuple[str, bool]:
    if scope.of_optimizer:
        return scope.path[0], True
    depth = len(base) + 1 if scope.path[: len(base)] == base else 1
    return "/".join(scope.path[:depth]), False


def _types(indices: Sequence[int], scopes: Mapping[int, Scope], spent: np.ndarray) -> dict[str, float]:
    times: dict[str, float] = defaultdict(float)
    for index in indices:
        times[scopes[index].type] += float(spent[index])
    total = max(sum(times.values()), 1.0)
    longest = sorted(times, key=lambda kind: -times[kind])
    return {kind: times[kind] / total for kind in longest[:TOP_TYPES]}


def _loops(ran: Ran, windows: Windows, scopes: Mapping[int, Scope]) -> tuple[LoopFacts, ...]:
    indices: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, scope in scopes.items():
        if scope.loop:
            indices[scope.loop].append(index)
    whole = max(int((windows.end_ps - windows.start_ps).sum()), 1)
    loops = []
    for path, own in indices.items():
        first, last = _iterating(ran, windows, own)
        lasted = int((last - first).sum())
        outermost = [index for index in own if scopes[index].depth == 1]
        counts = np.bincount(ran.name[np.isin(ran.name, outermost)], minlength=1)
        loops.append(
            LoopFacts(
                path="/".join(path),
                turns=float(counts.max()) / len(windows),
                ms_per_step=lasted / PS_PER_MS / len(windows),
                busy_ms_per_step=_busy_ps(ran, own) / PS_PER_MS / len(windows),
                fraction=lasted / whole,
                maps=maps(path),
                recurrent=recurrent(path),
            )
        )
    return tuple(sorted(loops, key=lambda loop: -loop.fraction)[:TOP])


def _iterating(ran: Ran, windows: Windows, indices: Sequence[int]) -> tuple[Int64s, Int64s]:
    """Return when the loop began and ended in each step that it ran in, (k,) each, in ps."""
    own = np.isin(ran.name, indices)
    step = np.searchsorted(windows.start_ps, ran.start[own], side="right") - 1
    first = np.full(len(windows), np.iinfo(np.int64).max)
    last = np.full(len(windows), np.iinfo(np.int64).min)
    np.minimum.at(first, step, ran.start[own])
    np.maximum.at(last, step, ran.end[own])
    ran_in = last > first
    return first[ran_in], np.minimum(last, windows.end_ps)[ran_in]


def _busy_ps(ran: Ran, indices: Sequence[int]) -> int:
    own = np.isin(ran.name, indices)
    return union(ran.start[own], ran.end[own]).total
