"""A function of a TensorFlow graph as data, and the values that one iteration of a loop hands to the next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

# They hand a value on as it is, or in another shape.
SAME = frozenset(("Identity", "IdentityN", "StopGradient", "PreventGradient", "CheckNumerics"))
ADDED = frozenset(("Add", "AddV2"))
# One value gathered over all iterations, in any order.
GATHERED = frozenset((*ADDED, "AddN", "Mul", "Maximum", "Minimum", "LogicalAnd", "LogicalOr"))
# What keeps a value linear in what it is made of: all of it, and of the others one factor alone.
LINEAR = frozenset(
    (*SAME, *ADDED, "AddN", "Sub", "Neg", "Reshape", "Transpose", "Cast", "ExpandDims", "Squeeze", "Pack", "ConcatV2")
)
FACTORS = frozenset(("Mul", "MatMul", "BatchMatMul", "BatchMatMulV2", "Einsum", "RealDiv"))
# Reading a list of the values of all iterations, while the loop writes it.
READS = frozenset(("TensorListGetItem", "TensorListStack", "TensorListGather", "TensorListPopBack"))
# Numbers of TensorFlow's types (tensorflow/core/framework/types.proto): handles, lists, whole numbers.
RESOURCE, VARIANT = 20, 21
WHOLE = frozenset((3, 9))


@dataclass(frozen=True)
class Function:
    """A function: its arguments and their types, its nodes by name, and what it returns, in order.

    A node is a `NodeDef`; a reference is `argument`, or `node:output:number`.
    """

    arguments: tuple[str, ...]
    types: tuple[int, ...]
    nodes: Mapping[str, Any]
    returned: tuple[str, ...]

    @classmethod
    def of(cls, definition: Any) -> Function:
        """Read a `FunctionDef`."""
        signature = definition.signature
        return cls(
            arguments=tuple(argument.name for argument in signature.input_arg),
            types=tuple(int(argument.type) for argument in signature.input_arg),
            nodes={node.name: node for node in definition.node_def},
            returned=tuple(definition.ret[argument.name] for argument in signature.output_arg),
        )

    def inputs(self, node: Any) -> tuple[str, ...]:
        """Return the references to a node's inputs, without those that only order."""
        return tuple(ref for ref in node.input if not ref.startswith("^"))

    def origin(self, ref: str) -> str:
        """Return the name of the argument or node behind a reference, past nodes that only hand a value on."""
        name, seen = ref.partition(":")[0], set[str]()
        while name in self.nodes and self.nodes[name].op in SAME and name not in seen:
            seen.add(name)
            inputs = self.inputs(self.nodes[name])
            index = int(ref.rpartition(":")[2]) if self.nodes[name].op == "IdentityN" and ":" in ref else 0
            ref = inputs[index] if index < len(inputs) else inputs[0]
            name = ref.partition(":")[0]
        return name

    def node(self, ref: str) -> Any | None:
        """Return the node behind a reference, None where it is an argument."""
        return self.nodes.get(self.origin(ref))

    def index(self, ref: str) -> int | None:
        """Return which argument a reference is, None where it is none."""
        name = self.origin(ref)
        return self.arguments.index(name) if name in self.arguments else None

    def increment_of(self, index: int) -> str | None:
        """Return what this function, as the body of a loop, adds to argument number `index` in each iteration.

        It is a reference; None where the body does anything else with that argument.
        """
        made = self.node(self.returned[index])
        if made is None or made.op not in ADDED:
            return None
        own = [self.index(ref) == index for ref in self.inputs(made)]
        return self.inputs(made)[own.index(False)] if own.count(True) == 1 else None


class Carried:
    """The values that the body of a loop hands from one iteration to the next.

    `serial`: an iteration computes with a value of the one before, other than by counting, by gathering one total, or
    by adding to a list. `linear`: it only scales such values and adds to them, which all iterations can do at once.
    """

    def __init__(self, body: Function) -> None:
        self._body = body
        self._following: defaultdict[str, list[str]] = defaultdict(list)
        for node in body.nodes.values():
            for ref in body.inputs(node):
                self._following[ref.partition(":")[0]].append(node.name)
        self._kept = frozenset(index for index in range(len(body.arguments)) if self._may_be_serial(index))
        self._made_of = {index: self._all_made_of(index) for index in self._kept}

    @cached_property
    def serial(self) -> bool:
        """Whether an iteration needs the one before."""
        edges = {index: self._needs(self._body.returned[index]) for index in self._kept}
        return any(index in self._reached(index, edges) and not self._gathers(index) for index in self._kept)

    @cached_property
    def linear(self) -> bool:
        """Whether what is carried is only scaled, moved and added."""
        used = {name for index in self._kept for name in self._behind(self._body.returned[index])}
        return all(self._is_linear(self._body.nodes[name]) for name in used)

    def _may_be_serial(self, index: int) -> bool:
        body = self._body
        if index >= len(body.returned) or body.index(body.returned[index]) == index:
            return False
        if body.types[index] == RESOURCE or self._counts(index):
            return False
        return body.types[index] != VARIANT or any(node.op in READS for node in self._users(index))

    def _counts(self, index: int) -> bool:
        by = self._body.increment_of(index)
        if by is None or self._body.types[index] not in WHOLE:
            return False
        made, added = self._body.node(by), self._body.index(by)
        if added is not None:
            return self._body.index(self._body.returned[added]) == added
        return made is not None and made.op == "Const"

    def _users(self, index: int) -> Iterator[Any]:
        for node in self._body.nodes.values():
            if any(self._body.index(ref) == index for ref in self._body.inputs(node)):
                yield node

    def _gathers(self, index: int) -> bool:
        """Whether the value is only a total to which each iteration adds its own part."""
        made = self._body.node(self._body.returned[index])
        if made is None or made.op not in GATHERED:
            return False
        others = [ref for ref in self._body.inputs(made) if self._body.index(ref) != index]
        alone = [node.name for node in self._users(index) if node.op not in SAME] == [made.name]
        return alone and not any(self._needs(ref) for ref in others)

    def _needs(self, ref: str) -> frozenset[int]:
        """Return the numbers of the carried arguments that a reference is made of."""
        name = ref.partition(":")[0]
        return frozenset(index for index in self._kept if name in self._made_of[index])

    def _all_made_of(self, index: int) -> set[str]:
        """Return the names of an argument and of all nodes that are made of it."""
        seen, left = set[str](), [self._body.arguments[index]]
        while left:
            name = left.pop()
            if name not in seen:
                seen.add(name)
                left += self._following[name]
        return seen

    def _reached(self, index: int, edges: Mapping[int, frozenset[int]]) -> set[int]:
        seen, left = set[int](), [*edges[index]]
        while left:
            value = left.pop()
            if value not in seen:
                seen.add(value)
                left += edges[value]
        return seen

    def _behind(self, ref: str) -> set[str]:
        """Return the names of the nodes between the carried values and a reference, that of the reference too."""
        seen, left = set[str](), [ref]
        while left:
            name = left.pop().partition(":")[0]
            node = self._body.nodes.get(name)
            if node is not None and name not in seen and self._needs(name):
                seen.add(name)
                left += self._body.inputs(node)
        return seen

    def _is_linear(self, node: Any) -> bool:
        made_of = [bool(self._needs(ref)) for ref in self._body.inputs(node)]
        if node.op in FACTORS:
            return made_of.count(True) == 1 and (node.op != "RealDiv" or made_of[0])
        return node.op in LINEAR
