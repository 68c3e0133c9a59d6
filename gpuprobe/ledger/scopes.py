"""The owner of an operation, by the path in its name: a layer, the optimizer, or a loop within the model.

TensorFlow names an operation by the scopes in which it was made, as `sequential_1/dense_1/MatMul:MatMul`. Some parts of
the path are no part of the model: the call of the function, `gradient_tape/` for the backward pass, `replica_1/`.
Operations within a `tf.while_loop` or `tf.map_fn` begin with the loop's own path, as `map/while/body/_5/map/while/Mul`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

_AROUND = re.compile(r"(?:(?:Stateful)?PartitionedCall|gradient_tape|gradients|replica|train_step|cond)(?:_\d+)?$")
# The name of a loop or condition that runs is followed by its part and the number of the part's copy.
_BODY, _BRANCH = re.compile(r"(?:body|cond)(?:_\d+)?$"), re.compile(r"(?:then|else)(?:_\d+)?$")
_WHILE = re.compile(r"while(?:_\d+)?$")
# A loop of either pass: that of the backward pass is `while_grad`.
_LOOP = re.compile(r"while(?:_\w+)?$")
_COPY = re.compile(r"_\d+$")
# Optimizers name their scope after themselves; the older ones of Keras have it twice, `Adam/Adam/update_14`.
_OPTIMIZER = re.compile(
    r"(?:sgd|adam|adamw|adamax|nadam|adagrad|adadelta|adafactor|rmsprop|ftrl|lion|lamb|muon|loss_scale_optimizer)"
    r"(?:_\d+)?$",
    re.IGNORECASE,
)
# Recurrent layers: each iteration needs the one before. Those of them that cuDNN can run are LSTM and GRU, also within
# Bidirectional, whose scope is around that of its layer; ConvLSTM is none.
_RECURRENT = re.compile(
    r"(?:^|_)(?:lstm|gru|rnn)(?:[123]d)?(?:_\d+)?(?:_|$)|recurrent|^bidirectional(?:_\d+)?$", re.IGNORECASE
)
_FOR_CUDNN = re.compile(r"(?:^|_)(?:lstm|gru)(?:_\d+)?(?:_|$)|^bidirectional(?:_\d+)?$", re.IGNORECASE)
_NOT_FOR_CUDNN = re.compile(r"conv_|rnn|recurrent", re.IGNORECASE)
_BIDIRECTIONAL = re.compile(r"bidirectional(?:_\d+)?$", re.IGNORECASE)
# The scope of `tf.map_fn`: its iterations do not need each other.
_MAP = re.compile(r"map(?:_\d+)?$")


@dataclass(frozen=True)
class Scope:
    """The origin of an operation: the `path` of scopes around it, its `type`, and the loop around it.

    `loop` is the path of the outermost loop, empty outside any loop; `depth` is the number of nested loops.
    """

    path: tuple[str, ...]
    type: str
    loop: tuple[str, ...] = ()
    depth: int = 0

    @cached_property
    def of_optimizer(self) -> bool:
        """Whether the operation belongs to the optimizer."""
        return any(_OPTIMIZER.match(part) for part in self.path[:2])


@lru_cache(maxsize=1 << 16)
def scope_of(name: str, around: tuple[str, ...] = ()) -> Scope:
    """Read the scope from an operation's name, `path/of/scopes/Name:Type`.

    `around` is the path of a loop that holds whole steps; it is left out, since it is no part of the model.
    """
    where, _, kind = name.rpartition(":")
    parts = where.split("/")
    loops = _copies_begin(parts, _BODY)
    if loops and around and _of_model(parts[: loops[0]]) == around:
        parts = parts[loops[0] + 2 :]
        # Names in its body begin with the loop's own path once more.
        parts = parts[len(around) :] if tuple(parts[: len(around)]) == around else parts
        loops = _copies_begin(parts, _BODY)
    deepest = max([*loops, *_copies_begin(parts, _BRANCH)], default=-2)
    inside = _of_model(parts[deepest + 2 : -1])
    if not loops:
        return Scope(inside[len(around) :] if inside[: len(around)] == around else inside, kind)
    loop = _of_model(parts[: loops[0]])
    # Names in a loop's body mostly begin with the path of the loop itself.
    inside = inside[len(loop) :] if inside[: len(loop)] == loop else inside
    return Scope(_owner_of_loop(loop) or inside, kind, loop, len(loops))


def _owner_of_loop(loop: tuple[str, ...]) -> tuple[str, ...]:
    """Return the path of a loop's owner; a loop of the backward pass contains the whole path of the forward one."""
    return loop[: next((index for index, part in enumerate(loop) if _WHILE.match(part)), -1)]


def _copies_begin(parts: list[str], part: re.Pattern[str]) -> list[int]:
    """Return the indices at which the copies of a loop's or condition's part begin."""
    return [index for index in range(1, len(parts) - 1) if part.match(parts[index]) and _COPY.match(parts[index + 1])]


def _of_model(parts: list[str]) -> tuple[str, ...]:
    return tuple(part for part in parts if not _AROUND.match(part))


def recurrent(path: tuple[str, ...]) -> bool:
    """Tell whether a loop belongs to a recurrent layer."""
    layer, around = _layer(_owner_of_loop(path))
    return bool(_RECURRENT.search(layer) or _BIDIRECTIONAL.match(around))


def for_cudnn(path: tuple[str, ...]) -> bool:
    """Tell whether a loop belongs, by its name, to a recurrent layer that cuDNN could run."""
    return _may_run_in_cudnn(*_layer(_owner_of_loop(path)))


def layer_for_cudnn(name: str) -> tuple[str, str] | None:
    """Return the recurrent layer that cuDNN could run in whose loop an operation is, and the path below the loop.

    The loop may lie within another, such as that of several steps in one call. None where there is no such layer.
    """
    parts = tuple(name.rpartition(":")[0].split("/"))
    for index in range(1, len(parts) - 1):
        if _LOOP.match(parts[index]):
            layer, around = _layer(parts[:index])
            if _may_run_in_cudnn(layer, around):
                return layer, "/".join(parts[index + 1 :])
    return None


def _layer(scopes: tuple[str, ...]) -> tuple[str, str]:
    """Return the innermost of these scopes and the one around it; empty where there is none."""
    around, layer = ("", "", *_of_model(list(scopes)))[-2:]
    return layer, around


def _may_run_in_cudnn(layer: str, around: str) -> bool:
    named = _FOR_CUDNN.search(layer) or _BIDIRECTIONAL.match(around)
    return bool(named) and not _NOT_FOR_CUDNN.search(layer)


def maps(path: tuple[str, ...]) -> bool:
    """Tell whether a loop belongs to a `tf.map_fn`."""
    return any(_MAP.match(part) for part in path)
