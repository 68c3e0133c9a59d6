"""Who asked for the operations of a step, which take most of it, and a loop that takes the samples one by one."""

from __future__ import annotations

from typing import Any

import pytest

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.diagnosis.rules.operations import loop_through_time, serial_loop
from gpuprobe.evidence.run import loop_signals
from gpuprobe.ledger.breakdown import break_down, breakdown_of
from gpuprobe.ledger.records import DeviceBreakdown
from gpuprobe.ledger.scopes import for_cudnn, maps, recurrent, scope_of
from gpuprobe.records import Evidence, GraphLoop, Signal
from gpuprobe.thresholds import DEFAULTS
from gpuprobe.whatif.predict import predict
from tests.helpers.timelines import Made

LOOP = ("net", "attend", "map", "while")
CALL = "StatefulPartitionedCall"
MAP = f"{CALL}/net/attend/map/while/body/_9/net/attend/map/while"
BACK = (
    f"{CALL}/gradient_tape/net/attend/map/while/net/attend/map/while_grad/body/_70/gradient_tape/net/attend/map/while"
)


@pytest.mark.parametrize(
    ("name", "path", "loop", "depth"),
    [
        ("net/dense/Relu:_FusedMatMul", ("net", "dense"), (), 0),
        (f"{CALL}/gradient_tape/net/dense/MatMul/MatMul_1:MatMul", ("net", "dense", "MatMul"), (), 0),
        ("replica_1/net/dense/MatMul:MatMul", ("net", "dense"), (), 0),
        (f"{CALL}/adam/Sqrt_1:Sqrt", ("adam",), (), 0),
        ("Adam/Adam/update_14/ResourceApplyAdam:ResourceApplyAdam", ("Adam", "Adam", "update_14"), (), 0),
        (f"{MAP}/MatMul:MatMul", ("net", "attend", "map"), LOOP, 1),
        (f"{BACK}/MatMul:MatMul", ("net", "attend", "map"), (*LOOP, "net", "attend", "map", "while_grad"), 1),
        ("while/body/_1/while/sort:TopKV2", (), ("while",), 1),
        ("while/body/_1/while/cond/then/_95/while/cond/net/dense/MatMul:MatMul", ("net", "dense"), ("while",), 1),
        ("net/cond/then/_3/net/cond/dense/MatMul:MatMul", ("net", "dense"), (), 0),
        (f"{MAP}/while/body/_11/net/attend/map/while/while/Mul:Mul", ("net", "attend", "map"), LOOP, 2),
        ("PyFunc:PyFunc", (), (), 0),
    ],
)  # fmt: skip
def test_where_an_operation_comes_from(name: str, path: tuple[str, ...], loop: tuple[str, ...], depth: int) -> None:
    found = scope_of(name)
    assert (found.path, found.loop, found.depth) == (path, loop, depth)
    assert found.type == name.rpartition(":")[2]


def test_a_loop_over_steps_is_looked_through() -> None:
    name = "while/body/_1/while/StatefulPartitionedCall/adam/Sqrt:Sqrt"
    assert scope_of(name).of_optimizer
    assert scope_of(name, ("while",)) == scope_of("adam/Sqrt:Sqrt")
    inner = scope_of(f"while/body/_1/while/{MAP}/Mul:Mul", ("while",))
    assert (inner.loop, inner.depth) == (LOOP, 1)


@pytest.mark.parametrize(
    ("layer", "cudnn"),
    [
        ("lstm_1", True),
        ("gru", True),
        ("bidirectional_1", True),
        ("forward_lstm_1", True),
        ("simple_rnn_2", False),
        ("rnn", False),
        ("conv_lstm2d_1", False),
    ],
)
def test_layers_that_go_through_time(layer: str, cudnn: bool) -> None:
    assert recurrent(("net", layer, "while"))
    assert for_cudnn(("net", layer, "while")) is cudnn
    assert not maps(("net", layer, "while"))


@pytest.mark.parametrize("layer", ["attend", "learned_1", "grumble"])
def test_layers_that_do_not(layer: str) -> None:
    assert not recurrent(("net", layer, "while"))
    assert not recurrent(("lstm_net", layer, "while"))


def stepped(steps: int, operations: list[tuple[float, float, str]]) -> Made:
    """Steps of 100 ms on a processor, in each of them these operations: begin and end in ms, and the name."""
    made = Made()
    for step in range(steps):
        at = 100.0 * step
        made.host(at, at + 100, "train", step=step)
        made.host(at, at + 98, f"EagerLocalExecute: __inference_one_step_on_data_{step}")
        for begin, end, name in operations:
            made.host(at + begin, at + end, name, thread="tf_Compute/1")
    return made


def device(made: Made) -> DeviceBreakdown:
    (found,) = breakdown_of(made.timeline()).devices
    return found


def test_the_optimizer_and_the_layers_are_told_apart() -> None:
    made = stepped(
        4,
        [
            (1, 51, f"{CALL}/adam/Sqrt:Sqrt"),
            (51, 61, f"{CALL}/adam/Mul:Mul"),
            (61, 71, f"{CALL}/net/dense_1/MatMul:MatMul"),
            (71, 81, f"{CALL}/gradient_tape/net/dense_1/MatMul/MatMul:MatMul"),
            (81, 86, f"{CALL}/net/dense_2/MatMul:MatMul"),
            (86, 88, f"{CALL}/net/flatten/Reshape:Reshape"),
        ],
    )
    owners = {one.owner: one for one in device(made).operations}
    assert [one.owner for one in device(made).operations] == ["adam", "net/dense_1", "net/dense_2", "net/flatten"]
    assert owners["adam"].of_optimizer
    assert owners["adam"].fraction == pytest.approx(0.6, abs=0.01)
    assert list(owners["adam"].types) == ["Sqrt", "Mul"]
    assert owners["net/dense_1"].ms_per_step == pytest.approx(20)
    assert owners["net/dense_1"].count == 2


def test_operations_that_run_at_once_count_once() -> None:
    made = stepped(4, [(1, 41, f"{CALL}/net/a/Mul:Mul"), (21, 61, f"{CALL}/net/a/Add:Add")])
    assert device(made).operations[0].ms_per_step == pytest.approx(60)


def looped(turns: int, length: float, name: str = f"{MAP}/MatMul:MatMul") -> Made:
    body = [(5 + turn * length, 5 + (turn + 0.5) * length, name) for turn in range(turns)]
    return stepped(4, [*body, (90, 92, f"{CALL}/net/dense/MatMul:MatMul"), (93, 95, f"{CALL}/adam/Mul:Mul")])


def test_a_loop_is_counted_from_its_first_turn_to_its_last() -> None:
    (loop,) = device(looped(16, 5)).loops
    assert (loop.path, loop.turns, loop.maps, loop.recurrent) == ("net/attend/map/while", 16, True, False)
    assert loop.ms_per_step == pytest.approx(77.5)
    assert loop.busy_ms_per_step == pytest.approx(40)


def test_the_gain_of_a_loop_written_for_the_batch_is_that_of_the_loop() -> None:
    made = predict(break_down(looped(16, 5).timeline())).of("loop_vectorised")
    assert made is not None
    # One turn of 4.8 ms and half of the 40 ms in which it computed stay of 77.5 ms.
    assert made.step_ms == pytest.approx(100 - 77.5 + 4.8 + 20, abs=3)
    assert made.low_ms < made.step_ms < made.high_ms
    plain = stepped(4, [(1, 90, f"{CALL}/net/dense/MatMul:MatMul")]).timeline()
    assert predict(break_down(plain)).of("loop_vectorised") is None


def verdict(made: Made, **known: Any) -> Finding:
    setting = [Signal(name=name, unit="", source="test", value=value) for name, value in known.items()]
    broken = break_down(made.timeline())
    found = diagnose(Case(broken.breakdown, predict(broken), settings=tuple(setting))).primary
    assert found is not None
    return found


def test_a_loop_over_the_samples_leads() -> None:
    found = verdict(looped(16, 5), batch_size=16.0)
    assert (found.cause, found.confidence) == ("serial_loop", "high")
    assert "net/attend/map/while" in found.claim
    assert "vectorized_map" in found.code


@pytest.mark.parametrize(
    ("name", "batch", "cause"),
    [
        (f"{MAP}/MatMul:MatMul", None, True),
        (f"{CALL}/net/own/while/body/_9/net/own/while/MatMul:MatMul", 16.0, True),
        (f"{CALL}/net/own/while/body/_9/net/own/while/MatMul:MatMul", 20.0, True),
        (f"{CALL}/net/own/while/body/_9/net/own/while/MatMul:MatMul", 64.0, False),
        (f"{CALL}/net/own/while/body/_9/net/own/while/MatMul:MatMul", None, False),
        (f"{CALL}/net/lstm_1/while/body/_9/net/lstm_1/while/lstm_cell/MatMul:MatMul", 16.0, False),
    ],
)
def test_a_loop_through_time_is_none_over_samples(name: str, batch: float | None, cause: bool) -> None:
    known = {} if batch is None else {"batch_size": batch}
    assert (verdict(looped(16, 5, name), **known).cause == "serial_loop") is cause


@pytest.mark.parametrize("batch", [16.0, 64.0, None])
def test_the_loop_of_another_recurrent_layer_is_one_through_time_whatever_the_batch(batch: float | None) -> None:
    name = f"{CALL}/net/conv_lstm2d/while/body/_9/net/conv_lstm2d/while/Conv2D:Conv2D"
    known = {} if batch is None else {"batch_size": batch}
    timeline = looped(16, 5, name).timeline()
    settings = tuple(Signal(name=name, unit="", source="test", value=value) for name, value in known.items())
    findings = {one.cause: one for one in diagnose(Case(breakdown_of(timeline), settings=settings)).findings}
    assert findings["loop_through_time"].confidence == "medium"
    assert findings.keys().isdisjoint({"serial_loop", "rnn_without_cudnn"})


def test_a_loop_that_nobody_can_tell_of_is_named_beside_the_cause() -> None:
    timeline = looped(16, 5, f"{CALL}/net/own/while/body/_9/net/own/while/MatMul:MatMul").timeline()
    first, *others = diagnose(Case(breakdown_of(timeline))).findings
    assert first.cause != "serial_loop"
    (found,) = [other for other in others if other.cause == "serial_loop"]
    assert found.confidence == "medium"
    assert "16 times a step" in found.claim


@pytest.mark.parametrize(("share", "turns", "found"), [(0.21, 8, True), (0.19, 8, False), (0.21, 7, False)])
def test_a_loop_that_costs_little_is_none(share: float, turns: float, found: bool) -> None:
    values: dict[str, Any] = {"loop_share": share, "loop_turns": turns, "loop_maps": True, "loop": "map/while"}
    signals = tuple(Signal(name=name, unit="", source="test", value=value) for name, value in values.items())
    assert isinstance(serial_loop(Evidence(signals=signals), DEFAULTS), Finding) is found


def test_without_operations_a_loop_is_not_decided() -> None:
    assert isinstance(serial_loop(Evidence(), DEFAULTS), NotEvaluated)


OWN = f"{CALL}/net/own/while/body/_9/net/own/while/MatMul:MatMul"
GRAPH: dict[str, Any] = {
    "graph_loop": "net/own/while",
    "graph_loop_turns": 16.0,
    "graph_loop_started": 0.9,
    "graph_loop_serial": True,
    "graph_loop_linear": False,
}


def test_a_loop_whose_turns_need_one_another_is_never_to_be_vectorised() -> None:
    found = verdict(looped(16, 5, OWN), batch_size=16.0, **GRAPH)
    assert (found.cause, found.confidence) == ("loop_through_time", "high")
    assert "net/own/while, takes 78 % of the step: it runs 16 times in each step" in found.claim
    assert "vector" not in found.fix + found.code
    assert found.predicted_gain is None


def test_turns_that_only_scale_and_add_are_one_product() -> None:
    found = verdict(looped(16, 5, OWN), batch_size=64.0, **(GRAPH | {"graph_loop_linear": True}))
    assert (found.cause, found.stage) == ("loop_through_time", "linear")
    assert "einsum" in found.code


def test_turns_that_need_no_other_may_run_at_once_whatever_a_batch_has() -> None:
    found = verdict(looped(16, 5, OWN), batch_size=64.0, **(GRAPH | {"graph_loop_serial": False}))
    assert (found.cause, found.confidence) == ("serial_loop", "high")


@pytest.mark.parametrize(
    ("starting", "started", "found"), [(0.3, 0.81, True), (0.3, 0.79, False), (0.2, 0.81, False), (None, 0.9, False)]
)
def test_a_loop_of_short_operations_takes_what_starting_them_takes(
    starting: float | None, started: float, found: bool
) -> None:
    values = {**GRAPH, "graph_loop_started": started, "loop_share": 0.0, "loop_turns": 0.0, "loop_maps": False}
    values |= {} if starting is None else {"share.overhead": starting}
    signals = tuple(Signal(name=name, unit="", source="test", value=value) for name, value in values.items())
    assert isinstance(loop_through_time(Evidence(signals=signals), DEFAULTS), Finding) is found


def test_without_the_graph_a_loop_that_is_none_over_samples_is_named_less_surely() -> None:
    timeline = looped(16, 5, OWN).timeline()
    known = (Signal(name="batch_size", unit="", source="test", value=64.0),)
    first, *others = diagnose(Case(breakdown_of(timeline), settings=known)).findings
    assert first.cause != "loop_through_time"
    (found,) = [other for other in others if other.cause == "loop_through_time"]
    assert (found.confidence, "vector" in found.fix) == ("medium", False)


@pytest.mark.parametrize(("device", "loops", "known"), [("cpu", None, False), ("cpu", (), True), ("gpu", None, True)])
def test_a_graph_that_is_not_shown_leaves_short_loops_of_a_processor_undecided(
    device: str, loops: tuple[GraphLoop, ...] | None, known: bool
) -> None:
    values: dict[str, Any] = {"loop_share": 0.0, "loop_turns": 0.0, "loop_maps": False, "device_kind": device}
    signals = tuple(Signal(name=name, unit="", source="test", value=value) for name, value in values.items())
    for rule in (serial_loop, loop_through_time):
        decided = rule(Evidence(signals=(*signals, *loop_signals(loops))), DEFAULTS)
        assert (decided is None) is known
        if not known:
            assert isinstance(decided, NotEvaluated)
            assert "does not show the graph" in decided.reason


def test_what_computes_most_is_named() -> None:
    found = verdict(
        stepped(4, [(1, 95, f"{CALL}/net/dense/MatMul/MatMul:MatMul"), (95, 97, f"{CALL}/net/out/Mul:Mul")])
    )
    assert found.cause == "compute_bound"
    assert "net/dense 94 % (MatMul)" in found.claim


def test_what_is_in_no_layer_is_named_beside_layers_alone() -> None:
    metric, layer = f"{CALL}/Cumsum_1:Cumsum", f"{CALL}/net/dense/MatMul/MatMul:MatMul"
    found = verdict(stepped(4, [(1, 70, metric), (70, 97, layer)]))
    assert "what is in no layer, such as metrics and losses, 69 % (Cumsum); net" in found.claim
    assert "no layer" not in verdict(stepped(4, [(1, 97, metric)])).claim


@pytest.mark.parametrize(("update", "cause"), [(60.0, "dense_update"), (40.0, "compute_bound")])
def test_an_update_of_all_rows_for_few_is_a_cause_of_its_own(update: float, cause: str) -> None:
    operations = [
        (1.0, update - 10, f"{CALL}/adam/Mul:Mul"),
        (update - 10, update + 1, f"{CALL}/adam/UnsortedSegmentSum:UnsortedSegmentSum"),
        (update + 1, 97.0, f"{CALL}/net/dense/MatMul:MatMul"),
    ]
    found = verdict(stepped(4, operations))
    assert (found.cause, found.confidence) == (cause, "high")
    assert ("SGD" in found.code) == (cause == "dense_update")
    if cause == "dense_update":
        assert "the optimizer adam 60 %" in found.claim
        assert found.predicted_gain is not None
        assert found.predicted_gain.low is not None
