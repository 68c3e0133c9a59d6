"""Slow trainings of the kinds that people report (`benchmarks/reported`), each beside its twin without the flaw.

Both were watched once, on a processor; what the verdict has to say rests on no load since. What was mended must not be
found again, and the advice on the flaw must be what the twin does.
"""

from __future__ import annotations

import functools
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gpuprobe.compare.compare import compare
from gpuprobe.compare.gather import gather
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.recorded import recorded
from gpuprobe.diagnosis.records import Diagnosis, Finding
from gpuprobe.diagnosis.trainings import leading_training, read_trainings
from gpuprobe.report.compare import comparison_text
from tests.helpers.program import ROOT

RECORDED = ROOT / "tests" / "recorded" / "reported"
# The flaw of each, and what its advice has to say.
FLAWS = {
    "cached_early": ("input_bound", "Put cache() after the map"),
    "chosen_each_step": ("host_between_steps", "+ ds = tf.data.Dataset.from_generator(batches"),
    "compiled_each_epoch": ("compiled_again", "Build and compile the model once"),
    "cut_shapes": ("recompiling", "pad them to few lengths"),
    "eager_left_on": ("eager_or_retracing", "- tf.config.run_functions_eagerly(True)"),
    "generator_numpy": ("input_bound", "Take the work out of Python"),
    "half_on_processor": ("fp16_without_tensor_cores", '- keras.mixed_precision.set_global_policy("mixed_float16")'),
    "histograms_each_epoch": ("host_between_steps", "histogram_freq=0 (it is 1)"),
    "images_one_by_one": ("input_bound", "cache()"),
    "lengths_differ": ("eager_or_retracing", "pad them to few lengths"),
    "list_each_epoch": ("input_bound", "- for x, y in list(ds):"),
    "mapped_one_by_one": ("input_bound", "+ ds = ds.batch(512).map(scale)"),
    "metric_each_batch": ("host_between_steps", "`AreaUnderCurve` do less, or less often: once an epoch"),
    "predict_in_callback": ("host_between_steps", "`Picture` do less, or less often: on fewer samples"),
    "saved_each_step": ("checkpointing", "+ if step % 500 == 0:"),
    "shuffled_late": ("epoch_start", "+ ds = ds.shuffle(size).map(load)"),
    "validated_each_epoch": ("validation", "validation_freq=5)"),
    "while_over_time": ("loop_through_time", "one matrix product"),
}
# The twin still has short epochs, which cost less by themselves: the same cause, less sure and with other advice.
STILL = {"shuffled_late"}
# Of these a gain is told, and the pace of both twins is known.
GAINING = (
    "chosen_each_step",
    "cut_shapes",
    "histograms_each_epoch",
    "images_one_by_one",
    "mapped_one_by_one",
    "shuffled_late",
    "validated_each_epoch",
    "compiled_each_epoch",
    "generator_numpy",
    "lengths_differ",
    "list_each_epoch",
    "metric_each_batch",
    "predict_in_callback",
    "saved_each_step",
)
# Of these the comparison is told.
COMPARED = ("compiled_each_epoch", "list_each_epoch", "predict_in_callback", "saved_each_step")
Unpacked = Callable[[str], Path]
Judged = Callable[[str], Diagnosis]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    """Return the folder of a watch that was recorded."""

    @functools.cache
    def unpack(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        with tarfile.open(RECORDED / f"{name}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
        return folder

    return unpack


@pytest.fixture(scope="module")
def judged(unpacked: Unpacked) -> Judged:
    """Return the diagnosis that leads a watch, as `gpuprobe watch` prints it."""

    @functools.cache
    def judge(name: str) -> Diagnosis:
        leading = leading_training(read_trainings(unpacked(name)))
        assert leading is not None
        assert leading.diagnosis is not None
        return leading.diagnosis

    return judge


def step_s(diagnosis: Diagnosis) -> float:
    """Return what a step costs over the whole run, without what comes once."""
    assert diagnosis.whole_run is not None
    return diagnosis.whole_run.recurring_s / diagnosis.whole_run.calls


def first(diagnosis: Diagnosis) -> Finding:
    assert diagnosis.primary is not None
    return diagnosis.primary


@pytest.mark.parametrize("name", FLAWS)
def test_the_flaw_is_found_and_its_advice_is_what_the_twin_does(name: str, judged: Judged) -> None:
    cause, said = FLAWS[name]
    found = first(judged(f"{name}-flawed"))
    assert found.cause == cause
    assert found.confidence != "low"
    assert said in found.fix + found.code


@pytest.mark.parametrize("name", FLAWS)
def test_what_was_mended_is_not_found_again(name: str, judged: Judged) -> None:
    cause, said = FLAWS[name]
    flawed, fixed = (first(judged(f"{name}-{twin}")) for twin in ("flawed", "fixed"))
    assert (fixed.cause, fixed.confidence) != (flawed.cause, flawed.confidence)
    if name in STILL:
        assert said not in fixed.fix + fixed.code
    else:
        assert fixed.cause != cause


def test_a_loop_whose_operations_are_too_short_to_be_noted_is_told_by_the_graph(judged: Judged) -> None:
    found = first(judged("while_over_time-flawed"))
    assert (found.confidence, found.stage) == ("high", "linear")
    assert "decaying_1/while" in found.claim
    assert "it runs 100 times in each step, and each iteration needs the one before" in found.claim
    assert "vector" not in found.fix + found.code


def test_by_its_trace_alone_such_a_loop_leaves_a_doubt(unpacked: Unpacked) -> None:
    told = {}
    for twin in ("flawed", "fixed"):
        (trace,) = unpacked(f"while_over_time-{twin}").glob("**/*.xplane.pb")
        told[twin] = first(diagnose(recorded(trace)))
    assert (told["flawed"].cause, told["flawed"].confidence) == ("batch_too_small", "medium")
    assert "decaying_1 contains a loop" in told["flawed"].claim
    assert "contains a loop" not in told["fixed"].claim


@pytest.mark.parametrize("name", GAINING)
def test_what_the_twin_gains_lies_in_the_range_that_was_told(name: str, judged: Judged) -> None:
    gain = first(judged(f"{name}-flawed")).predicted_gain
    assert gain is not None
    assert gain.low is not None
    assert gain.high is not None
    assert gain.low <= step_s(judged(f"{name}-flawed")) / step_s(judged(f"{name}-fixed")) <= gain.high


@pytest.mark.parametrize("name", COMPARED)
def test_a_comparison_of_both_names_what_went(name: str, unpacked: Unpacked) -> None:
    sides = [gather(unpacked(f"{name}-{twin}")) for twin in ("flawed", "fixed")]
    said = comparison_text(compare(*sides))
    assert f"{FLAWS[name][0]} (confidence high), which led in A, is gone" in said
    assert "Wall time of the run for each step: " in said
