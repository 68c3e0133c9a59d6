"""Recurrent layers that cuDNN does not run: told by the operations of their loop, with the setting that did it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.records import Diagnosis, Finding
from gpuprobe.diagnosis.rules.recurrent import SHOWN_AS, with_loop
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.records import Evidence, Signal
from gpuprobe.thresholds import DEFAULTS, Thresholds
from tests.helpers.timelines import Made

CELL = ("MatMul", "Sigmoid", "Tanh", "Mul")


def looping(
    types: tuple[str, ...], layer: str = "lstm_1", *, gpu: bool = True, way: str = "while/body/_7/while"
) -> Made:
    """Three steps of 30 ms: 100 iterations of a cell, an operation each 0.06 ms, with a kernel of 0.01 ms each."""
    made = Made()
    for at in (0, 40, 80):
        made.host(at, at + 31, "train_function").host(at, at + 31, "EagerLocalExecute: __inference_f_1")
        for number in range(500):
            begin = at + number * 0.06
            made.host(
                begin,
                begin + 0.05,
                f"model/{layer}/{way}/cell/{types[number % len(types)]}_{number % 9}:{types[number % len(types)]}",
                "tf_Compute",
            )
            if gpu:
                made.kernel(begin + 0.04, begin + 0.05, launch=begin + 0.03, thread="tf_Compute")
    return made


def judged(made: Made) -> Diagnosis:
    return diagnose(Case(breakdown_of(made.timeline())))


def found(made: Made) -> Finding | None:
    return next((one for one in judged(made).findings if one.cause == "rnn_without_cudnn"), None)


@pytest.mark.parametrize(
    ("more", "setting"),
    [
        (("Relu",), 'activation="relu"'),
        (("StatelessRandomUniformV2",), "recurrent_dropout"),
        (("SelectV2",), "a mask"),
    ],
)
def test_a_loop_of_small_kernels_is_the_cause_and_names_its_setting(more: tuple[str, ...], setting: str) -> None:
    primary = judged(looping((*CELL, *more))).primary
    assert primary is not None
    assert (primary.cause, primary.confidence) == ("rnn_without_cudnn", "high")
    assert "lstm_1" in primary.claim
    assert f"cuDNN cannot run it with {setting}" in primary.claim
    assert "cuDNN" in primary.fix


def test_without_a_setting_nothing_shows_why_cudnn_does_not_run_the_layer_and_how_it_shows_leads() -> None:
    primary, beside = judged(looping(CELL)).primary, found(looping(CELL))
    assert primary is not None
    assert primary.cause == "launch_bound"
    assert beside is not None
    assert beside.confidence == "medium"
    assert "cuDNN cannot" not in beside.claim


@pytest.mark.parametrize(("masks", "told"), [(1, False), (4, True)])
def test_recurrent_dropout_draws_a_mask_for_each_gate_before_the_loop(masks: int, told: bool) -> None:
    """So Keras 3.15 names them in a trace of a training on a processor."""
    made = looping(CELL)
    for mask in range(masks):
        name = f"stateless_dropout_{mask}" if mask else "stateless_dropout"
        made.host(
            mask, mask + 0.02, f"StatefulPartitionedCall/functional_1/lstm_1/{name}/SelectV2:SelectV2", "tf_Compute"
        )
    primary = judged(made).primary
    assert primary is not None
    assert ("recurrent_dropout" in primary.claim) == told


@pytest.mark.parametrize("layer", ["gru", "my_lstm", "bidirectional/forward_lstm_1", "bidirectional_2/forward_encoder"])
def test_layers_that_cudnn_could_run(layer: str) -> None:
    assert found(looping(CELL, layer=layer)) is not None
    inside = looping(CELL, layer=f"while/body/_1/while/net/{layer}")
    assert found(inside) is not None


@pytest.mark.parametrize(
    ("types", "layer"),
    [
        (CELL, "encoder"),
        (CELL, "simple_rnn"),
        (CELL, "rnn"),
        (CELL, "conv_lstm2d"),
        (CELL, "bidirectional/forward_conv_lstm2d"),
        (CELL, "lstm_net/encoder"),
        (("MatMul", "Tanh"), "lstm_1"),
        (("MatMul", "Sigmoid", "Mul"), "gru"),
        (("Conv2D", "MatMul", "Sigmoid", "Tanh"), "lstm_1"),
        (("_MklMatMul", "Tanh"), "encoder"),
        (("Mul", "AddV2"), "encoder"),
    ],
)
def test_loops_that_cudnn_could_not_run_are_left_to_the_rules_of_loops(types: tuple[str, ...], layer: str) -> None:
    assert found(looping(types, layer=layer)) is None


def test_operations_outside_a_loop_are_slow_launches() -> None:
    primary = judged(looping(CELL, way="cell")).primary
    assert primary is not None
    assert primary.cause == "launch_bound"


def test_on_a_processor_every_recurrent_layer_is_a_loop_and_only_a_setting_tells() -> None:
    assert found(looping(CELL, gpu=False)) is None
    told = found(looping((*CELL, "Relu"), gpu=False))
    assert told is not None
    assert told.confidence == "medium"
    assert "On a GPU" in told.claim


def test_on_a_processor_the_loop_leads_where_it_is_most_of_the_step_and_how_it_shows_comes_after() -> None:
    made = looping((*CELL, "Relu"), gpu=False)
    for at in (0, 40, 80):
        made.host(at + 31, at + 39.9, "train_function").host(
            at + 31, at + 39.9, "model/conv/Conv2D:Conv2D", "tf_Compute"
        )
    first, *rest = judged(made).findings
    assert (first.cause, first.primary, first.confidence) == ("rnn_without_cudnn", True, "medium")
    assert rest[0].cause in SHOWN_AS
    assert (rest[0].primary, rest[0].symptom_of) == (False, "rnn_without_cudnn")
    # Where it is no more than half, or of a GPU, all is as it was.
    before = (replace(first, primary=False), replace(rest[0], primary=True, symptom_of=None), *rest[1:])
    processor = Evidence(signals=(Signal(name="device_kind", unit="", source="test", value="cpu"),))
    assert with_loop(before, processor, DEFAULTS)[0].cause == "rnn_without_cudnn"
    assert with_loop(before, Evidence(), DEFAULTS) == before
    assert with_loop(before, processor, Thresholds(mostly=0.99)) == before
