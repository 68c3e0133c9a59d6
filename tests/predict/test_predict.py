"""Predictions against the public table, the network's own weights, and studies whose truth is known."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe.cards import Card, cards, find
from gpuprobe.errors import UsageError
from gpuprobe.predict.card import predict_card
from gpuprobe.predict.compare import compare_card, compare_study
from gpuprobe.predict.layers import resnet_v1
from gpuprobe.predict.published import CALIBRATION_DEPTH, TABLE_BATCH, TABLE_CARD, TABLE_EPOCH_S, table_host
from gpuprobe.predict.study import Predictions, predict_from, remember
from gpuprobe.predict.work import train_step
from gpuprobe.recording import STUDY_FILE
from gpuprobe.records import Study, load, save
from tests.helpers.program import ROOT, Cli
from tests.helpers.studies import SimulatedStrategy, simulate_study

DEPTHS = st.integers(1, 20).map(lambda n: 6 * n + 2)


@pytest.mark.parametrize("depth", [depth for depth in TABLE_EPOCH_S if depth != CALIBRATION_DEPTH])
def test_other_rows_of_the_table_follow_from_its_first(depth: int) -> None:
    epoch_s = predict_card(find(TABLE_CARD), depth, TABLE_BATCH).epoch_s
    assert epoch_s.value == pytest.approx(TABLE_EPOCH_S[depth], rel=0.15)
    assert epoch_s.low <= TABLE_EPOCH_S[depth] <= epoch_s.high


def test_the_deepest_row_is_met_better_than_by_depth_alone() -> None:
    deepest = max(TABLE_EPOCH_S)
    off = predict_card(find(TABLE_CARD), deepest, TABLE_BATCH).epoch_s.value / TABLE_EPOCH_S[deepest] - 1
    depth_alone = TABLE_EPOCH_S[CALIBRATION_DEPTH] * deepest / CALIBRATION_DEPTH / TABLE_EPOCH_S[deepest] - 1
    assert abs(off) < 0.5 * depth_alone


def test_only_one_row_calibrates(monkeypatch: pytest.MonkeyPatch) -> None:
    before = predict_card(find(TABLE_CARD), 110, TABLE_BATCH)
    for depth in TABLE_EPOCH_S:
        if depth != CALIBRATION_DEPTH:
            monkeypatch.setitem(TABLE_EPOCH_S, depth, 1.0)
    assert predict_card(find(TABLE_CARD), 110, TABLE_BATCH) == before


def test_a_calibration_row_that_its_card_bounds_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLE_EPOCH_S, CALIBRATION_DEPTH, 15.0)
    with pytest.raises(UsageError, match="bound by its card"):
        table_host()


def test_the_story_is_slower_than_its_card_explains() -> None:
    found = predict_card(find("NVIDIA GeForce GTX 1060 3GB"), 20, 32)
    assert found.binds == "launch"
    assert found.card_bound_epoch_s.value == pytest.approx(35 * 11.34 / 3.935, rel=0.01)
    compared = compare_card(found, 170.0)
    assert compared.answer == "slower than the card explains"
    assert compared.unexplained_s == pytest.approx(170 - found.card_bound_epoch_s.high)
    assert compared.share_of_peak == pytest.approx(0.02, abs=0.003)
    # TensorFlow's GPU guide gives 20 to 40 us for a launch; the table's host was faster.
    assert found.launch_us.high < 20 < (compared.launch_us or 0) < 41


@pytest.mark.parametrize(
    ("measured_s", "answer"),
    [(20.0, "faster"), (35.0, "as expected"), (80.0, "slower"), (120.0, "slower than the card explains")],
)
def test_a_measured_epoch_is_placed(measured_s: float, answer: str) -> None:
    assert compare_card(predict_card(find("GTX 1060 3GB"), 20, 32), measured_s).answer == answer


def test_layers_are_those_of_the_network() -> None:
    # Weights of the Keras example at depth 20, less the moving averages of its norms.
    layers = resnet_v1(20)
    moving = sum(layer.weights for layer in layers if layer.kind == "norm")
    assert sum(layer.weights for layer in layers) + moving == 274_442
    assert sum(layer.kind == "convolution" for layer in layers) == 19 + 2
    # TensorFlow's profiler counts 248.7 MFLOP a sample, the elementwise ones included.
    assert train_step(20).flop_per_sample / 1e6 == pytest.approx(248.7, rel=0.03)


def test_depths_that_do_not_exist() -> None:
    for depth in (0, 2, 19, 21):
        with pytest.raises(UsageError, match="6n\\+2"):
            resnet_v1(depth)


COUNTING = """
import keras, numpy as np, tensorflow as tf
from tensorflow.python.eager import context
from gpuprobe.models.resnet20 import resnet_v1
STORED = {"Const", "Identity", "NoOp", "Placeholder", "ReadVariableOp", "IdentityN", "_Arg", "_Retval", "Reshape",
          "Squeeze", "ExpandDims", "AssignVariableOp", "StopGradient"}
tf.config.optimizer.set_experimental_options({"remapping": False})
model = resnet_v1(14)
model.compile(keras.optimizers.Adam(), "categorical_crossentropy", jit_compile=False)
model.optimizer.build(model.trainable_variables)
step = tf.function(lambda x, y: model.train_step((x, y)), jit_compile=False)
with context.collect_graphs(optimized=True) as graphs:
    step(tf.zeros((4, 32, 32, 3)), tf.zeros((4, 10)))
print(sum(node.op not in STORED for node in max(graphs, key=lambda graph: len(graph.node)).node))
"""


def test_operations_are_those_that_tensorflow_runs() -> None:
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", COUNTING], capture_output=True, text=True, check=True, env=environment)
    # Versions of Keras and TensorFlow differ by some operations of the optimiser and the metrics.
    assert int(done.stdout.split()[-1]) == pytest.approx(train_step(14).operation_count, rel=0.15)


@settings(deadline=None)
@given(st.sampled_from(cards()), DEPTHS, st.integers(1, 4096))
def test_every_card_has_a_prediction_that_holds_together(card: Card, depth: int, batch: int) -> None:
    found = predict_card(card, depth, batch)
    terms = [found.launch_ms, found.compute_ms, found.memory_ms, found.small_ms, found.host_ms, found.step_ms]
    assert all(0 <= term.low <= term.value <= term.high for term in terms)
    kernels_ms = found.compute_ms.value + found.memory_ms.value + found.small_ms.value
    assert found.step_ms.value == pytest.approx(found.host_ms.value + max(found.launch_ms.value, kernels_ms))
    assert 0 < found.share_of_peak(found.epoch_s.value) < 1


@settings(deadline=None)
@given(st.sampled_from(cards()), DEPTHS, st.integers(1, 2048))
def test_a_larger_batch_never_makes_a_shorter_step(card: Card, depth: int, batch: int) -> None:
    one, two = (predict_card(card, depth, size).step_ms.value for size in (batch, 2 * batch))
    assert one <= two <= 2 * one * (1 + 1e-9)


# --- from a study ----------------------------------------------------------------------------------------------


OPERATION_MS, FLOP_MS = 0.02, 1e-8


def truth_ms(depth: int, batch: int) -> float:
    work = train_step(depth)
    return OPERATION_MS * work.operation_count + FLOP_MS * work.flop_per_sample * batch


def study_of(
    folder: Path,
    depth: int,
    batches: dict[str, int],
    *,
    slower: dict[str, float] | None = None,
    spread: float = 0.001,
) -> Path:
    """Write a simulated study whose strategies ran with these batch sizes and the times of the truth."""
    folder.mkdir()
    names = list(batches)
    told = [
        SimulatedStrategy(
            name=name,
            step_ms=truth_ms(depth, batches[name]) * (slower or {}).get(name, 1.0),
            against=names[0] if index and name == "large_batch" else None,
            spread=spread,
            batch_size=batches[name],
        )
        for index, name in enumerate(names)
    ]
    simulate_study(folder, told)
    study = load(Study, folder / STUDY_FILE)
    request = msgspec.structs.replace(study.request, depth=depth)
    save(msgspec.structs.replace(study, request=request), folder / STUDY_FILE)
    return folder


@pytest.mark.parametrize(("depth", "batch"), [(20, 8), (20, 128), (56, 32), (110, 64)])
def test_two_batch_sizes_give_any_other_step(tmp_path: Path, depth: int, batch: int) -> None:
    study = study_of(tmp_path / "s", 20, {"numpy": 32, "large_batch": 256})
    found = predict_from([study], depth=depth, batch_size=batch)
    assert found.strategy == "numpy"
    assert found.step_ms.value == pytest.approx(truth_ms(depth, batch), rel=0.03)
    assert found.step_ms.low <= truth_ms(depth, batch) <= found.step_ms.high * 1.01
    assert compare_study(found, found.epoch_s.value).answer == "as expected"


def test_another_pair_divides_the_step_of_the_wanted_strategy(tmp_path: Path) -> None:
    study = study_of(tmp_path / "s", 20, {"cached": 32, "large_batch": 256, "numpy": 32}, slower={"numpy": 1.5})
    found = predict_from([study], depth=20, batch_size=128)
    assert found.step_ms.value == pytest.approx(1.5 * truth_ms(20, 128), rel=0.03)
    assert "large_batch" in found.divided_by


def test_a_pair_that_differs_in_more_than_its_batch_divides_nothing(tmp_path: Path) -> None:
    told = [
        SimulatedStrategy(name="numpy", step_ms=80.0),
        SimulatedStrategy(name="tuned", step_ms=90.0, against="numpy", batch_size=256, dtype_policy="mixed_float16"),
    ]
    simulate_study(tmp_path, told)
    assert "assumption" in predict_from([tmp_path], depth=20, batch_size=8).divided_by


def test_the_fastest_run_sets_the_pace_and_a_disturbed_one_the_range(tmp_path: Path) -> None:
    told = [SimulatedStrategy(name="numpy", step_ms=80.0, spread=0.001)]
    simulate_study(tmp_path, told, drift=(1.0, 1.5))
    (step,) = (found := predict_from([tmp_path], depth=20, batch_size=32)).measured
    assert step.step_ms.value == pytest.approx(80.0, rel=0.01)
    assert step.slowest_ms == pytest.approx(120.0, rel=0.01)
    assert found.step_ms.value == pytest.approx(80.0, rel=0.01)
    assert found.step_ms.high > 119


def test_batch_sizes_that_contradict_each_other_are_not_believed(tmp_path: Path) -> None:
    # Four times the work in five times the time: the large batch was disturbed, or the part per operation negative.
    told = [
        SimulatedStrategy(name="numpy", step_ms=100.0),
        SimulatedStrategy(name="large_batch", step_ms=500.0, against="numpy", batch_size=128),
    ]
    simulate_study(tmp_path, told)
    found = predict_from([tmp_path], depth=20, batch_size=8)
    assert "contradict each other" in found.divided_by
    assert found.step_ms.low <= 25 * 1.1
    assert found.step_ms.high >= 62


def test_several_studies_of_one_machine(tmp_path: Path) -> None:
    studies = [study_of(tmp_path / str(batch), 20, {"numpy": batch}) for batch in (16, 64)]
    found = predict_from(studies, depth=56, batch_size=128)
    assert found.step_ms.value == pytest.approx(truth_ms(56, 128), rel=0.03)


def test_batch_sizes_that_lie_near_each_other_say_less_of_one_far_away(tmp_path: Path) -> None:
    near, far = (
        predict_from(
            [study_of(tmp_path / f"{most}-{batch}", 20, {"numpy": batch}, spread=0.1) for batch in (16, most)],
            depth=20,
            batch_size=128,
        ).step_ms
        for most in (24, 96)
    )
    assert near.low <= truth_ms(20, 128) <= near.high
    assert near.high - near.low > 2 * (far.high - far.low)


def test_one_batch_size_is_said_to_be_an_assumption_and_its_range_holds_the_truth(tmp_path: Path) -> None:
    study = study_of(tmp_path / "s", 20, {"numpy": 32})
    found = predict_from([study], depth=20, batch_size=128)
    assert "assumption" in found.divided_by
    assert found.step_ms.low <= truth_ms(20, 128) <= found.step_ms.high


def test_predictions_are_kept_in_their_order(tmp_path: Path) -> None:
    study = study_of(tmp_path / "s", 20, {"numpy": 32, "large_batch": 256})
    for batch in (8, 128):
        remember(tmp_path / "kept.json", predict_from([study], depth=20, batch_size=batch))
    kept = load(Predictions, tmp_path / "kept.json").predictions
    assert [found.batch_size for found in kept] == [8, 128]


def test_an_unknown_strategy_is_named_with_those_there(tmp_path: Path) -> None:
    study = study_of(tmp_path / "s", 20, {"numpy": 32})
    with pytest.raises(UsageError, match="it has numpy"):
        predict_from([study], depth=20, batch_size=8, strategy="xla")


# --- the command -----------------------------------------------------------------------------------------------


def test_the_seeds_question_on_the_command_line(cli: Cli) -> None:
    done = cli("predict", "--gpu", "GTX 1060 3GB", "--measured", 170)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("A model, not a measurement.")
    assert "have another reason" in done.stdout
    found = json.loads(cli("predict", "--gpu", "GTX 1060 3GB", "--measured", 170, "--json").stdout)
    assert found["prediction"]["card"]["sm_count"] == 9
    assert found["compared"]["answer"] == "slower than the card explains"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "one of the two"),
        (["--gpu", "GTX 1085"], "did you mean"),
        (["--gpu", "T4", "--depth", "21"], "6n+2"),
        (["--gpu", "T4", "--model", "vgg"], "not built in"),
        (["--gpu", "T4", "--model", "resnet56", "--depth", "20"], "contradict"),
        (["--gpu", "T4", "--strategy", "xla"], "goes with --from"),
    ],
)
def test_wrong_usage_is_one_line(cli: Cli, words: list[str], says: str) -> None:
    done = cli("predict", *words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert says in done.stderr


def test_a_terminal_breaks_the_lines_between_words_and_a_pipe_does_not(cli: Cli) -> None:
    words = ("predict", "--gpu", "GTX 1060 3GB", "--measured", "170")
    piped = cli(*words).stdout
    ours, theirs = pty.openpty()
    # Read while it writes: a terminal holds only so much.
    with subprocess.Popen(
        [sys.executable, "-m", "gpuprobe.cli", *words], stdout=theirs, env={**os.environ, "COLUMNS": "60"}
    ) as running:
        os.close(theirs)
        shown = b""
        while part := _read(ours):
            shown += part
    os.close(ours)
    assert running.returncode == 0
    lines = shown.decode().split("\r\n")
    assert max(map(len, lines)) <= 60 < max(map(len, piped.splitlines()))
    assert not [line for line in lines if line.lstrip().startswith("%")]
    assert " ".join(" ".join(lines).split()) == " ".join(piped.split())


def _read(terminal: int) -> bytes:
    """Read what was written to a terminal; nothing once its other end is closed, which Linux calls an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def test_a_study_is_predicted_from_and_the_prediction_written_where_asked(cli: Cli, tmp_path: Path) -> None:
    study, kept = study_of(tmp_path / "s", 20, {"numpy": 32, "large_batch": 256}), tmp_path / "kept.json"
    before = {path: path.read_bytes() for path in study.rglob("*") if path.is_file()}
    words = ("predict", "--from", study, "--depth", 56, "--batch-size", 8, "--measured", 400)
    done = cli(*words)
    assert done.returncode == 0, done.stderr
    assert "the prediction is" in done.stdout
    assert f"Written to {kept}" in cli(*words, "--out", kept).stdout
    assert [found.depth for found in load(Predictions, kept).predictions] == [56]
    # The study that is read stays as it is.
    assert {path: path.read_bytes() for path in study.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": "mlp"}, "is a study of a perceptron"),
        ({"rounds": 0}, "is the recording of a training of a perceptron"),
    ],
)
def test_what_trained_something_else_predicts_no_resnet(
    cli: Cli, tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    folder = study_of(tmp_path / "s", 20, {"numpy": 32})
    study = load(Study, folder / STUDY_FILE)
    other = msgspec.structs.replace(study.request, **changed)
    save(msgspec.structs.replace(study, request=other, workload="a perceptron"), folder / STUDY_FILE)
    done = cli("predict", "--from", folder)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"{folder}: {said}; a prediction is of the built-in ResNet" in done.stderr


def test_the_benchmark_prints_every_row() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "predict.py"], capture_output=True, text=True, check=True
    )
    assert all(f"| ResNet{depth} |" in done.stdout for depth in TABLE_EPOCH_S)
