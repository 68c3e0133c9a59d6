"""Strings as small integers: a million events keep a million indices and each name once."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from gpuprobe.foreign import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from gpuprobe.traces.timeline import Int32s, Int64s

Parsed = TypeVar("Parsed")

# Longer names are cut: a hostile file may hold one of two gigabytes.
LONGEST_NAME = 4096
# Ids within such a range, or within a few times their count, are found by a table of that size instead of sorting.
SPARSE = 2**12


def readable(name: bytes) -> str:
    """Return a name as text; bytes that are no UTF-8 are replaced by a mark, and long names cut."""
    return visible(name[:LONGEST_NAME].decode(errors="replace"))


class _Places(dict[str, int]):
    """The index of each name. A subclass of `dict`, since known names are then looked up without a Python call."""

    def __missing__(self, name: str) -> int:
        return self.setdefault(visible(name[:LONGEST_NAME]), len(self))


class Names:
    """All names of a timeline, each once; `index` is what the columns hold."""

    def __init__(self) -> None:
        self._places = _Places()

    def index(self, name: str) -> int:
        """Return the index of a name, a new one for a new name; long names are cut."""
        return self._places[name]

    def indices(self, names: Iterable[str]) -> list[int]:
        """Return the index of each of these names."""
        return list(map(self._places.__getitem__, names))

    def all(self) -> tuple[str, ...]:
        """Return every name, at its index."""
        return tuple(self._places)


def distinct(ids: Int64s) -> tuple[Int64s, NDArray[np.intp]]:
    """Return the distinct ids, sorted, and for each id (n,) its row among them; ids in a small range are not sorted.

    Like `np.unique(return_inverse=True)`, which is slower and imports numpy's masked arrays.
    """
    if not len(ids):
        return ids, np.empty(0, np.intp)
    lowest = int(ids.min())
    if int(ids.max()) - lowest < max(SPARSE, 4 * len(ids)):
        close = ids - lowest
        used = np.flatnonzero(np.bincount(close))
        rows = np.zeros(used[-1] + 1, np.intp)
        rows[used] = np.arange(len(used))
        return used + lowest, rows[close]
    order = np.argsort(ids, kind="stable")
    ranked = ids[order]
    first = np.ones(len(ids), np.bool_)
    first[1:] = ranked[1:] != ranked[:-1]
    row = np.empty(len(ids), np.intp)
    row[order] = np.cumsum(first) - 1
    return ranked[first], row


def among(ids: Int64s, chosen: Int64s) -> NDArray[np.bool_]:
    """Return which of the ids (n,) are among those chosen (m,), (n,) bool. Faster than `np.isin`, as `distinct` is."""
    if not len(chosen):
        return np.zeros(len(ids), np.bool_)
    lowest, highest = int(chosen.min()), int(chosen.max())
    if highest - lowest < max(SPARSE, 4 * len(chosen)):
        table = np.zeros(highest - lowest + 1, np.bool_)
        table[chosen - lowest] = True
        within = (ids >= lowest) & (ids <= highest)
        within[within] = table[ids[within] - lowest]
        return within
    ranked = np.sort(chosen)
    contained: NDArray[np.bool_] = ranked[np.minimum(np.searchsorted(ranked, ids), len(ranked) - 1)] == ids
    return contained


def places_of(ids: Int64s, names_by_id: Mapping[int, str], names: Names) -> Int32s:
    """Return the indices of these ids' names, (n,) int32; an id without a name is named `unnamed ID`."""
    unique, row = distinct(ids)
    indices = [names.index(names_by_id.get(number) or f"unnamed {number}") for number in unique.tolist()]
    return np.array(indices, np.int32)[row] if indices else np.empty(0, np.int32)


def each_once(
    indices: Int32s, texts: tuple[str, ...], parse: Callable[[str], Parsed], missing: Parsed
) -> tuple[list[Parsed], NDArray[np.intp]]:
    """Parse each distinct text of the indices (n,) once; return the results and, for every index, its row (n,).

    An index of UNKNOWN gets `missing`, which is always the first result.
    """
    used = np.flatnonzero(np.bincount(indices[indices >= 0], minlength=len(texts)))
    rows = np.zeros(len(texts) + 1, np.intp)
    rows[used] = np.arange(1, len(used) + 1)
    return [missing, *(parse(texts[index]) for index in used.tolist())], rows[indices]
