"""Functions that Python calls beside the training function, such as those of `predict` and `evaluate`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.intervals import difference, holds, intersection, join, union
from gpuprobe.ledger.names import Kind
from gpuprobe.ledger.records import OtherCalls
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.steps import Windows

# The name that Python knows a compiled function by, in TensorFlow's event of its call.
_OF_FUNCTION = re.compile(r".*__inference_(.+?)_\d+$")
NAMED = 2


def other_calls(host: TracedHost, windows: Windows) -> OtherCalls | None:
    """Describe the calls of other functions in the steps, and the passes over datasets that begin beside them.

    None where there are none, or the training function is not known for sure. What a pass needs before its first batch
    (its iterator, the graphs of its dataset) counts as part of the calls.
    """
    if windows.inside is None or not windows.named:
        return None
    window = difference(union(windows.start_ps, windows.end_ps), windows.inside)
    passes, spans, of_function = 0, [], dict[str, int]()
    for place, thread in enumerate(host.threads):
        events, kinds = thread.events, host.kinds[place]
        beside = ~holds(windows.inside, events.start_ps) & holds(window, events.start_ps)
        passes += int(np.count_nonzero(beside & ((kinds & Kind.PASS) != 0)))
        calls = np.flatnonzero(beside & ((kinds & (Kind.CALL | Kind.FUNCTION)) != 0))
        chosen = beside & ((kinds & (Kind.CALL | Kind.FUNCTION | Kind.PASS)) != 0)
        spans.append(union(events.start_ps[chosen], events.end_ps[chosen]))
        for call in calls.tolist():
            name = host.names[int(events.name[call])]
            if match := _OF_FUNCTION.match(name):
                of_function[match[1]] = of_function.get(match[1], 0) + int(events.duration_ps[call])
    if passes:
        # Python builds the graphs of a dataset's maps before the pass begins.
        spans.append(host.select(Kind.GRAPH))
    time = intersection(join(spans), window)
    if not len(time):
        return None
    return OtherCalls(
        functions=tuple(sorted(of_function, key=lambda name: -of_function[name])[:NAMED]),
        ms_per_step=time.total / PS_PER_MS / len(windows),
        passes_per_step=passes / len(windows),
    )
