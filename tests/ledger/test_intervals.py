"""Interval arithmetic against sets of single instants, which cannot be wrong."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.ledger.intervals import Intervals, covered, difference, holds, intersection, join, sweep, union

# Lengths below zero too: a hostile trace may hold them, and they must count as nothing.
stretches = st.lists(st.tuples(st.integers(-20, 40), st.integers(-3, 12)), max_size=12)


def made(parts: list[tuple[int, int]]) -> Intervals:
    start = np.array([start for start, _ in parts], np.int64)
    return union(start, start + np.array([length for _, length in parts], np.int64))


def instants(parts: list[tuple[int, int]]) -> set[int]:
    return {instant for start, length in parts for instant in range(start, start + length)}


def spread(intervals: Intervals) -> set[int]:
    assert np.all(intervals.end > intervals.start)
    assert np.all(intervals.start[1:] >= intervals.end[:-1])
    return {i for start, end in zip(intervals.start, intervals.end, strict=True) for i in range(start, end)}


@given(stretches)
def test_union(parts: list[tuple[int, int]]) -> None:
    assert spread(made(parts)) == instants(parts)
    assert made(parts).total == len(instants(parts))


@given(st.lists(stretches, max_size=4))
def test_join(many: list[list[tuple[int, int]]]) -> None:
    assert spread(join(made(parts) for parts in many)) == set().union(*(instants(parts) for parts in many))


@given(stretches, stretches)
def test_intersection_and_difference(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    assert spread(intersection(made(first), made(second))) == instants(first) & instants(second)
    assert spread(difference(made(first), made(second))) == instants(first) - instants(second)


@given(stretches, st.lists(stretches, max_size=5))
def test_sweep_gives_every_instant_to_the_first_that_claims_it(
    window: list[tuple[int, int]], layers: list[list[tuple[int, int]]]
) -> None:
    got, left = sweep(made(window), [made(layer) for layer in layers])
    unclaimed = instants(window)
    for part, layer in zip(got, layers, strict=True):
        assert spread(part) == unclaimed & instants(layer)
        unclaimed -= instants(layer)
    assert spread(left) == unclaimed


@given(stretches, st.lists(st.tuples(st.integers(-30, 60), st.integers(0, 30)), max_size=6))
def test_covered_and_holds(parts: list[tuple[int, int]], windows: list[tuple[int, int]]) -> None:
    start = np.array([start for start, _ in windows], np.int64)
    end = start + np.array([length for _, length in windows], np.int64)
    expected = [len(instants(parts) & set(range(a, b))) for a, b in zip(start, end, strict=True)]
    assert covered(made(parts), start, end).tolist() == expected
    assert holds(made(parts), start).tolist() == [instant in instants(parts) for instant in start.tolist()]
