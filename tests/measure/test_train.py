"""`gpuprobe train`: real digits, curves, checkpoints; one that is killed and resumed ends with the same curve."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from gpuprobe.errors import InputError
from gpuprobe.measure import training
from gpuprobe.measure.checkpoint import EpochRow, read_curves
from gpuprobe.measure.train import images
from gpuprobe.measure.training import TrainingSpec
from gpuprobe.predict.published import published_epoch_s
from gpuprobe.records import load, save
from gpuprobe.workloads.arrays import Arrays, save_arrays
from gpuprobe.workloads.cifar import resnet_on_cifar
from gpuprobe.workloads.digits import digits
from gpuprobe.workloads.workload import Workload
from tests.helpers.program import Cli

# Where `make` puts scikit-learn for the tests.
OWN_FOLDER = Path(sys.prefix) / "digits"
FEW = ("--data", "digits", "--depth", 8, "--samples", 128, "--strategy")


@pytest.fixture(autouse=True)
def scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process and those that it starts find scikit-learn."""
    monkeypatch.syspath_prepend(OWN_FOLDER)
    monkeypatch.setenv("PYTHONPATH", str(OWN_FOLDER))
    if find_spec("sklearn") is None:
        pytest.skip("scikit-learn, which has the digits, is not installed (`make test` installs it)")


def test_digits_are_real_balanced_and_of_cifars_shape() -> None:
    found = digits()
    assert (found.x.shape, found.x_test.shape) == ((1437, 32, 32, 3), (360, 32, 32, 3))
    assert found.x.dtype == np.uint8
    assert set(found.y) == set(found.y_test) == set(range(10))
    assert np.array_equal(found.x[..., 0], found.x[..., 2])
    assert found.x.max() > 240
    # A nearest neighbour tells most of them apart, so that the resizing has kept what they show.
    known, asked = found.x[..., 0].reshape(1437, -1).astype(float), found.x_test[:60, ..., 0].reshape(60, -1)
    nearest = [((known - one) ** 2).sum(axis=1).argmin() for one in asked]
    assert (found.y[nearest] == found.y_test[:60]).mean() > 0.9


def test_an_epoch_is_expected_where_a_figure_was_published() -> None:
    assert published_epoch_s(["NVIDIA GeForce GTX 1080 Ti"], 20, 50_000) == 35
    assert published_epoch_s(["NVIDIA GeForce GTX 1080 Ti"], 56, 25_000) == 45
    assert published_epoch_s(["NVIDIA GeForce GTX 1080"], 20, 50_000) is None
    assert published_epoch_s([], 20, 50_000) is None


def curve(rows: list[EpochRow]) -> list[tuple[float | None, ...]]:
    return [(row.train_loss, row.train_accuracy, row.test_loss, row.test_accuracy) for row in rows]


def the_folder(out: Path) -> Path:
    (folder,) = out.iterdir()
    return folder


def test_killed_and_resumed_it_ends_with_the_same_curve(cli: Cli, tmp_path: Path) -> None:
    words = ["train", *map(str, FEW), "tfdata_prefetch", "--epochs", "3", "--out", str(tmp_path / "cut")]
    process = subprocess.Popen([sys.executable, "-m", "gpuprobe.cli", *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 1/3"):
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    cut = the_folder(tmp_path / "cut")
    assert 1 <= len(read_curves(cut)) < 3
    resumed = cli("train", "--resume", cut)
    assert resumed.returncode == 0, resumed.stderr
    assert {"best.keras", "curves.csv", "curves.svg", "checkpoint.npz"} <= {path.name for path in cut.iterdir()}
    assert b"<svg" in (cut / "curves.svg").read_bytes()
    assert resumed.stdout.count("epoch 1/3") == 1
    spec = load(TrainingSpec, cut / "training.json")
    begin(tmp_path / "whole", spec, images(spec))
    training.run(tmp_path / "whole", lambda _row: None)
    assert curve(read_curves(cut)) == curve(read_curves(tmp_path / "whole"))


def test_what_is_wrong_is_one_clear_line(cli: Cli, tmp_path: Path) -> None:
    for words, code, said in [
        (("--resume", tmp_path), 3, "not a training"),
        (("--strategy", "numpy,xla"), 2, "name one"),
        (("--depth", 9), 2, "6n+2"),
    ]:
        done = cli("train", *words)
        assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
        assert said in done.stderr


class Killed(BaseException):
    """Ends a training where it stands, as a kill does."""


def begin(folder: Path, spec: TrainingSpec, data: Arrays) -> None:
    arrays = folder / "arrays"
    arrays.mkdir(parents=True)
    save_arrays(data, arrays)
    save(msgspec.structs.replace(spec, arrays=str(arrays)), folder / "training.json")


def begin_small(folder: Path, epochs: int = 1) -> None:
    spec = TrainingSpec(epochs=epochs, strategy="generator", batch_size=32, seed=1, depth=8, data="digits")
    begin(folder, spec, digits().first(64))


@pytest.fixture
def _small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train a small network in the ResNet's place, in this process."""
    from tests.helpers.small_workload import network

    def small(*given: Any, **named: Any) -> Workload:
        return replace(resnet_on_cifar(*given, **named), model=network)

    monkeypatch.setattr("gpuprobe.workloads.cifar.resnet_on_cifar", small)


@pytest.mark.usefixtures("_small_network")
def test_wherever_it_is_cut_off_it_ends_with_the_same_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    begin_small(tmp_path / "whole", 4)
    training.run(tmp_path / "whole", lambda _row: None)
    begin_small(tmp_path / "cut", 3)

    def fails(*_given: object, **_named: object) -> None:
        raise Killed

    def half_a_checkpoint(file: Path, **_arrays: object) -> None:
        file.write_bytes(b"PK\x03\x04 half")
        raise Killed

    def replaces_no_curves(path: Path, target: Path) -> None:
        if path.suffix == ".csv":
            raise Killed
        os.replace(path, target)  # noqa: PTH105

    for place, name, cut in (
        # After the steps of the epoch and before its test; in the checkpoint; after it; in the best weights.
        (keras.Model, "evaluate", fails),
        (np, "savez", half_a_checkpoint),
        (Path, "replace", replaces_no_curves),
        (keras.Model, "save", fails),
    ):
        with monkeypatch.context() as killed:
            killed.setattr(place, name, cut)
            with pytest.raises(Killed):
                training.run(tmp_path / "cut", lambda _row: None)
    spec = load(TrainingSpec, tmp_path / "cut" / "training.json")
    save(msgspec.structs.replace(spec, epochs=4), tmp_path / "cut" / "training.json")
    training.run(tmp_path / "cut", lambda _row: None)
    rows = read_curves(tmp_path / "cut")
    assert [row.epoch for row in rows] == [1, 2, 3, 4]
    assert curve(rows) == curve(read_curves(tmp_path / "whole"))
    assert keras.saving.load_model(tmp_path / "cut" / "best.keras").count_params() > 0


@pytest.mark.usefixtures("_small_network")
def test_what_ends_a_training_is_one_line_with_its_exit_code(tmp_path: Path) -> None:
    full = training._failure(OSError(errno.ENOSPC, "No space left on device"), tmp_path)
    assert (full.exit_code, "make room, then gpuprobe train --resume" in full.error) == (4, True)
    begin_small(tmp_path / "damaged")
    (tmp_path / "damaged" / "checkpoint.npz").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(InputError, match="cannot be read back"):
        training.run(tmp_path / "damaged", lambda _row: None)
    begun = TrainingSpec(epochs=1, strategy="numpy", batch_size=32, seed=0, depth=8, data="digits", images="CIFAR-10")
    with pytest.raises(InputError, match="began with CIFAR-10"):
        images(begun)
