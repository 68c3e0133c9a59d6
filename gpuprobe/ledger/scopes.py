"""Who asked for an operation, by the path in its name: a layer, the optimizer, a loop within the model.

TensorFlow names an operation by the scopes in which it was made, `sequential_1/dense_1/MatMul:MatMul`. What it puts
around them says nothing of the model: the call of the function, `gradient_tape/` for the backward pass, `replica_1/`.
What runs within a `tf.while_loop` or `tf.map_fn` has the loop's own path before it, `map/while/body/_5/map/while/Mul`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_AROUND = re.compile(r"(?:(?:Stateful)?PartitionedCall|gradient_tape|gradients|replica|train_step|cond)(?:_\d+)?$")
# Of a loop or a condition that runs, its part and the number of that one's copy follow its name.
_BODY, _BRANCH = re.compile(r"(?:body|cond)(?:_\d+)?$"), re.compile(r"(?:then|else)(?:_\d+)?$")
_WHILE = re.compile(r"while(?:_\d+)?$")
_COPY = re.compile(r"_\d+$")
# Optimizers name their scope after themselves; the older ones of Keras have it twice, `Adam/Adam/update_14`.
_OPTIMIZER = re.compile(
    r"(?:sgd|adam|adamw|adamax|nadam|adagrad|adadelta|adafactor|rmsprop|ftrl|lion|lamb|muon|loss_scale_optimizer)"
    r"(?:_\d+)?$",
    re.IGNORECASE,
)
# Layers that go through time step by step: each turn of theirs needs the one before.
_RECURRENT = re.compile(r"(?:^|_)(?:lstm|gru|rnn|bidirectional)(?:_\d+)?(?:_|$)|recurrent", re.IGNORECASE)
# `tf.map_fn` calls its scope so; it takes one element after the other, and none needs another.
_MAP = re.compile(r"map(?:_\d+)?$")


@dataclass(frozen=True)
class Scope:
    """Where an operation comes from: the `path` of scopes around it, its `type`, and the loop around it, if any.

    `loop` is the path of the outermost loop, empty outside one; `depth` counts the loops one in another.
    """

    path: tuple[str, ...]
    type: str
    loop: tuple[str, ...] = ()
    depth: int = 0

    @property
    def of_optimizer(self) -> bool:
        """Whether it updates the weights."""
        return any(_OPTIMIZER.match(part) for part in self.path[:2])


@lru_cache(maxsize=1 << 16)
def scope_of(name: str, around: tuple[str, ...] = ()) -> Scope:
    """Read the name of an operation, as `path/of/scopes/Name:Type`.

    `around` is the path of a loop that holds whole steps, which is none of the model's: it is looked through.
    """
    where, _, kind = name.rpartition(":")
    parts = where.split("/")
    loops = _begins(parts, _BODY)
    if loops and around and _inner(parts[: loops[0]]) == around:
        parts = parts[loops[0] + 2 :]
        # The names in its body begin with the loop's own once more.
        parts = parts[len(around) :] if tuple(parts[: len(around)]) == around else parts
        loops = _begins(parts, _BODY)
    deepest = max([*loops, *_begins(parts, _BRANCH)], default=-2)
    inside = _inner(parts[deepest + 2 : -1])
    if not loops:
        return Scope(inside[len(around) :] if inside[: len(around)] == around else inside, kind)
    loop = _inner(parts[: loops[0]])
    # Within the loop's body the names begin anew, mostly with the path of the loop itself.
    inside = inside[len(loop) :] if inside[: len(loop)] == loop else inside
    return Scope(_before_loop(loop) or inside, kind, loop, len(loops))


def _before_loop(loop: tuple[str, ...]) -> tuple[str, ...]:
    """Return whose loop it is; a backward one is named after the whole path of the forward one."""
    return loop[: next((place for place, part in enumerate(loop) if _WHILE.match(part)), -1)]


def _begins(parts: list[str], part: re.Pattern[str]) -> list[int]:
    """Return the places at which the copies of a loop's or a condition's part begin."""
    return [place for place in range(1, len(parts) - 1) if part.match(parts[place]) and _COPY.match(parts[place + 1])]


def _inner(parts: list[str]) -> tuple[str, ...]:
    return tuple(part for part in parts if not _AROUND.match(part))


def recurrent(path: tuple[str, ...]) -> bool:
    """Tell whether a loop belongs to a layer that goes through time."""
    return any(_RECURRENT.search(part) for part in path)


def maps(path: tuple[str, ...]) -> bool:
    """Tell whether a loop is that of a `tf.map_fn`."""
    return any(_MAP.match(part) for part in path)
