"""`watch --trace`: a training is traced and diagnosed without a change to its script, which notices nothing."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.helpers.program import Cli

pytest.importorskip("keras")
pytest.importorskip("tensorflow")

# The first training is too short for a trace; the map of the second sleeps.
SCRIPT = """
import os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, keras, tensorflow as tf

def sleeps(x):
    time.sleep(0.05)
    return x

x = np.ones((240, 4), "float32")
data = tf.data.Dataset.from_tensor_slices(x).batch(8)
data = data.map(lambda x: (tf.ensure_shape(tf.numpy_function(sleeps, [x], tf.float32), (None, 4)), x[:, :1]))
net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
net.compile("sgd", "mse")

def at_epoch(epoch, logs):
    if epoch == int(sys.argv[1]):
        os.kill(os.getpid(), 9)

net.fit(x, x[:, :1], batch_size=120, verbose=0)
end = keras.callbacks.LambdaCallback(on_epoch_end=at_epoch)
history = net.fit(data, epochs=int(sys.argv[2]), verbose=0, callbacks=[end]).history
print(sorted(history))
sys.exit(3)
"""
NEVER = 100
# What a busy machine adds lies outside the steps, and may outweigh them: then it leads, rightly.
LEAD = re.compile(r"By the trace of training 2 of 2: (input_bound|startup|epoch_start)\b")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(SCRIPT)
    return tmp_path / "train.py"


def test_an_unmodified_training_is_diagnosed_and_notices_nothing(script: Path, tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "r"
    done = cli("watch", "--trace", "--out", out, "--", sys.executable, script, NEVER, 3)
    assert (done.returncode, done.stdout) == (3, "['loss']\n"), done.stderr
    assert "Not diagnosed: 1 training: the training ended after 2 calls, before a trace was due" in done.stderr
    assert "Training 2 of 2, by its trace" in done.stderr
    assert LEAD.search(done.stderr.partition("Verdict: ")[2])
    assert "Not known: without a trace" not in done.stderr
    assert done.stderr.count("Next:") == 1, "the trace says what to do"
    assert cli("report", out).returncode == 0
    text = (out / "report.md").read_text()
    assert text.startswith("# No GPU was sampled. ")
    assert "](plots/answer.svg)" in text
    assert (out / "plots" / "answer.svg").is_file()
    assert "ms, measured" in (out / "report.html").read_text()
    assert LEAD.search(text.partition("**Verdict.** ")[2])
    assert "Not diagnosed, 1 training: " in text
    assert "| idle_input |" in text
    assert "## Where the wall time went: " in text
    assert "| steps |" in text
    assert "Without a trace" not in text
    short, training = json.loads((out / "report.json").read_text())["trainings"]
    assert short["diagnosis"] is None
    first, *others = (finding["cause"] for finding in training["diagnosis"]["findings"])
    assert "input_bound" in (first, *others)
    assert ("next batch comes too late" in text.splitlines()[0]) is (first == "input_bound")
    assert (out / training["folder"] / "run.json").is_file()
    page = out / training["folder"] / "step.html"
    assert f"Look into the steps: {page} (1 page)" in done.stderr
    assert page.is_file()


def test_one_that_is_killed_midway_is_diagnosed_by_what_it_left(script: Path, tmp_path: Path, cli: Cli) -> None:
    done = cli("watch", "--trace", "--out", tmp_path / "r", "--", sys.executable, script, 2, 9)
    assert (done.returncode, done.stdout) == (137, "")
    assert "it was ended by SIGKILL" in done.stderr
    assert LEAD.search(done.stderr.partition("Verdict: ")[2])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sh", "-c", "echo out; exit 7"), "the command never loaded Keras"),
        ((sys.executable, "-c", "import os; print('out'); os._exit(7)"), "the command never loaded Keras"),
        ((sys.executable, "-c", "import keras, os; print('out', flush=True); os._exit(7)"), "fit was not called"),
    ],
)
def test_a_command_without_a_training_is_told_in_one_line(
    words: tuple[str, ...], said: str, tmp_path: Path, cli: Cli
) -> None:
    out = tmp_path / "r"
    done = cli(
        "watch", "--trace", "--out", out, "--", *words, env={"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUNBUFFERED": "1"}
    )
    assert (done.returncode, done.stdout) == (7, "out\n")
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("No training was traced:")]
    assert said in line
    assert cli("report", out).returncode == 0
    assert said in (out / "report.md").read_text()


def test_a_command_that_is_not_found_leaves_no_folder(tmp_path: Path, cli: Cli) -> None:
    done = cli("watch", "--trace", "--out", tmp_path / "r", "--", "no-such-program")
    assert done.returncode == 127
    assert not (tmp_path / "r").exists()
