"""What `fit` was given is recorded, so that advice never asks for what is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpuprobe.evidence.run import given_signals
from gpuprobe.records import Evidence, Given, Run, load

PROGRAM = """
import sys
import numpy as np, keras, tensorflow as tf, gpuprobe
x, y = np.ones((32, 4), "float32"), np.ones((32, 1), "float32")

class Batches(keras.utils.PyDataset):
    def __len__(self): return 4
    def __getitem__(self, index): return x[:8], y[:8]

class Mine(keras.callbacks.Callback): pass

class Saves(keras.callbacks.ModelCheckpoint): pass

def generated():
    while True: yield x[:8], y[:8]

def fit(name, data, *more, model=None, **named):
    net = model or keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    net.compile("sgd", "mse")
    probe = gpuprobe.keras.Probe(sys.argv[1], name=name, trace_steps=0, verbose=False)
    net.fit(data, *more, callbacks=[probe, *named.pop("own", [])], **named)

fit("arrays", x, y, epochs=np.int64(3), verbose=2, own=[Mine()])
fit(
    "settings", x, y, verbose=0, validation_data=(x, y), validation_freq=2, validation_steps=1,
    own=[
        Saves(sys.argv[1] + "/{epoch}.weights.h5", save_weights_only=True, save_freq=200),
        keras.callbacks.TensorBoard(sys.argv[1] + "/logs", histogram_freq=3, update_freq="batch", write_graph=False),
        keras.callbacks.EarlyStopping("loss", restore_best_weights=True),
        keras.callbacks.BackupAndRestore(sys.argv[1] + "/a", save_freq=100),
        keras.callbacks.BackupAndRestore(sys.argv[1] + "/b", save_freq="epoch"),
    ],
)
fit("workers", Batches(workers=3), verbose=0)
fit("generator", generated(), steps_per_epoch=4, verbose="auto")
lengths = tf.data.Dataset.from_generator(
    lambda: ((np.ones((2, n, 4), "float32"), np.ones((2, 1), "float32")) for n in (3, 4, 5)),
    output_signature=(tf.TensorSpec((2, None, 4)), tf.TensorSpec((2, 1))),
)
sequence = keras.Sequential([keras.Input((None, 4)), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(1)])
fit("lengths", lengths, model=sequence, verbose=0)
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Given | None]:
    out = tmp_path_factory.mktemp("out")
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, out], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stderr.count("gpuprobe:")) == (0, 0), done.stderr
    runs: dict[str, Path] = {
        path.parent.parent.parent.name.split("-", 2)[2]: path for path in out.glob("*/runs/*/run.json")
    }
    return {name: load(Run, path).given for name, path in runs.items()}


def test_what_fit_was_given_is_recorded(recorded: dict[str, Given | None]) -> None:
    assert recorded["arrays"] == Given(data_kind="arrays", epochs=3, verbose=2, callbacks=("Mine",), samples_vary=False)
    assert recorded["workers"] == Given(
        data_kind="a PyDataset", data_workers=3, epochs=1, verbose=0, callbacks=(), samples_vary=False
    )
    generator = recorded["generator"]
    assert generator is not None
    assert (generator.data_kind, generator.verbose) == ("a generator", 1)


def test_settings_of_callbacks_that_cost_time_are_recorded(recorded: dict[str, Given | None]) -> None:
    given = recorded["settings"]
    assert given is not None
    settings = {f"{one.callback}.{one.name}": one.value for one in given.callback_settings}
    assert settings == {
        "Saves.save_freq": 200,
        "Saves.save_weights_only": True,
        "Saves.save_best_only": False,
        "TensorBoard.update_freq": 1,
        "TensorBoard.write_steps_per_second": False,
        "TensorBoard.histogram_freq": 3,
        "TensorBoard.write_graph": False,
        "TensorBoard.write_images": False,
        "TensorBoard.embeddings_freq": 0,
        "EarlyStopping.restore_best_weights": True,
    }, "two of one class that differ are left out"
    assert (given.validation_freq, given.validation_steps) == (2, 1)
    known = Evidence(signals=given_signals(given))
    assert known.number("setting.Saves.save_freq") == 200


def test_samples_of_several_lengths_are_told(recorded: dict[str, Given | None]) -> None:
    lengths = recorded["lengths"]
    assert lengths is not None
    assert (lengths.data_kind, lengths.samples_vary) == ("a tf.data dataset", True)


def test_what_was_not_seen_is_no_signal() -> None:
    assert given_signals(None) == ()
    known = Evidence(signals=given_signals(Given(verbose=0, callbacks=())))
    assert [signal.name for signal in known.signals] == ["verbose", "own_callbacks"]
    assert known.number("verbose") == 0
