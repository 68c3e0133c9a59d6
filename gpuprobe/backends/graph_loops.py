"""Finds the loops in the graph of a training step: their number of iterations, and whether one needs the one before.

A processor's trace leaves out operations that take microseconds, and so the loops that are made of them. The graph has
them. It is read from TensorFlow's function definitions: a `tf.while_loop` (also `tf.map_fn`, `tf.scan` and loops of
AutoGraph) is one node with a function for its body. The body's arguments are the values that an iteration hands on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gpuprobe.backends.graph_function import Carried, Function
from gpuprobe.records import GraphLoop

LOOPS = frozenset(("While", "StatelessWhile"))
# A loop that takes batches or holds a backward pass has one iteration for each step of a call: it is not in the model.
OF_STEPS = frozenset(("IteratorGetNext", "IteratorGetNextAsOptional"))
BACKWARD = "gradient_tape/"
# Nodes that cost nothing to start: the executor hands their values on, or has them.
FREE = frozenset(("Const", "Identity", "NoOp", "Placeholder", "Switch", "Merge"))
# The greatest depth of calls that is searched: functions may call themselves.
DEEPEST = 12


@dataclass(frozen=True)
class Graphs:
    """The functions of a process by name; `number` reads the constant of a node, None where it is no single number."""

    functions: Mapping[str, Function]
    number: Callable[[Any], float | None]

    @cached_property
    def steps(self) -> tuple[Function, ...]:
        """The functions of training steps: they hold a backward pass, and no other function calls them."""
        called = {
            name for function in self.functions.values() for node in function.nodes.values() for name in _called(node)
        }
        return tuple(
            function for name, function in self.functions.items() if name not in called and self.trains(function)
        )

    def trains(self, function: Function, depth: int = 0) -> bool:
        """Whether a function holds a backward pass."""
        return any(name.startswith(BACKWARD) for name in function.nodes) or any(
            self.trains(inner, depth + 1) for inner in self.within(function, depth)
        )

    def within(self, function: Function, depth: int) -> Iterator[Function]:
        """Yield the functions that a function calls."""
        for node in function.nodes.values() if depth < DEEPEST else ():
            yield from (self.functions[name] for name in _called(node) if name in self.functions)

    def operations(self, function: Function, turns: Mapping[str, float], depth: int = 0) -> float:
        """Count the operations that one call of a function starts; `turns` are the iterations of its loops, by path."""
        total = 0.0
        for node in function.nodes.values():
            inner = [self.functions[name] for name in _called(node) if name in self.functions and depth < DEEPEST]
            often = turns.get(_path(node.name), 1.0) if node.op in LOOPS else 1.0
            total += often * sum(self.operations(called, turns, depth + 1) for called in inner)
            total += node.op not in FREE and not inner
        return total

    def loops(self, function: Function, depth: int = 0) -> Iterator[tuple[Function, Any]]:
        """Yield the loops of a step with the function that each is in, those of its backward pass too."""
        for node in function.nodes.values():
            inner = [self.functions[name] for name in _called(node) if name in self.functions]
            back = node.name.startswith(BACKWARD)
            if node.op in LOOPS and (back or not any(map(self._takes_steps, inner))):
                yield function, node
            elif depth < DEEPEST:
                for called in inner:
                    yield from self.loops(called, depth + 1)

    def _takes_steps(self, function: Function, depth: int = 0) -> bool:
        own = any(node.op in OF_STEPS or node.name.startswith(BACKWARD) for node in function.nodes.values())
        return own or any(self._takes_steps(inner, depth + 1) for inner in self.within(function, depth))

    def turns(self, outer: Function, loop: Any) -> float | None:
        """Return the number of a loop's iterations; None where the graph does not fix it."""
        condition, body = (self.functions.get(loop.attr[part].func.name) for part in ("cond", "body"))
        if condition is None or body is None:
            return None
        parts = _parts(condition, condition.returned[0])
        if not all(part is not None and part.op == "Less" for part in parts):
            return None
        # AutoGraph has its limit twice, as numbers and computed.
        ends = [self._end(condition, part, body, outer, loop) for part in parts]
        return min((end for end in ends if end is not None), default=None)

    def _end(self, condition: Function, node: Any, body: Function, outer: Function, loop: Any) -> float | None:
        """Return after how many iterations a counter reaches its limit; None where a number is not fixed."""
        counter, limit = condition.inputs(node)
        index, bound = condition.index(counter), condition.index(limit)
        by = body.increment_of(index) if index is not None else None
        if index is None or by is None:
            return None
        added = body.index(by)
        first = self._given(index, outer, loop)
        each = self._number(body, by) if added is None else self._given(added, outer, loop)
        end = self._number(condition, limit) if bound is None else self._given(bound, outer, loop)
        if first is None or end is None or not each:
            return None
        return max(0.0, math.ceil((end - first) / each))

    def _given(self, index: int, outer: Function, loop: Any) -> float | None:
        return self._number(outer, outer.inputs(loop)[index])

    def _number(self, function: Function, ref: str) -> float | None:
        node = function.node(ref)
        return self.number(node) if node is not None and node.op == "Const" else None


def loops_of(graphs: Graphs) -> tuple[GraphLoop, ...]:
    """Return the loops of the steps' graphs that go forward, the one that starts most operations first."""
    loops_forward = []
    for step in graphs.steps:
        loops = list(graphs.loops(step))
        forward = {_path(node.name): (outer, node) for outer, node in loops if not node.name.startswith(BACKWARD)}
        known = {path: graphs.turns(outer, node) for path, (outer, node) in forward.items()}
        # A backward loop has as many iterations as the forward loop whose path is in its name.
        turns = {
            _path(node.name): of or 1.0 for _, node in loops for path, of in known.items() if path in _path(node.name)
        }
        total = graphs.operations(step, turns)
        for path, (_, node) in forward.items():
            body = graphs.functions[node.attr["body"].func.name]
            own = _named_after(path, loops)
            started = sum(turns[_path(loop_node.name)] * _of_a_turn(graphs, loop_node, turns) for loop_node in own)
            carried = Carried(body)
            loops_forward.append(
                GraphLoop(
                    path=path,
                    turns=known[path],
                    started_fraction=started / total if known[path] is not None and total else None,
                    serial=carried.serial,
                    linear=carried.serial and carried.linear,
                )
            )
    return tuple(sorted(loops_forward, key=lambda loop: -(loop.started_fraction or 0.0)))


def _parts(condition: Function, ref: str) -> list[Any]:
    """Return the comparisons that must all hold for another iteration, None for one that is no node."""
    node = condition.node(ref)
    if node is not None and node.op in {"LogicalAnd", "Squeeze"}:
        return [part for condition_ref in condition.inputs(node) for part in _parts(condition, condition_ref)]
    return [node]


def _named_after(path: str, loops: list[tuple[Function, Any]]) -> list[Any]:
    return [node for _, node in loops if path in _path(node.name)]


def _of_a_turn(graphs: Graphs, loop: Any, turns: Mapping[str, float]) -> float:
    return sum(graphs.operations(graphs.functions[name], turns) for name in _called(loop) if name in graphs.functions)


def _path(name: str) -> str:
    """Return the name of a loop without what its call adds."""
    return name.removesuffix("/")


def _called(node: Any) -> Iterator[str]:
    """Yield the names of the functions that a node calls."""
    for value in node.attr.values():
        if value.func.name:
            yield value.func.name
        yield from (function.name for function in value.list.func)
