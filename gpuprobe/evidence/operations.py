"""The operations of a trace as named signals: which take most of the step, and what the input pipeline runs.

The signals: `operations` (the longest, in words), `operation_share` (of the longest), `dense_update_share` (an
optimizer that goes through all rows of a weight for the few of a batch), `loop`, `loop_share` and `loop_turns` (the
loop in the model's graph that takes longest, other than through time), `loop_maps`, `loop_left` (whose operations
gather what the turns of some loop made, though its own may be too short to be noted), `input_operations`,
`input_python_share`, `input_random` and `parsed_per_step`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.records import Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.device_facts import LoopFacts, OperationFacts
    from gpuprobe.ledger.records import CpuOp, DeviceBreakdown, HostBreakdown

OF_STEP, LEDGER = "of the step", "ledger"
SHOWN, SHOWN_TYPES, SHOWN_INPUT = 3, 3, 2
# Less of the step than this is no reason to name an operation.
WORTH_NAMING = 0.02
# A sparse gradient of which Keras's optimizers add up the rows, and what they then do to every row all the same.
SPARSE, DENSE = frozenset({"UnsortedSegmentSum"}), frozenset({"Sqrt", "Mul", "Sub", "RealDiv", "Square", "AddV2"})
# Calls into Python, which hold the interpreter's lock while they run.
PYTHON = frozenset({"PyFunc", "EagerPyFunc", "PyFuncStateless"})
# What a loop of TensorFlow's (`tf.while_loop`, `tf.map_fn`, `for` in AutoGraph) leaves of its turns.
GATHERING = frozenset({"TensorListStack", "TensorListConcat", "TensorListConcatV2", "TensorListGather"})
PARSING = frozenset({"ParseExample", "ParseExampleV2", "ParseSingleExample", "ParseSequenceExampleV2"})
RANDOM = ("Random", "StatelessRandom", "Multinomial", "TruncatedNormal", "SampleDistorted", "StatelessSampleDistorted")
NO_OPERATIONS = "the trace names no operation of the step"
NO_LOOP = "the trace shows no loop in the model's graph"
NO_PIPELINE = "the trace shows no operation of the input pipeline"


def operation_signals(device: DeviceBreakdown, host: HostBreakdown | None) -> list[Signal]:
    """Return what the trace tells of the operations of the step, and of those of the input pipeline."""
    return [*_of_step(device), *_loop(device), *_of_input(host, device.steps)]


def longest_loop(device: DeviceBreakdown) -> LoopFacts | None:
    """Return the loop in the model's graph that takes longest, forward and backward as one, other than through time."""
    loops = [loop for loop in device.loops if not loop.recurrent]
    longest = max(loops, key=lambda loop: loop.ms_per_step, default=None)
    if longest is None:
        return None
    # The forward and the backward one turn as often.
    same = [loop for loop in loops if round(loop.turns) == round(longest.turns)]
    return msgspec.structs.replace(
        longest,
        path=min((loop.path for loop in same), key=len),
        ms_per_step=sum(loop.ms_per_step for loop in same),
        busy_ms_per_step=sum(loop.busy_ms_per_step for loop in same),
        fraction=min(1.0, sum(loop.fraction for loop in same)),
        maps=any(loop.maps for loop in same),
    )


def dense_update_ms(device: DeviceBreakdown) -> float:
    """Return how long an optimizer goes through all rows of a weight in a step, for the few that a batch used."""
    return sum(one.ms_per_step for one in device.operations if _is_dense_update(one))


def computing_share(device: DeviceBreakdown) -> float:
    """Return how much of a processor's time in the training function some operation runs, 0 to 1; 1 for a GPU."""
    computes, starts = (device.ledger_ms.get(name, 0.0) for name in ("cpu_compute", "cpu_dispatch"))
    return computes / (computes + starts) if computes + starts else 1.0


def _of_step(device: DeviceBreakdown) -> list[Signal]:
    known = [one for one in device.operations if one.owner and one.fraction >= WORTH_NAMING]
    missing = None if device.operations else NO_OPERATIONS
    dense = dense_update_ms(device) / device.step_ms
    return [
        _signal("operations", "", _told(known) or None, missing or "no operation takes so much of it"),
        _signal("operation_share", OF_STEP, known[0].fraction if known else None, missing or "as operations"),
        _signal("dense_update_share", OF_STEP, None if missing else dense, missing),
    ]


def _told(known: Sequence[OperationFacts]) -> str:
    """Name the longest, each with its share of the step and its kinds of operation."""
    return "; ".join(
        f"{'the optimizer ' if one.of_optimizer else ''}{one.owner} {wording.share(one.fraction)} "
        f"({', '.join(list(one.types)[:SHOWN_TYPES])})"
        for one in known[:SHOWN]
    )


def _is_dense_update(one: OperationFacts) -> bool:
    return one.of_optimizer and bool(SPARSE & one.types.keys()) and bool(DENSE & one.types.keys())


def _loop(device: DeviceBreakdown) -> list[Signal]:
    longest, missing = longest_loop(device), None if device.operations else NO_OPERATIONS
    none = None if missing else 0.0
    return [
        _signal("loop", "", longest.path if longest else None, missing or NO_LOOP),
        _signal("loop_turns", "in a step", longest.turns if longest else none, missing),
        _signal("loop_share", OF_STEP, longest.fraction if longest else none, missing),
        _signal("loop_maps", "", longest.maps if longest else None if missing else False, missing),
        _signal("loop_left", "", _gathers(device), missing or NO_LOOP),
    ]


def _gathers(device: DeviceBreakdown) -> str | None:
    return next((one.owner for one in device.operations if one.owner and GATHERING & one.types.keys()), None)


def _of_input(host: HostBreakdown | None, steps: int) -> list[Signal]:
    ran: tuple[CpuOp, ...] = host.input_ops if host else ()
    total = sum(one.total_ms for one in ran)
    if host is None or not total:
        names = ("input_operations", "input_python_share", "input_random", "parsed_per_step")
        return [_signal(name, "", None, NO_PIPELINE) for name in names]
    python = sum(one.total_ms for one in ran if one.type in PYTHON)
    random = ", ".join(one.type for one in ran if one.type.startswith(RANDOM))
    parsed = sum(one.count for one in ran if one.type in PARSING)
    told = [f"{one.type} takes {wording.share(one.total_ms / total)}" for one in ran[:SHOWN_INPUT]]
    return [
        _signal("input_operations", "", wording.listing(told), None),
        _signal("input_python_share", "of the pipeline's operations", python / total, None),
        _signal("input_random", "", random, None),
        _signal("parsed_per_step", "calls a step", parsed / steps, None),
    ]


def _signal(name: str, unit: str, value: float | str | bool | None, missing: str | None) -> Signal:
    return Signal(name=name, unit=unit, source=LEDGER, value=value, missing=None if value is not None else missing)
