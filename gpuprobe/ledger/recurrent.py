"""Recurrent layers that run as a loop of small operations, and the setting that keeps cuDNN from running them whole."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.device_facts import RecurrentFacts
from gpuprobe.ledger.intervals import Intervals, intersection, join, union
from gpuprobe.ledger.names import Kind
from gpuprobe.ledger.stages import THREADS
from gpuprobe.thresholds import fixed
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.steps import Windows

# An operation in a loop of TensorFlow: the layer whose loop it is, what lies below it, and its type.
_IN_A_LOOP = re.compile(r"(?:.*?/)??([^/]+)/while(?:_\w+)?/(.*):(\w+)$")
# How Keras calls recurrent layers, and what their cells compute with, whatever they are called.
_LAYER = re.compile(r"\w*(?:lstm|gru|rnn|recurrent)\w*", re.IGNORECASE)
_CELL = frozenset(("MatMul", "Tanh"))
WITHIN_PS = int(fixed.LOOP_PAUSE_MS * PS_PER_MS)
# What cuDNN cannot do, by the types of operations that do it in the loop: Keras's conditions for `use_cudnn`.
_OTHER_ACTIVATIONS = ("Relu", "Relu6", "Elu", "Selu", "Softplus", "Softsign", "LeakyRelu")
# oneDNN's operations on a processor are called after TensorFlow's.
_ONEDNN = re.compile(r"_Mkl(?:Native)?")
# Keras 3 draws the masks of dropout before the loop: one for the inputs, and with recurrent dropout one for each gate,
# of which a GRU has three and an LSTM four (keras/src/layers/rnn/lstm.py, `dropout_mask_count`).
_DRAWN = re.compile(r"(?:.*?/)??([^/]+)/(stateless_dropout(?:_\d+)?)/")
GATES = 3
_RANDOM, _MASK = re.compile(r"\w*Random\w*"), ("Select", "SelectV2")


@dataclass(frozen=True)
class _Loop:
    """The loop of one layer: when it runs, how many operations, their types, and whether dropout is among them."""

    time: Intervals
    operations: int
    types: frozenset[str]
    dropout: bool


def recurrent_facts(host: TracedHost, windows: Windows, part: Intervals) -> RecurrentFacts | None:
    """Describe the recurrent layer whose loop takes most of a part of the steps; None where there is none."""
    found = {layer: loop for layer, loop in _loops(host).items() if _LAYER.fullmatch(layer) or loop.types >= _CELL}
    layer = max(found, key=lambda name: intersection(found[name].time, part).total, default=None)
    if layer is None:
        return None
    loop, steps = found[layer], union(windows.start_ps, windows.end_ps)
    return RecurrentFacts(
        layer=layer,
        time_fraction=intersection(join([one.time for one in found.values()]), part).total / max(steps.total, 1),
        operations_per_step=loop.operations / len(windows),
        setting=_setting(loop),
    )


def _loops(host: TracedHost) -> dict[str, _Loop]:
    """Return the loops of operations that any thread outside the input pipeline runs, by the layer that they are in."""
    told = {number: match for number, name in enumerate(host.names) if (match := _IN_A_LOOP.match(name))}
    drawn = {match.groups() for name in host.names if (match := _DRAWN.match(name))}
    of_layer: dict[str, list[int]] = {}
    for number, match in told.items():
        of_layer.setdefault(match[1], []).append(number)
    found = {}
    for layer, names in of_layer.items():
        spans, count = [], 0
        for place, thread in enumerate(host.threads):
            if thread.name.startswith(THREADS):
                continue
            chosen = np.isin(thread.events.name, names) & ((host.kinds[place] & Kind.OP) != 0)
            start, end = thread.events.start_ps[chosen], thread.events.end_ps[chosen]
            spans.append(union(start, end + WITHIN_PS))
            count += len(start)
        if count:
            time = join(spans)
            types = frozenset(_ONEDNN.sub("", told[number][3], count=1) for number in names)
            masks = sum(of == layer for of, _ in drawn)
            dropout = masks >= GATES or any("dropout" in told[number][2] for number in names)
            found[layer] = _Loop(Intervals(time.start, time.end - WITHIN_PS), count, types, dropout)
    return found


def _setting(loop: _Loop) -> str:
    """Say which setting keeps cuDNN from running the layer; empty where the operations do not show it."""
    other = next((name for name in _OTHER_ACTIVATIONS if name in loop.types), None)
    if other is not None:
        return f'activation="{other.lower()}"'
    if loop.dropout or any(map(_RANDOM.fullmatch, loop.types)):
        return "recurrent_dropout"
    return "a mask" if loop.types.intersection(_MASK) else ""
