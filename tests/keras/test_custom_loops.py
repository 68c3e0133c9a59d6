"""Loops that are no `fit` are traced in a script that nobody changed: a step is an update, and no weight changes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import gpuprobe
from gpuprobe.keras.custom_loops import HANDOVER, CustomLoops, StepLeader
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.records import Run, load
from gpuprobe.traces.read import read
from tests.helpers.program import Cli

# Each form trains a model of its own for so many steps; a `fit` ends the loop before it.
SCRIPT = """
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, keras, tensorflow as tf
from gpuprobe.keras import attach, custom
from gpuprobe.keras.options import ProbeOptions

STEPS = int(sys.argv[2])
counted = {}
if sys.argv[1]:
    attach.MOST_TRAININGS = 99
    attach._with_probe = lambda signature, given, named, folder: (given, named)
    attach._options = lambda folder, name: ProbeOptions(name=name, out=folder, trace_at=4)
    step = custom.Steps.step
    def counts(steps):
        counted[form] = counted.get(form, 0) + 1
        step(steps)
    custom.Steps.step = counts
    attach.patch(keras, sys.argv[1])

tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0],
                                           [tf.config.LogicalDeviceConfiguration()] * 2)
x = np.random.default_rng(0).standard_normal((8, 4)).astype("float32")
forms = {}

def network():
    layers = [keras.layers.Dense(3), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    return keras.Sequential([keras.Input((4,)), *layers])

def updating(net, optimizer):
    def update(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((net(x, training=True) - x[:, :1]) ** 2)
        optimizer.apply_gradients(zip(tape.gradient(loss, net.trainable_weights), net.trainable_weights))
        return loss
    return update

def form(make):
    forms[make.__name__] = make
    return make

@form
def eager():
    net = network()
    return [net], updating(net, keras.optimizers.Adam())

@form
def function():
    net = network()
    return [net], tf.function(updating(net, keras.optimizers.Adam()))

@form
def compiled():
    net = network()
    return [net], tf.function(updating(net, keras.optimizers.SGD()), jit_compile=True)

@form
def loss_scaled():
    net = network()
    return [net], updating(net, keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()))

@form
def in_another_function():
    net = network()
    inner = tf.function(updating(net, keras.optimizers.SGD()))
    inner(x)
    @tf.function
    def outer(x):
        if tf.reduce_sum(x) > -1e9:
            return inner(x)
        return 0.0
    return [net], outer

@form
def updated_outside():
    net, optimizer = network(), keras.optimizers.SGD()
    @tf.function
    def gradients(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((net(x, training=True) - x[:, :1]) ** 2)
        return tape.gradient(loss, net.trainable_weights)
    return [net], lambda x: optimizer.apply(gradients(x), net.trainable_weights)

@form
def two_in_one_function():
    nets = [network(), network()]
    updates = [updating(net, keras.optimizers.SGD()) for net in nets]
    return nets, tf.function(lambda x: [update(x) for update in updates])

@form
def two_functions():
    nets = [network(), network()]
    updates = [tf.function(updating(net, keras.optimizers.SGD())) for net in nets]
    return nets, lambda x: [update(x) for update in updates]

@form
def train_on_batch():
    net = network()
    net.compile("adam", "mse")
    return [net], lambda x: net.train_on_batch(x, x[:, :1])

@form
def distributed():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        net, optimizer = network(), keras.optimizers.SGD()
        optimizer.build(net.trainable_weights)
    update = updating(net, optimizer)
    return [net], tf.function(lambda x: strategy.run(update, args=(x,)))

tiny = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
tiny.compile("sgd", "mse")
weights = {}
for form, make in forms.items():
    keras.utils.set_random_seed(1)
    nets, train = make()
    batch = x if form == "train_on_batch" else tf.constant(x)
    for _ in range(STEPS):
        train(batch)
    weights[form] = [weight.tobytes().hex() for net in nets for weight in net.get_weights()]
    tiny.fit(x, x[:, :1], verbose=0)
print(json.dumps({"weights": weights, "counted": counted}))
"""
STEPS = 30
FORMS = (
    "eager",
    "function",
    "compiled",
    "loss_scaled",
    "in_another_function",
    "updated_outside",
    "two_in_one_function",
    "two_functions",
    "train_on_batch",
    "distributed",
)


def test_every_form_of_loop_is_traced_step_by_step_to_the_same_weights(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    # AutoGraph reads a function's source, and so needs a file.
    (tmp_path / "forms.py").write_text(SCRIPT)
    said = []
    for folder in ("", str(tmp_path)):
        command = [sys.executable, str(tmp_path / "forms.py"), folder, str(STEPS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.count("gpuprobe")) == (0, 0), done.stderr
        said.append(json.loads(done.stdout))
    plain, watched = said
    assert plain["weights"] == watched["weights"]
    assert {form: watched["counted"].get(form) for form in FORMS} == {
        # The first update starts the recording.
        **dict.fromkeys(FORMS, STEPS - 1),
        # The inner function has been called by itself before.
        "in_another_function": STEPS - HANDOVER + 1,
    }
    runs = list(tmp_path.glob("*-loop*/runs/1-fit"))
    assert len(runs) == len(FORMS), "updates within fit are no loop"
    recorded = [load(Run, folder / "run.json") for folder in runs]
    for run in recorded:
        assert (run.outcome.state, run.trace and run.trace.steps) == ("done", 6)
    batches = [run.spec.batch_size for run in recorded]
    assert sorted(batches) == [0] * (len(FORMS) - 1) + [8], "train_on_batch shows it"
    (device,) = breakdown_of(read(runs[0] / "trace")).devices
    assert (device.steps, device.steps_from) == (6, "step markers")


@pytest.mark.parametrize(
    ("updates", "steps"),
    [
        ("a" * 5, 5),
        ("ab" * 5, 5),
        ("aaaaab" * 3, 15),
        ("a" + "b" * HANDOVER, 2),
        ("a" + "b" * (HANDOVER - 1) + "a", 2),
        ("abc" * 9, 9),
    ],
)
def test_of_several_that_update_the_first_ends_a_step_until_it_stops(updates: str, steps: int) -> None:
    leader = StepLeader()
    assert sum(leader.leads(ord(who)) for who in updates) == steps


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the trainings that other tests in this process broke off, which are watched until its end."""
    pytest.importorskip("keras")
    from gpuprobe.keras.watcher import Watcher

    monkeypatch.setattr(Watcher, "active", set())


def test_whatever_fails_in_watching_a_loop_is_said_once(alone: None) -> None:
    said: list[Exception] = []

    def fail() -> None:
        raise OSError("made to fail")

    loops, optimizer = CustomLoops(fail, said.append), object()
    for _ in range(3):
        loops.record_update(optimizer)
    with loops.without_steps():
        loops.record_update(optimizer)
    assert [str(error) for error in said] == ["made to fail"]


def test_a_loop_with_a_window_of_its_own_is_left_alone(alone: None, tmp_path: Path) -> None:
    asked: list[object] = []
    loops = CustomLoops(lambda: asked.append("for options"), asked.append)
    with gpuprobe.window("mine", out=tmp_path, trace_steps=0, verbose=False):
        loops.record_update(loops)
    assert not asked
    loops.record_update(loops, replica_number=lambda: 1)
    assert not asked, "the first replica counts for all"
    loops.record_update(loops, replica_number=lambda: 0)
    loops.record_update(loops)
    assert asked == ["for options"], "there are enough recordings"


LOOP = """
import glob
import numpy as np, keras, tensorflow as tf
net, optimizer = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]), keras.optimizers.SGD()
data = tf.data.Dataset.from_tensors(tf.ones((8, 4))).repeat()

@tf.function
def train_step(x):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(net(x) ** 2)
    optimizer.apply(tape.gradient(loss, net.trainable_weights), net.trainable_weights)
    return loss

for step, x in enumerate(data):
    loss = train_step(x)
    if step % 50 == 0 and glob.glob("r/**/*.xplane.pb", recursive=True):
        break
print("trained")
"""


def test_a_loop_of_ones_own_is_diagnosed(tmp_path: Path, cli: Cli) -> None:
    pytest.importorskip("tensorflow")
    (tmp_path / "loop.py").write_text(LOOP)
    done = cli("watch", "--trace", "--out", tmp_path / "r", "--", sys.executable, "loop.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "trained\n"), done.stderr
    assert "Its training, by its trace" in done.stderr
    assert "6 steps by step markers" in done.stderr
    (study,) = (tmp_path / "r" / "trainings").glob("*-loop")
    assert cli("diagnose", tmp_path / "r").returncode == 0
    assert (study / "runs" / "1-fit" / "run.json").is_file()
