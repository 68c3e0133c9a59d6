"""The advice knows the card and the settings, and its code runs in Keras 3 as it is printed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from gpuprobe.diagnosis.advised import advised
from gpuprobe.diagnosis.causes import CATALOGUE
from gpuprobe.diagnosis.records import Finding
from gpuprobe.records import Evidence, Gain, Signal
from gpuprobe.thresholds import DEFAULTS
from gpuprobe.whatif.records import Prediction, Replay, Unpredicted

GPU = {"device_kind": "gpu"}
# A laptop's card of compute capability 6.1.
PASCAL = GPU | {"has_tensor_cores": False, "compute_capability": 6.1, "compute_dtype": "float32"}
ADVICE = [cause.id for cause in CATALOGUE if cause.advice]
TURING = GPU | {"has_tensor_cores": True, "compute_capability": 7.5, "compute_dtype": "float32"}
STAGES = (
    None,
    "python_feed",
    "slow_map",
    "no_prefetch",
    "cold_cache",
    "shuffle_fill",
    "linear",
    "other_functions",
    "to_gpu",
    "to_host",
    "on_gpu",
)
SITUATIONS: tuple[dict[str, Any], ...] = (
    {},
    {"device_kind": "cpu"},
    {"device_kind": "cpu", "graphs_built": 6.0},
    {"device_kind": "cpu", "own_loop": True, "batch_size": 32.0},
    GPU | {"run_eagerly": True},
    GPU | {"run_eagerly": False, "functions_eagerly": True},
    GPU | {"samples_vary": True, "batch_size": 32.0},
    GPU | {"pipeline_stages": "Prefetch, MapAndBatch", "input_random": "RandomUniform"},
    GPU | {"pipeline_stages": "Prefetch, MapAndBatch", "input_python_share": 0.9, "batch_size": 32.0},
    GPU | {"pipeline_stages": "Prefetch, MapAndBatch", "parsed_per_step": 32.0, "batch_size": 32.0},
    GPU | {"batch_size": 64.0, "epoch_samples": 64.0, "verbose": 2.0},
    PASCAL | {"batch_size": 32.0, "allocator_peak_fraction": 0.2, "jit_compile": False, "steps_per_execution": 1.0},
    TURING | {"batch_size": 64.0, "allocator_peak_fraction": 0.7, "jit_compile": True, "steps_per_execution": 8.0},
    TURING | {"run_eagerly": False, "feed_dtype": "uint8"},
    TURING | {"pipeline_stages": "Prefetch, ParallelMapV2, MemoryCacheImpl"},
    GPU | {"pipeline_stages": "Prefetch, Map, Shuffle"},
    GPU | {"pipeline_stages": "ParallelMapV2, MemoryCache"},
    GPU | {"pipeline_stages": "Prefetch, Generator"},
    GPU | {"pipeline_stages": "Prefetch, BatchV2, Map", "batch_size": 32.0},
    GPU | {"data_kind": "a PyDataset", "batch_size": 32.0},
)  # fmt: skip


def replay(promised: dict[str, float]) -> Replay:
    made = [
        Prediction(
            change=change, step_ms=1.0, low_ms=1.0, high_ms=1.0, gain=Gain(ratio=ratio), bound=ratio,
            replay_error_fraction=0.0, assumption="",
        )
        for change, ratio in promised.items()
    ]  # fmt: skip
    return Replay(predictions=tuple(made))


def advice(cause: Any, stage: Any = None, replay: Any = None, **known: Any) -> Finding:
    signals = tuple(Signal(name=name, unit="", source="test", value=value) for name, value in known.items())
    found = Finding(
        cause=cause, stage=stage, primary=True, severity=0.5, confidence="high", claim="", evidence=(), fix="as it was"
    )
    (given,) = advised([found], Evidence(signals=signals), DEFAULTS, replay)
    return given


def test_a_pipeline_without_a_map_is_told_nothing_about_one() -> None:
    given = advice("input_bound", "slow_map", pipeline_stages="BatchV2, Shuffle, TensorSlice", device_kind="cpu")
    assert "map" not in (given.fix + given.code).lower()
    assert "refetch" in given.fix


def test_a_shuffle_that_a_loop_of_ones_own_begins_anew_gets_one_iterator() -> None:
    given = advice("input_bound", "shuffle_fill", own_loop=True)
    assert "one iterator" in given.fix
    assert "-     x, y = next(iter(ds))" in given.code
    assert "iterator" not in advice("input_bound", "shuffle_fill").fix


def test_no_mixed_precision_where_the_card_has_no_tensor_cores() -> None:
    for cause in ADVICE:
        if cause != "tensor_cores_unused":
            given = advice(cause, **PASCAL)
            assert "recision" not in given.fix + given.code, cause
    assert "mixed_float16" in advice("compute_bound", **TURING).fix
    assert "mixed_bfloat16" in advice("compute_bound", **(TURING | {"compute_capability": 8.6})).fix
    assert "mixed" not in advice("compute_bound", **(TURING | {"compute_dtype": "float16"})).fix


def test_a_loop_of_ones_own_is_given_no_options_of_fit() -> None:
    for cause in ("host_between_steps", "sync_every_step", "batch_too_small"):
        looped = advice(cause, device_kind="cpu", own_loop=True, batch_size=32.0)
        fitted = advice(cause, device_kind="cpu", batch_size=32.0)
        for of_fit in ("fit", "verbose", "callback", "keras.callbacks"):
            assert of_fit not in looped.code + looped.fix, cause
        assert looped.code
        assert looped.code != fitted.code


def test_a_loop_that_makes_its_batches_itself_is_given_a_dataset_that_makes_them_ahead() -> None:
    loop = {"device_kind": "cpu", "own_loop": True}
    assert "from_generator(batches" in advice("host_between_steps", **loop).code
    assert "from_generator" not in advice("host_between_steps", **loop, pipeline_stages="Prefetch").code
    assert "compile" not in advice("eager_or_retracing", **loop).fix


def test_nothing_is_advised_that_is_on_already() -> None:
    plain = advice("input_bound", **GPU)
    assert all(word in plain.code for word in ("num_parallel_calls", "prefetch"))
    buffered = advice("input_bound", **GPU, pipeline_stages="Prefetch, Map, Shuffle")
    assert "prefetch" not in (buffered.fix + buffered.code).lower()
    assert "num_parallel_calls" in buffered.code
    full = advice("input_bound", **GPU, pipeline_stages="Prefetch, ParallelMapV2, MemoryCacheImpl")
    assert "already maps in parallel, caches, and prefetches" in full.fix
    assert "ds.prefetch" not in full.code
    filling = advice("input_bound", "cold_cache", **GPU, pipeline_stages="Prefetch, MemoryCacheImpl, Map")
    assert "being filled" in filling.fix
    assert "being filled" not in advice("input_bound", "cold_cache", **GPU, pipeline_stages="Prefetch, Map").fix
    assert "XLA" not in advice("launch_bound", **GPU, jit_compile=True).fix
    assert "steps in one call" not in advice("launch_bound", **GPU, steps_per_execution=8.0).fix
    assert "steps_per_execution" not in advice("host_between_steps", **GPU, steps_per_execution=8.0).code
    assert "verbose" not in advice("host_between_steps", **GPU, verbose=2.0).fix
    assert "verbose=2" in advice("host_between_steps", **GPU, verbose=1.0).code
    assert 'save_freq="epoch"' in advice("host_between_steps", **GPU, own_callbacks="ModelCheckpoint, Mine").code
    mine = advice("host_between_steps", **GPU, own_callbacks="Mine", verbose=0.0).code
    assert "class Mine" in mine
    assert "ModelCheckpoint" not in mine
    assert "uint8" not in advice("copy_bound", **GPU, feed_dtype="uint8").fix


def test_a_line_is_taken_out_only_of_a_script_that_has_it() -> None:
    assert "run_eagerly=True" in advice("eager_or_retracing", **GPU, run_eagerly=True).code
    left_on = advice("eager_or_retracing", **GPU, run_eagerly=False, functions_eagerly=True)
    assert "- tf.config.run_functions_eagerly(True)" in left_on.code
    for known in ({"run_eagerly": False}, {"run_eagerly": False, "graphs_built": 3.0}, {}):
        assert "run_eagerly" not in advice("eager_or_retracing", **GPU, **known).code
    assert advice("eager_or_retracing", **GPU).code.startswith("  # for example")


def test_a_function_that_is_built_again_is_advised_on_what_it_is_called_with() -> None:
    there = advice("eager_or_retracing", device_kind="cpu", graphs_built=6.0)
    assert "tf.function is built again" in there.fix
    assert "tf.constant(weight)" in there.code
    # Shapes build it anew as well, and the trace does not tell which.
    assert "reduce_retracing=True)  # where a shape is new" in there.code
    assert "does not tell" in there.fix
    assert "tf.function(" in advice("eager_or_retracing", device_kind="cpu", graphs_built=0.0).code
    assert "tf.constant(weight)" in advice("recompiling", device_kind="cpu", graphs_built=6.0).code


def test_samples_of_many_shapes_are_padded_and_never_dropped() -> None:
    for cause, graphs in (("recompiling", 0.0), ("recompiling", 3.0), ("eager_or_retracing", 3.0)):
        varied = advice(cause, **GPU, samples_vary=True, graphs_built=graphs)
        assert "pad them" in varied.fix
        assert "padded_batch" in varied.code
        assert "drop_remainder" not in varied.fix + varied.code
        assert "weight" not in varied.code
    assert "drop_remainder" in advice("recompiling", **GPU, samples_vary=False).code


PARALLEL = GPU | {"pipeline_stages": "Prefetch, MapAndBatch"}


def test_a_map_that_is_parallel_is_not_made_so_again() -> None:
    for known in ({}, {"input_random": "RandomUniform"}, {"input_python_share": 0.9}, {"parsed_per_step": 64.0}):
        assert "num_parallel_calls" not in advice("input_bound", "slow_map", **PARALLEL, **known).code
    python = advice("input_bound", "slow_map", **PARALLEL, input_python_share=0.9)
    assert "interpreter's lock" in python.fix
    assert "numpy_function" in python.code


def test_records_are_parsed_a_batch_at_once() -> None:
    stages = "Prefetch, BatchV2, {}, Map"
    serial, parallel = stages.format("Interleave[0]"), stages.format("ParallelInterleaveV4[7]")
    assert "interleave" in advice("input_bound", "slow_map", device_kind="cpu", pipeline_stages=serial).fix
    assert "interleave" not in advice("input_bound", "slow_map", device_kind="cpu", pipeline_stages=parallel).fix
    singly = advice("input_bound", "slow_map", **PARALLEL, parsed_per_step=64.0, batch_size=64.0)
    assert "batch(64).map(lambda record: tf.io.parse_example" in singly.code
    assert "parse" not in advice("input_bound", "slow_map", **PARALLEL, parsed_per_step=1.0).code
    together = advice("input_bound", "slow_map", **PARALLEL, parsed_per_step=8.0, steps_per_execution=8.0)
    assert "parse" not in together.code


@pytest.mark.parametrize(("step_ms", "first"), [(5.0, True), (50.0, False)])
def test_a_map_of_little_work_takes_a_whole_batch(step_ms: float, first: bool) -> None:
    known = {"maps_samples": True, "batch_size": 64.0, "step_ms": step_ms, "pipeline_stages": "Prefetch, MapAndBatch"}
    given = advice("input_bound", "slow_map", device_kind="cpu", **known)
    assert ("+ ds = ds.batch(64).map(scale)" in given.code) is first
    assert "cache()" in given.fix + given.code
    whole = advice("input_bound", "slow_map", device_kind="cpu", **(known | {"maps_samples": False}))
    assert "Make batches first" not in whole.fix


def test_what_is_drawn_at_random_is_never_kept() -> None:
    kept = advice("input_bound", "slow_map", **PARALLEL, input_random="")
    assert ".cache()" in kept.code
    drawn = advice("input_bound", "slow_map", **PARALLEL, input_random="RandomUniform", batch_size=32.0)
    assert "would freeze" in drawn.fix
    before, after = drawn.code.split(".cache()")
    assert "scale" in before
    assert "augment" in after
    python = advice("input_bound", "slow_map", **PARALLEL, input_random="", input_python_share=0.1)
    assert "cache()" not in python.code
    cached = PARALLEL | {"pipeline_stages": f"{PARALLEL['pipeline_stages']}, MemoryCache", "input_random": ""}
    assert "cache()" not in advice("input_bound", "slow_map", **cached).code
    assert "map(scale).cache()" in advice("input_bound", "slow_map", **cached, mapped_after_cache=True).code
    assert "cache()" not in advice("input_bound", "slow_map", **PARALLEL, input_random="", epochs=1.0).code
    endless = PARALLEL | {"pipeline_stages": f"{PARALLEL['pipeline_stages']}, ForeverRepeat"}
    assert "cache()" in advice("input_bound", "slow_map", **endless, input_random="", epochs=1.0).code


def test_no_batch_is_larger_than_an_epoch() -> None:
    whole = advice("batch_too_small", device_kind="cpu", batch_size=128.0, epoch_samples=128.0)
    assert "batch_size" not in whole.code
    assert "all of an epoch's 128 samples" in whole.fix
    part = advice("batch_too_small", device_kind="cpu", batch_size=128.0, epoch_samples=600.0)
    assert "batch_size=512)" in part.code
    assert "batch_size=" not in advice("launch_bound", **GPU, batch_size=128.0, epoch_samples=200.0).code


def test_the_gain_beside_an_advice_is_that_of_this_advice() -> None:
    told = replay({"input_free": 5.0, "parallel_map_2": 1.5, "map_per_batch": 4.0})
    plain = {"device_kind": "cpu", "pipeline_stages": "Prefetch, Map"}
    for known, change in (({}, 5.0), ({"input_random": "RandomUniform"}, 1.5), ({"parsed_per_step": 64.0}, 4.0)):
        given = advice("input_bound", "slow_map", told, **plain, **({"input_random": ""} | known))
        assert given.predicted_gain is not None
        assert given.predicted_gain.ratio == change
    # Who caches in front of what is random saves a part of the map that nobody knows.
    assert advice("input_bound", "slow_map", told, **PARALLEL, input_random="RandomUniform").predicted_gain is None


def test_a_parallel_map_is_promised_nothing_where_cores_are_few() -> None:
    few = replay({"parallel_map_2": 1.0})
    given = advice("input_bound", "slow_map", few, device_kind="cpu", pipeline_stages="Prefetch, Map", epochs=1.0)
    assert "num_parallel_calls" not in given.code


@pytest.mark.parametrize(
    ("held", "batch"),
    [(0.1, 256), (0.112, 256), (0.114, 128), (0.44, 64), (0.46, 0)],
)
def test_no_larger_batch_than_the_memory_holds(held: float, batch: int) -> None:
    given = advice("batch_too_small", **GPU, batch_size=32.0, allocator_peak_fraction=held)
    launch = advice("launch_bound", **GPU, batch_size=32.0, allocator_peak_fraction=held)
    if batch:
        assert f"batch_size={batch})" in given.code
        assert "fewer updates an epoch" in given.fix
        assert "learning rate" in given.fix
        assert "larger batch" in launch.fix
    else:
        assert given.code == ""
        for fix in (given.fix, launch.fix):
            assert "memory holds no larger batch" in fix
            assert "a larger batch," not in fix


def test_a_batch_that_is_not_known_is_told_by_how_much_it_grows() -> None:
    assert "A batch 8 times as large makes 8 times fewer updates an epoch," in advice("launch_bound", **GPU).fix
    known = advice("launch_bound", **GPU, batch_size=64.0).fix
    assert "A batch of 512 makes 8 times fewer updates an epoch than one of 64," in known


def test_no_number_is_shown_as_theirs_that_nobody_saw() -> None:
    for cause in ADVICE:
        for stage in STAGES:
            code = advice(cause, stage, **GPU).code
            before = "\n".join(line for line in code.splitlines() if line.startswith("-"))
            assert set(re.findall(r"\b[1-9]\d+\b", before)) <= {"255"}, before  # the largest byte
    assert "batch_size=64" in advice("input_bound", "python_feed", **GPU, batch_size=64.0).code
    assert advice("batch_too_small", **GPU).code.endswith("\n+ batch_size *= 8  # where the batches are made")
    piped = advice("batch_too_small", **GPU, batch_size=32.0, pipeline_stages="Prefetch, PaddedBatchV2")
    assert piped.code.endswith("\n- ds = ds.batch(32)\n+ ds = ds.batch(256)")
    given = advice("batch_too_small", **GPU, batch_size=32.0, data_kind="a tf.data dataset")
    assert given.code == piped.code


def test_python_that_makes_batches_is_advised_by_what_makes_them() -> None:
    assert "workers=" in advice("input_bound", "python_feed", **GPU, data_kind="a PyDataset").fix
    for now, more in ((1.0, 8), (16.0, 32)):
        given = advice("input_bound", "python_feed", **GPU, data_kind="a PyDataset", data_workers=now)
        assert f"workers={more}," in given.code
        assert f"it has {now:.0f} now" in given.fix
    assert "from_generator" in advice("input_bound", "python_feed", **GPU, data_kind="a generator").code
    assert "train_on_batch" in advice("input_bound", "python_feed", **GPU, data_kind="arrays").code


@pytest.mark.parametrize(
    ("promised", "code", "unsaid"),
    [
        ({"steps_per_execution_32": 1.029}, "", "steps in one call"),
        ({"steps_per_execution_32": 1.03}, "steps_per_execution=32", "not worth"),
        ({"launches_fused_4": 1.5, "steps_per_execution_8": 1.0}, "loss, jit_compile=True)", "steps in one call"),
        ({"launches_fused_4": 1.0, "batch_times_8": 2.0}, "batch_size=256", "XLA"),
        ({"launches_fused_4": 1.0, "batch_times_8": 1.0, "steps_per_execution_8": 1.0}, "", "Launch less"),
    ],
)
def test_code_shows_only_what_the_replay_promises_a_gain_from(
    promised: dict[str, float], code: str, unsaid: str
) -> None:
    given = advice("launch_bound", replay=replay(promised), **GPU, batch_size=32.0)
    assert code in given.code if code else not given.code
    assert unsaid not in given.fix
    between = advice("host_between_steps", replay=replay(promised), **GPU)
    assert ("steps_per_execution=32" in between.code) == (code == "steps_per_execution=32")
    assert "verbose=2" in between.code


def test_where_no_gain_is_told_the_verdict_says_why() -> None:
    bound, stage = "input_bound", "no_prefetch"
    assert "no trace" in advice(bound, stage, **GPU).no_gain
    refused = Replay(refused="the replay gives 59.0 ms a step where 65.2 ms were measured")
    assert advice(bound, stage, refused, **GPU).no_gain == refused.refused
    hindered = Replay(unpredicted=(Unpredicted(change="prefetch_2", reason="batches are made ahead already"),))
    assert advice(bound, stage, hindered, **GPU).no_gain == "batches are made ahead already"
    assert advice(bound, stage, replay({"prefetch_2": 1.5}), **GPU).no_gain == ""
    full = {"device_kind": "cpu", "pipeline_stages": "ParallelMapV2, Prefetch, Cache"}
    assert "no replay" in advice(bound, "slow_map", Replay(), **full).no_gain
    assert advice("compute_bound", None, refused, **GPU).no_gain == "", "nothing is wrong with a full device"


def test_memory_that_was_taken_at_once_says_nothing_of_the_need() -> None:
    known = GPU | {"batch_size": 32.0, "memory_peak_fraction": 0.95}
    assert "holds no larger batch" in advice("batch_too_small", **known, memory_jump_fraction=0.1).fix
    assert "batch_size=256" in advice("batch_too_small", **known, memory_jump_fraction=0.9).code


def test_what_has_no_advice_of_its_own_keeps_that_of_its_rule() -> None:
    assert advice("straggler", **GPU).fix == "as it was"


# What a user's program holds before the change: the names that the printed code uses.
PROGRAM = """
import numpy as np
import tensorflow as tf
import keras
x = np.random.rand(64, 8, 8, 3).astype("float32"); y = np.zeros(64, "int32")
shapes, weight, losses = ((8, 8, 3), ()), 0.5, []
step = train_one_batch = lambda *given: None
of_one = by_numpy = by_tensorflow = lambda image: image
records = tf.data.Dataset.from_tensor_slices([b""])
features = {"pixels": tf.io.FixedLenFeature((8, 8, 3), tf.float32, np.zeros((8, 8, 3), "float32"))}
scale = augment = lambda image, *label: (image / 2, *label) if label else image / 2
batch_size = buffer_size = units = 16; steps = 2
train = lambda *batch: None
def batches():
    for _ in range(4): yield x[:16], y[:16]
signature = tf.TensorSpec((16, 8, 8, 3), tf.float32), tf.TensorSpec((16,), tf.int32)
class Batches(keras.utils.PyDataset):
    def __len__(self): return 4
    def __getitem__(self, index): return x[:16], y[:16]
images = (x * 255).astype("uint8") if BYTES else x
ds = tf.data.Dataset.from_tensor_slices((images, y))
ds = ds if BATCHES else ds.batch(16)
inputs = keras.Input((8, 8, 3))
model = keras.Model(inputs, keras.layers.Dense(2, dtype="float32")(keras.layers.Flatten()(inputs)))
optimizer = keras.optimizers.Adam()
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
on_every_batch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
model.compile(optimizer, loss)
"""


@pytest.mark.parametrize(
    ("known", "said", "unsaid"),
    [
        ({}, "as it was", "--no-trace"),
        ({"in_study": True}, "without --no-trace", "as it was"),
        ({"device_kind": "cpu", "in_study": True}, "--strategies numpy,large_batch,steps", "Trace a few"),
        ({"device_kind": "cpu", "in_study": True, "gain.large_batch": 1.4}, "`large_batch` in the", "gpuprobe run"),
        ({"device_kind": "gpu"}, "gpuprobe run --model", "py-spy"),
        ({"device_kind": "gpu", "lost_fraction": 0.21}, "dropped 21 %", "can be joined"),
        ({"device_kind": "gpu", "lost_fraction": 0.2, "joined_fraction": 0.5}, "gpuprobe run", "dropped"),
        ({"device_kind": "gpu", "joined_fraction": 0.49}, "Only 49 %", "dropped"),
    ],
)  # fmt: skip
def test_where_nothing_tells_the_advice_fits_what_was_done(known: dict[str, Any], said: str, unsaid: str) -> None:
    fix = advice("unattributed", **known).fix
    assert said in fix
    assert unsaid not in fix


def after(code: str) -> str:
    """The code as it is once the diff is applied: what stays and what comes, without what goes."""
    lines = code.splitlines()
    if not any(line.startswith(("+ ", "- ")) for line in lines):
        return code
    return "\n".join(line[2:] for line in lines if not line.startswith("- "))


def all_code() -> list[str]:
    given = {advice(cause, stage, **known).code for cause in ADVICE for stage in STAGES for known in SITUATIONS}
    return sorted(given - {""})


@pytest.mark.parametrize("code", all_code())
def test_the_code_is_a_diff_of_python(code: str) -> None:
    lines = code.splitlines()
    assert all(line.startswith(("+ ", "- ", "  ")) for line in lines), code
    assert any(line.startswith("+ ") for line in lines)
    ast.parse(after(code))


def test_the_code_runs_in_keras_3() -> None:
    """All of it in one process: each piece on a model and a pipeline of its own, then trained.

    Pieces that differ in a number alone are the same piece. One that changes no model trains one that is there.
    """
    parts = []
    for place, code in enumerate({re.sub(r"batch_size=\d+", "", code): code for code in all_code()}.values()):
        text = after(code).replace("'/GPU:0'", "'/CPU:0'")
        batches = "batch(" in text
        head = f"BYTES, BATCHES = {'Rescaling' in text}, {batches}\n" + PROGRAM
        own = "model" in text or "policy" in text
        text += "\n" if "model.compile" in text or not own else "\nmodel.compile(optimizer, loss)\n"
        # What is parsed here has no labels.
        trained = "model" if own else "there"
        text += "next(iter(ds))\n" if "records" in text else f"{trained}.fit(ds, epochs=1, verbose=0)\n"
        body = textwrap.indent(head + text, "    ")
        parts.append(f"def piece_{place}():\n{body}\npiece_{place}()\nkeras.config.set_dtype_policy('float32')")
    program = f"BYTES = BATCHES = False\n{PROGRAM}\nthere = model\n" + "\n".join(parts)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
