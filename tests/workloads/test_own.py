"""A user's own workload: every kind of data under every strategy, what is skipped, and what is one clear line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.program import Cli

pytest.importorskip("keras")

from gpuprobe.backends.backend import current
from gpuprobe.errors import GpuprobeError, in_short
from gpuprobe.measure.compiled import compiled
from gpuprobe.measure.examine import examine
from gpuprobe.measure.survey import Question
from gpuprobe.strategies import feeds
from gpuprobe.strategies.plan import Machine
from gpuprobe.strategies.registry import plan, strategies
from gpuprobe.workloads.registry import workloads
from gpuprobe.workloads.resolve import check, resolve
from gpuprobe.workloads.source import ArraySource, mapped, source

OWN = """
import keras, numpy as np, tensorflow as tf
from gpuprobe import Workload

def model():
    x = keras.Input((8,))
    y = keras.layers.Dense(3, activation="softmax", dtype="float32")(x)
    net = keras.Model(x, y)
    net.compile(optimizer=keras.optimizers.SGD(0.07, momentum=0.5), loss="sparse_categorical_crossentropy",
                metrics=["accuracy"])
    return net

def data():
    x = np.random.default_rng(0).standard_normal((64, 8)).astype("float32")
    return x, (x[:, 0] > 0).astype("int64")

class Batches(keras.utils.PyDataset):
    def __init__(self):
        super().__init__()
        self.x, self.y = data()
    def __len__(self):
        return 8
    def __getitem__(self, at):
        return self.x[8 * at : 8 * at + 8], self.y[8 * at : 8 * at + 8]

def endless():
    x, y = data()
    while True:
        yield x[:8], y[:8]

def clipping():
    def build():
        net = model()
        net.compile(optimizer=keras.optimizers.SGD(0.07, global_clipnorm=1.0), loss="sparse_categorical_crossentropy")
        return net
    return Workload(model=build, data=data(), batch_size=8)

class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)
    def call(self, x):
        return self.dense(x)
    def train_step(self, data):
        return {**super().train_step(data), "own": 1.0}

class Split(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.second = keras.Sequential([keras.layers.Dense(4)]), keras.Sequential([keras.layers.Dense(1)])
        self.built = True
    def call(self, x):
        return self.second(self.first(x))
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return {"loss": loss}

class Unnamed(keras.Sequential):
    def train_step(self, data):
        return {"own": super().train_step(data)["loss"]}

def unnamed():
    rows = lambda: tf.data.Dataset.from_tensor_slices((data()[0], data()[0][:, :1])).batch(8)
    return Workload(model=lambda: Unnamed([keras.layers.Dense(1)]), data=rows, loss="mse")

def text():
    words = keras.layers.TextVectorization(vocabulary=["a", "b"])
    net = keras.Sequential([keras.Input((1,), dtype="string"), words, keras.layers.Embedding(9, 4),
                            keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(1, activation="sigmoid")])
    x = np.array([["a b"], ["b"]] * 32)
    return Workload(model=lambda: net, data=(x, np.array([0, 1] * 32)), loss="binary_crossentropy", batch_size=8)

def slow_map(): return Workload(model=model, data=data, batch_size=8, map=lambda x, y: (2 * x, y))
def arrays(): return Workload(model=model, data=data, batch_size=8)
def dataset(): return Workload(model=model, data=lambda: tf.data.Dataset.from_tensor_slices(data()).batch(8))
def pydataset(): return Workload(model=model, data=Batches)
def generator(): return Workload(model=model, data=endless, steps_per_epoch=8)
def subclassed(): return Workload(model=Own, data=lambda: (data()[0], data()[0][:, :1]), loss="mse", batch_size=8)
def two_parts(): return Workload(model=Split, data=lambda: (data()[0], data()[0][:, :1]), loss="mse", batch_size=8)
def sequential(): return Workload(model=lambda: keras.Sequential([keras.layers.Dense(1)]),
                                  data=lambda: (data()[0], data()[0][:, :1]), loss="mse", batch_size=8)
def built(): return Workload(model=model(), data=data, batch_size=8)
def no_end(): return Workload(model=model, data=endless)
def no_loss(): return Workload(model=lambda: keras.Sequential([keras.layers.Dense(1)]), data=data)
def several():
    def two():
        a, b = keras.Input((8,), name="a"), keras.Input((4,), name="b")
        x = keras.layers.concatenate([a, b])
        p, q = keras.layers.Dense(1, name="p")(x), keras.layers.Dense(2, name="q")(x)
        net = keras.Model({"a": a, "b": b}, {"p": p, "q": q})
        net.compile("sgd", {"p": "mse", "q": "mse"})
        return net
    x = data()[0]
    return Workload(model=two, data=({"a": x, "b": x[:, :4]}, {"p": x[:, :1], "q": x[:, :2]}), batch_size=8)
def sparse():
    x = data()[0]
    net = lambda: keras.Sequential([keras.Input((8,), sparse=True), keras.layers.Dense(1)])
    rows = lambda: tf.data.Dataset.from_tensor_slices((tf.sparse.from_dense(x), x[:, :1])).batch(8)
    return Workload(model=net, loss="mse", data=rows)
def few(): return Workload(model=model, data=tuple(part[:20] for part in data()), batch_size=16)
def number(): return 3
def ends(): raise SystemExit(3)
def empty(): return Workload(model=model, data=lambda: tuple(part[:0] for part in data()))
def no_batches(): return Workload(model=model, data=lambda: tf.data.Dataset.from_tensor_slices(data()).take(0).batch(8))
def uneven(): return Workload(model=model, data=lambda: (data()[0], data()[1][:9]))
def lists(): return Workload(model=model, data=lambda: (data()[0].tolist(), data()[1]))
def narrow(): return Workload(model=model, data=lambda: (data()[0][:, :5], data()[1]), batch_size=8)
def unbatched(): return Workload(model=model, data=lambda: tf.data.Dataset.from_tensor_slices(data()))
def small(): return Workload(model=model, data=lambda: tuple(part[:9] for part in data()))
def broken(): raise RuntimeError("the disk is gone\\nsecond line")
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "own_workloads.py"
    path.write_text(OWN)
    return path


def look(own: Path, factory: str) -> dict[str, str]:
    question = Question(
        model=f"{own}:{factory}",
        batch_size=None,
        strategies=tuple(
            one.name for one in strategies().values() if not one.backend and one.needs in {"", "tensorflow"}
        ),
    )
    found = examine(question)
    assert (found.samples, found.batch_size) == (64, 8)
    return found.skip


def test_gradients_that_are_clipped_are_not_exchanged_in_16_bits(own: Path) -> None:
    for factory, refused in (("clipping", True), ("arrays", False)):
        asked = Question(model=f"{own}:{factory}", batch_size=None, strategies=("fp16_gradients_2", "mirrored_2"))
        skip = examine(asked).skip
        assert set(skip) == ({"fp16_gradients_2"} if refused else set())
        assert all("global_clipnorm" in reason for reason in skip.values())


@pytest.mark.parametrize(
    ("factory", "skipped"),
    [
        ("arrays", {"generator"}),
        ("slow_map", {"generator", "numpy", "python_feed"}),
        ("dataset", {"generator", "numpy", "python_feed"}),
        ("pydataset", {"numpy"}),
        ("generator", {"numpy"}),
        ("subclassed", {"generator"}),
        ("built", {"generator", "mixed_precision"}),
        ("several", {"generator"}),
        ("sparse", {"generator", "numpy", "python_feed", "device_resident", "large_batch"}),
        ("text", {"generator", "numpy", "python_feed", "xla", "device_resident"}),
    ],
)
def test_what_cannot_apply_is_known_with_its_reason(own: Path, factory: str, skipped: set[str]) -> None:
    found = look(own, factory)
    assert set(found) == skipped
    assert all(len(reason) > 10 for reason in found.values())


@pytest.mark.parametrize(
    "factory",
    ["dataset", "pydataset", "generator", "subclassed", "two_parts", "sequential", "text", "several", "sparse"],
)
@pytest.mark.filterwarnings("error:.*shuffle=True.*will be ignored")
def test_every_kind_of_data_and_model_trains_where_it_is_not_skipped(own: Path, factory: str) -> None:
    machine = Machine(compute_capability=None, cpu_has_bfloat16=False, largest_batch=lambda: 10**6)
    skipped = look(own, factory)
    for name in ("python_feed", "generator", "numpy", "tfdata_cache_prefetch", "device_resident", "large_batch"):
        if name in skipped:
            continue
        workload = resolve(f"{own}:{factory}")
        planned = plan(name, 8, machine)
        model, seen = compiled(workload, planned, current())
        feed = feeds.make(planned, workload, 0)
        feed.adapt(model)
        feed.warm()
        feed.train(model, 0, 2, [])
        assert int(model.optimizer.iterations) >= 2 * 64 // planned.batch_size, name
        assert seen["batch_size"] in {planned.batch_size, None}


@pytest.mark.parametrize("name", ["python_feed", "numpy", "tfdata", "device_resident"])
def test_where_a_call_takes_more_samples_than_there_are_some_come_again(own: Path, name: str) -> None:
    machine = Machine(compute_capability=None, cpu_has_bfloat16=False, largest_batch=lambda: 10**6)
    workload, planned = resolve(f"{own}:few"), replace(plan(name, 16, machine), steps_per_execution=2)
    model, _ = compiled(workload, planned, current())
    feed = feeds.make(planned, workload, 0)
    feed.adapt(model)
    feed.train(model, 0, 1, [])
    assert int(model.optimizer.iterations) == 2


def test_skipped_strategies_are_said_and_cost_nothing(own: Path, tmp_path: Path, cli: Cli) -> None:
    few = ("--rounds", 1, "--steps", 16, "--no-trace", "--out", tmp_path)
    # Whatever the metrics of the model are called.
    done = cli("run", "--model", f"{own}:unnamed", "--strategies", "numpy,tfdata", *few)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "numpy: skipped, a tf.data dataset cannot be fed as numpy arrays" in done.stdout
    assert "--resume" not in done.stdout
    (study,) = tmp_path.iterdir()
    assert json.loads((study / "runs" / "1-numpy" / "run.json").read_text())["outcome"]["state"] == "skipped"
    assert "## What cannot apply here" in (study / "report.md").read_text()


def test_what_was_compiled_is_kept(own: Path) -> None:
    workload = resolve(f"{own}:arrays")
    model = workload.build()
    workload.compile(model, jit_compile=True, steps_per_execution=4)
    assert type(model.optimizer).__name__ == "SGD"
    assert float(model.optimizer.learning_rate) == pytest.approx(0.07)
    assert model.optimizer.momentum == 0.5
    assert model.loss == "sparse_categorical_crossentropy"
    assert (model.jit_compile, model.steps_per_execution) == (True, 4)


@pytest.mark.parametrize(
    ("model", "code", "said"),
    [
        ("mpl", 2, "did you mean mlp"),
        ("/nowhere/own.py:factory", 3, "there is no such file"),
        ("no.such.module:factory", 3, "could not be imported: ModuleNotFoundError"),
        ("OWN:pydatset", 3, "did you mean pydataset?"),
        ("OWN:number", 3, "returned a int"),
        ("OWN:broken", 3, "RuntimeError: the disk is gone"),
        ("OWN:no_end", 3, "steps_per_epoch"),
        ("OWN:no_loss", 3, "loss="),
        ("SYNTAX:f", 3, "line 1"),
        ("OWN:ends", 3, "raised SystemExit: 3"),
        ("OWN:empty", 3, "is empty"),
        ("OWN:no_batches", 3, "is empty"),
        ("OWN:uneven", 3, "have 64 and 9 rows"),
        ("OWN:lists", 3, "a tuple with a float in it"),
        ("OWN:narrow", 3, "does not take its data, of which a batch is [(1, 5)]"),
        ("OWN:unbatched", 3, "does not take its data, of which a batch is [(8,)]"),
        ("OWN:small", 3, "9 samples, fewer than a batch of 32"),
    ],
)
def test_what_is_wrong_is_one_clear_line(own: Path, tmp_path: Path, model: str, code: int, said: str) -> None:
    (tmp_path / "syntax.py").write_text("def (\n")
    target = model.replace("OWN", str(own)).replace("SYNTAX", str(tmp_path / "syntax.py"))
    with pytest.raises(GpuprobeError) as raised:
        examine(Question(model=check(target), batch_size=None, strategies=("numpy",)))
    assert raised.value.exit_code == code
    assert said in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (
            "Graph execution error:\n\nDetected at node PyFunc defined at (most recent call last):\n"
            '  File "mine.py", line 3, in <module>\n<stack traces unavailable>\nthe disk is gone\nTraceback',
            "the disk is gone",
        ),
        ("Exception encountered when calling Net.call().\n\n\x1b[1mtoo wide\x1b[0m\n\nArguments:", "too wide"),
        ('in user code:\n\n    File "a.py", line 3, in f  *\n        x / 0\n\n    TypeError: no', "TypeError: no"),
        ("plain\nsecond", "plain"),
        (
            "Net was created by passing things that\nno config holds.\nfix",
            "Net was created by passing things that no config holds.",
        ),
        ("No class Net: " + "'config': " * 99, "No class Net:" + " 'config':" * 28 + " ..."),
        ("", ""),
    ],
)
def test_an_error_of_others_is_told_by_the_line_that_says_it(raised: str, said: str) -> None:
    assert in_short(RuntimeError(raised)) == ("RuntimeError: " + said if said else "RuntimeError")


def test_a_broken_factory_is_one_line_on_the_command_line(own: Path, tmp_path: Path, cli: Cli) -> None:
    done = cli("run", "--model", f"{own}:broken", "--out", tmp_path / "out")
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1), done.stderr
    assert not (tmp_path / "out").exists()


def test_a_workload_object_reaches_the_runs(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nimport gpuprobe\nassert 'numpy' not in sys.modules\nimport keras, numpy as np\n"
        "x = np.ones((64, 4), 'float32')\n"
        "@keras.saving.register_keras_serializable()\nclass Net(keras.Model):\n    pass\n"
        "class Twice(keras.layers.Layer):\n    def call(self, x):\n        return 2 * x\n"
        "def bend(x):\n    return keras.ops.relu(x)\n"
        "given = keras.Input((4,))\nnet = Net(given, Twice()(keras.layers.Dense(1, activation=bend)(given)))\n"
        "net.compile('sgd', 'mse')\n"
        "job = gpuprobe.Workload(model=net, data=(x, x[:, :1]), batch_size=8, name='mine')\n"
        "found = gpuprobe.run(job, ['numpy', 'mixed_precision'], out='out', rounds=1, steps=8, trace=False)\n"
        "print([row.strategy for row in found.ranking.rows], [s.strategy for s in found.ranking.skipped])\n"
        "import shutil\nshutil.rmtree(found.folder / 'runs' / '1-numpy')\n"
        "again = gpuprobe.run(resume=found.folder)\n"
        "print([row.strategy for row in again.ranking.rows], again.folder == found.folder)\n"
    )
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["['numpy'] ['mixed_precision']", "['numpy'] True"]


def test_the_template_runs_as_it_is(tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "mine.py"
    assert cli("new", path).returncode == 0
    assert cli("new", path).returncode == 4, "nothing is overwritten"
    done = cli("run", "--model", f"{path}:workload", "--strategies", "numpy", "--rounds", 1, "--steps", 8, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", list(workloads()))
def test_our_models_learn_and_tell_what_verdict_to_expect(name: str, cli: Cli) -> None:
    entry = workloads()[name]
    # What it gives on a processor is shown in test_documented.py.
    assert entry.on_gpu.split()[0].rstrip(":") in {"launch_bound", "input_bound", "copy_bound", "compute_bound"}
    workload = entry.make()
    model, given = workload.build(), source(workload)
    workload.compile(model, jit_compile=False, steps_per_execution=1)
    assert isinstance(given, ArraySource)
    first = ArraySource(parts=given.rows(slice(0, 32)))
    batch = mapped(workload, first).parts
    losses = [model.train_on_batch(*batch)[0] for _ in range(8)]
    assert losses[-1] < losses[0]
