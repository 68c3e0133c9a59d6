"""The operations of a trace as named signals: which take most of the step, and what the input pipeline runs.

- Of the step: `operations` (the longest, in words), `operation_share` (of the longest of them), `dense_update_share`
  (an optimizer that updates all rows of a weight although the batch used few).
- Of its loops: `loop`, `loop_share`, `loop_turns`, `loop_maps` and `loop_recurrent` describe the longest loop in the
  model's graph, those of LSTM and GRU aside. `loop_left` names a layer that gathers the results of a loop: the loop's
  own operations may be too short for the profiler to record.
- Of the input pipeline: `input_operations`, `input_python_share`, `input_random`, `parsed_per_step`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.ledger.scopes import for_cudnn
from gpuprobe.records import Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.device_facts import LoopFacts, OperationFacts
    from gpuprobe.ledger.records import CpuOp, DeviceBreakdown, HostBreakdown

OF_STEP, LEDGER = "of the step", "ledger"
SHOWN, SHOWN_TYPES, SHOWN_INPUT = 3, 3, 2
# An operation that takes less of the step than this is not named.
WORTH_NAMING = 0.02
# How Keras's optimizers add up the rows of a sparse gradient, and the operations that then update every row.
SPARSE, DENSE = frozenset({"UnsortedSegmentSum"}), frozenset({"Sqrt", "Mul", "Sub", "RealDiv", "Square", "AddV2"})
# Calls into Python, which hold the interpreter's lock while they run.
PYTHON = frozenset({"PyFunc", "EagerPyFunc", "PyFuncStateless"})
# The operations that gather the results of a TensorFlow loop (`tf.while_loop`, `tf.map_fn`, `for` in AutoGraph).
GATHERING = frozenset({"TensorListStack", "TensorListConcat", "TensorListConcatV2", "TensorListGather"})
PARSING = frozenset({"ParseExample", "ParseExampleV2", "ParseSingleExample", "ParseSequenceExampleV2"})
RANDOM = ("Random", "StatelessRandom", "Multinomial", "TruncatedNormal", "SampleDistorted", "StatelessSampleDistorted")
NO_LAYER = "what is in no layer, such as metrics and losses,"
NO_OPERATIONS = "the trace names no operation of the step"
NONE_LONG = "no operation takes enough of the step to be named"
NO_LOOP = "the trace shows no loop in the model's graph"
NO_PIPELINE = "the trace shows no operation of the input pipeline"


def operation_signals(device: DeviceBreakdown, host: HostBreakdown | None) -> list[Signal]:
    """Return the signals about the operations of the step and of the input pipeline."""
    return [*_step_operations(device), *_loop_signals(device), *_input_operations(host, device.steps)]


def longest_loop(device: DeviceBreakdown) -> LoopFacts | None:
    """Return the longest loop in the model's graph, of both passes together, LSTM and GRU aside; else None."""
    loops = [loop for loop in device.loops if not for_cudnn(tuple(loop.path.split("/")))]
    longest = max(loops, key=lambda loop: loop.ms_per_step, default=None)
    if longest is None:
        return None
    # The loop of the backward pass has as many iterations as that of the forward pass.
    both_passes = [loop for loop in loops if round(loop.turns) == round(longest.turns)]
    return msgspec.structs.replace(
        longest,
        path=min((loop.path for loop in both_passes), key=len),
        ms_per_step=sum(loop.ms_per_step for loop in both_passes),
        busy_ms_per_step=sum(loop.busy_ms_per_step for loop in both_passes),
        fraction=min(1.0, sum(loop.fraction for loop in both_passes)),
        maps=any(loop.maps for loop in both_passes),
        recurrent=any(loop.recurrent for loop in both_passes),
    )


def dense_update_ms(device: DeviceBreakdown) -> float:
    """Return the ms per step in which an optimizer updates all rows of a weight although the batch used few."""
    return sum(facts.ms_per_step for facts in device.operations if _is_dense_update(facts))


def computing_share(device: DeviceBreakdown) -> float:
    """Return the share of a processor's training function in which an operation runs (0 to 1); 1 for a GPU."""
    computing_ms, dispatching_ms = (device.ledger_ms.get(name, 0.0) for name in ("cpu_compute", "cpu_dispatch"))
    in_function_ms = computing_ms + dispatching_ms
    return computing_ms / in_function_ms if in_function_ms else 1.0


def _step_operations(device: DeviceBreakdown) -> list[Signal]:
    # Where no layer is named, as in traces of other frameworks, the rest of the step has no name either.
    layers = any(facts.owner and not facts.of_optimizer for facts in device.operations)
    longest = [facts for facts in device.operations if (facts.owner or layers) and facts.fraction >= WORTH_NAMING]
    missing = None if device.operations else NO_OPERATIONS
    dense_share = sum(facts.fraction for facts in device.operations if _is_dense_update(facts))
    return [
        _signal("operations", "", _operations_in_words(longest) or None, missing or NONE_LONG),
        _signal("operation_share", OF_STEP, longest[0].fraction if longest else None, missing or NONE_LONG),
        _signal("dense_update_share", OF_STEP, None if missing else dense_share, missing),
    ]


def _operations_in_words(longest: Sequence[OperationFacts]) -> str:
    """Name the owners of the longest operations, each with its share of the step and its types of operation."""
    return "; ".join(
        f"{'the optimizer ' if facts.of_optimizer else ''}{facts.owner or NO_LAYER} "
        f"{wording.share(facts.fraction)} ({', '.join(list(facts.types)[:SHOWN_TYPES])})"
        for facts in longest[:SHOWN]
    )


def _is_dense_update(facts: OperationFacts) -> bool:
    return facts.of_optimizer and bool(SPARSE & facts.types.keys()) and bool(DENSE & facts.types.keys())


def _loop_signals(device: DeviceBreakdown) -> list[Signal]:
    longest, missing = longest_loop(device), None if device.operations else NO_OPERATIONS
    none = None if missing else 0.0
    return [
        _signal("loop", "", longest.path if longest else None, missing or NO_LOOP),
        _signal("loop_turns", "in a step", longest.turns if longest else none, missing),
        _signal("loop_share", OF_STEP, longest.fraction if longest else none, missing),
        _signal("loop_maps", "", longest.maps if longest else None if missing else False, missing),
        _signal("loop_recurrent", "", longest.recurrent if longest else None if missing else False, missing),
        _signal("loop_left", "", _owner_gathering_a_loop(device), missing or NO_LOOP),
    ]


def _owner_gathering_a_loop(device: DeviceBreakdown) -> str | None:
    return next((facts.owner for facts in device.operations if facts.owner and GATHERING & facts.types.keys()), None)


def _input_operations(host: HostBreakdown | None, steps: int) -> list[Signal]:
    operations: tuple[CpuOp, ...] = host.input_ops if host else ()
    total_ms = sum(operation.total_ms for operation in operations)
    if host is None or not total_ms:
        names = ("input_operations", "input_python_share", "input_random", "parsed_per_step")
        return [_signal(name, "", None, NO_PIPELINE) for name in names]
    python_ms = sum(operation.total_ms for operation in operations if operation.type in PYTHON)
    random = ", ".join(operation.type for operation in operations if operation.type.startswith(RANDOM))
    parsed = sum(operation.count for operation in operations if operation.type in PARSING)
    longest = [
        f"{operation.type} takes {wording.share(operation.total_ms / total_ms)}"
        for operation in operations[:SHOWN_INPUT]
    ]
    return [
        _signal("input_operations", "", wording.listing(longest), None),
        _signal("input_python_share", "of the pipeline's operations", python_ms / total_ms, None),
        _signal("input_random", "", random, None),
        _signal("parsed_per_step", "calls a step", parsed / steps, None),
    ]


def _signal(name: str, unit: str, value: float | str | bool | None, missing: str | None) -> Signal:
    return Signal(name=name, unit=unit, source=LEDGER, value=value, missing=None if value is not None else missing)
