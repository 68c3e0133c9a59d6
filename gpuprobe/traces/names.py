"""Strings as small integers: a million events keep a million places and each name once."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from gpuprobe.foreign import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from gpuprobe.traces.timeline import Int32s, Int64s

Parsed = TypeVar("Parsed")

# Nobody reads a longer name, and a hostile file may hold one of two gigabytes.
LONGEST_NAME = 4096
# Ids within such a range, or within a few times their count, are counted in a table of that size.
SPARSE = 2**12


def readable(name: bytes) -> str:
    """Return a name as text, what is no UTF-8 marked, and cut where it is too long."""
    return visible(name[:LONGEST_NAME].decode(errors="replace"))


class _Places(dict[str, int]):
    """The place of each name: a dictionary looks up what it holds without Python's help."""

    def __missing__(self, name: str) -> int:
        return self.setdefault(visible(name[:LONGEST_NAME]), len(self))


class Names:
    """All names of a timeline, each once; `place` is what the columns hold."""

    def __init__(self) -> None:
        self._places = _Places()

    def place(self, name: str) -> int:
        """Return the place of that name, a new one where it was not seen before; long names are cut."""
        return self._places[name]

    def places(self, names: Iterable[str]) -> list[int]:
        """Return the place of each of these names."""
        return list(map(self._places.__getitem__, names))

    def all(self) -> tuple[str, ...]:
        """Return every name, at its place."""
        return tuple(self._places)


def distinct(ids: Int64s) -> tuple[Int64s, NDArray[np.intp]]:
    """Return the different ids, sorted, and for each of the (n,) the row of its own; no sorting where they lie close.

    As `np.unique`, which is slower, and loads numpy's masked arrays for it.
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
    """Tell which of the ids (n,) are among those chosen (m,), (n,) bool; as `np.isin`, for the same reason."""
    if not len(chosen):
        return np.zeros(len(ids), np.bool_)
    ranked = np.sort(chosen)
    found: NDArray[np.bool_] = ranked[np.minimum(np.searchsorted(ranked, ids), len(ranked) - 1)] == ids
    return found


def places_of(ids: Int64s, names_by_id: Mapping[int, str], names: Names) -> Int32s:
    """Return where the names of these ids (n,) lie, (n,) int32; an id that has no name is called `unnamed ID`."""
    unique, row = distinct(ids)
    places = [names.place(names_by_id.get(number) or f"unnamed {number}") for number in unique.tolist()]
    return np.array(places, np.int32)[row] if places else np.empty(0, np.int32)


def each_once(
    places: Int32s, texts: tuple[str, ...], parse: Callable[[str], Parsed], missing: Parsed
) -> tuple[list[Parsed], NDArray[np.intp]]:
    """Parse each text that the places (n,) name once; return what came out and, for every place, its row (n,).

    A place of UNKNOWN gets `missing`, which is always the first of the list.
    """
    used = np.flatnonzero(np.bincount(places[places >= 0], minlength=len(texts)))
    rows = np.zeros(len(texts) + 1, np.intp)
    rows[used] = np.arange(1, len(used) + 1)
    return [missing, *(parse(texts[place]) for place in used.tolist())], rows[places]
