"""Recurrent layers that run as a loop of small operations, and the setting that rules cuDNN out for them."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.device_facts import RecurrentFacts
from gpuprobe.ledger.intervals import Intervals, intersection, join, union
from gpuprobe.ledger.names import Kind
from gpuprobe.ledger.scopes import layer_for_cudnn
from gpuprobe.ledger.stages import THREADS
from gpuprobe.thresholds import fixed
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.steps import Windows

WITHIN_PS = int(fixed.LOOP_PAUSE_MS * PS_PER_MS)
# Activations that cuDNN cannot compute, as types of operation in the loop (Keras's conditions for `use_cudnn`).
_OTHER_ACTIVATIONS = ("Relu", "Relu6", "Elu", "Selu", "Softplus", "Softsign", "LeakyRelu")
# The gates of an LSTM's or GRU's cell have one activation and its state another: sigmoid and tanh, if none is chosen.
_ACTIVATIONS = frozenset(("Sigmoid", "Tanh", *_OTHER_ACTIVATIONS))
# oneDNN's operations on a processor have the names of TensorFlow's with a prefix.
_ONEDNN = re.compile(r"_Mkl(?:Native)?")
# Keras 3 draws the dropout masks before the loop: one for the inputs, and with recurrent dropout one for each gate. A
# GRU has three gates, an LSTM four (keras/src/layers/rnn/lstm.py, `dropout_mask_count`).
_DRAWN = re.compile(r"(?:.*?/)??([^/]+)/(stateless_dropout(?:_\d+)?)/")
GATES = 3
_RANDOM, _MASK = re.compile(r"\w*Random\w*"), ("Select", "SelectV2")


@dataclass(frozen=True)
class _Loop:
    """The loop of one layer: when it runs, the number of its operations, their types, and whether it has dropout."""

    time: Intervals
    operations: int
    types: frozenset[str]
    dropout: bool

    def is_of_a_cell(self, short_too: bool) -> bool:
        """Whether the operations may be an LSTM's or GRU's; without the short ones, their activations may be missing.

        Another layer, or a loop of the user's own, may have such a name too.
        """
        multiplies = any("MatMul" in name for name in self.types) and not any("Conv" in name for name in self.types)
        return multiplies and (not short_too or len(self.types & _ACTIVATIONS) > 1)


def recurrent_facts(host: TracedHost, windows: Windows, part: Intervals, *, short_too: bool) -> RecurrentFacts | None:
    """Describe the LSTM or GRU whose loop takes most of a part of the steps; None where there is no such loop.

    `short_too` says whether the trace shows operations of any length: a processor's leaves short ones out.
    """
    loops = {layer: loop for layer, loop in _loops(host).items() if loop.is_of_a_cell(short_too)}
    layer = max(loops, key=lambda name: intersection(loops[name].time, part).total, default=None)
    if layer is None:
        return None
    loop, steps = loops[layer], union(windows.start_ps, windows.end_ps)
    return RecurrentFacts(
        layer=layer,
        time_fraction=intersection(join([other.time for other in loops.values()]), part).total / max(steps.total, 1),
        operations_per_step=loop.operations / len(windows),
        setting=_setting(loop),
    )


def _loops(host: TracedHost) -> dict[str, _Loop]:
    """Return the loops of layers that cuDNN could run, as operations outside the input pipeline, by their layer."""
    in_loops = {number: found for number, name in enumerate(host.names) if (found := layer_for_cudnn(name)) is not None}
    masks_drawn = {match.groups() for name in host.names if (match := _DRAWN.match(name))}
    of_layer: dict[str, list[int]] = defaultdict(list)
    for number, (layer, _) in in_loops.items():
        of_layer[layer].append(number)
    loops = {}
    for layer, names in of_layer.items():
        spans, count = [], 0
        for index, thread in enumerate(host.threads):
            if thread.name.startswith(THREADS):
                continue
            chosen = np.isin(thread.events.name, names) & ((host.kinds[index] & Kind.OP) != 0)
            start, end = thread.events.start_ps[chosen], thread.events.end_ps[chosen]
            spans.append(union(start, end + WITHIN_PS))
            count += len(start)
        if count:
            time = join(spans)
            types = frozenset(_ONEDNN.sub("", host.names[number].rpartition(":")[2], count=1) for number in names)
            masks = sum(masked_layer == layer for masked_layer, _ in masks_drawn)
            dropout = masks >= GATES or any("dropout" in in_loops[number][1] for number in names)
            loops[layer] = _Loop(Intervals(time.start, time.end - WITHIN_PS), count, types, dropout)
    return loops


def _setting(loop: _Loop) -> str:
    """Return the setting that rules cuDNN out for the layer; empty where the operations do not show it."""
    other = next((name for name in _OTHER_ACTIVATIONS if name in loop.types), None)
    if other is not None:
        return f'activation="{other.lower()}"'
    if loop.dropout or any(map(_RANDOM.fullmatch, loop.types)):
        return "recurrent_dropout"
    return "a mask" if loop.types.intersection(_MASK) else ""
