"""A graph is replayed alike as whole stretches, node by node, and by a slow replay that is plainly right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.whatif import replay
from gpuprobe.whatif.graph import FIRST_STREAM, HOST, PRODUCER, Edge, Graph, Work
from gpuprobe.whatif.stretches import stretches
from tests.whatif.test_replay import graph

PASSES = 3
RESOURCES = (HOST, PRODUCER, FIRST_STREAM, FIRST_STREAM + 1)


def slowly(of: Graph) -> list[list[float]]:
    """Replay a graph as defined: a node begins when its resource is free and all that it waits for is done."""
    ends: list[list[float]] = []
    free = of.carried_us.tolist()
    for number in range(PASSES):
        ends.append([])
        for node, resource in enumerate(of.resource.tolist()):
            begin = free[resource]
            for edge in np.flatnonzero(of.target == node).tolist():
                source, before = int(of.source[edge]), number - int(of.back[edge])
                if before >= 0:
                    until = ends[before][source]
                    begin = max(begin, until - of.us[source] if of.reason[edge] == Edge.QUEUE else until)
            free[resource] = begin + of.us[node]
            ends[-1].append(free[resource])
    return ends


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Draw nodes of any resource and length, each waiting for some before it or for any of an earlier pass."""
    nodes = draw(st.lists(st.tuples(st.sampled_from(RESOURCES), st.floats(0.0, 1e3)), min_size=1, max_size=25))
    number = st.integers(0, len(nodes) - 1)
    waits = draw(st.lists(st.tuples(number, number, st.sampled_from([Edge.READ, Edge.QUEUE]), st.integers(0, 2))))
    sound = [wait for wait in waits if wait[3] or wait[1] < wait[0]]
    return graph([(resource, Work.DISPATCH, us) for resource, us in nodes], sound, carried_us=np.arange(4.0))


@pytest.mark.parametrize("shortest", [0, 10**9])
@given(of=graphs())
def test_both_ways_to_replay_agree_with_the_definition(shortest: int, of: Graph) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(replay, "SHORT_STRETCH", shortest)
        assert replay.run(of, PASSES) == pytest.approx(np.array(slowly(of)))


@given(graphs())
def test_the_stretches_hold_each_node_once_and_come_after_what_they_wait_for(of: Graph) -> None:
    done: set[int] = set()
    for stretch in stretches(of):
        assert set(stretch.source[stretch.source >= 0].tolist()) <= done
        assert set(of.resource[stretch.nodes]) == {stretch.resource}
        done |= set(stretch.nodes.tolist())
    assert sorted(done) == list(range(len(of)))


def test_a_host_that_only_launches_is_one_stretch_and_so_is_its_stream() -> None:
    nodes = [(HOST, Work.LAUNCH, 2.0), (FIRST_STREAM, Work.KERNEL, 3.0)] * 500
    waits = [(number, number - 1, Edge.LAUNCHED, 0) for number in range(1, 1000, 2)]
    found = stretches(graph(nodes, waits))
    assert [len(stretch.nodes) for stretch in found] == [500, 500]
