"""`gpuprobe train`: real digits, curves, checkpoints; one that is killed and resumed ends with the same curve."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli

pytest.importorskip("sklearn")

from gpuprobe.measure.training import EpochRow, read_curves
from gpuprobe.workloads.digits import digits
from gpuprobe.workloads.expectation import expected_epoch_s

FEW = ("--data", "digits", "--depth", 8, "--samples", 256, "--strategy")


def test_digits_are_real_balanced_and_of_cifars_shape() -> None:
    found = digits()
    assert (found.x.shape, found.x_test.shape, found.x.dtype) == ((1437, 32, 32, 3), (360, 32, 32, 3), np.uint8)
    assert set(found.y) == set(found.y_test) == set(range(10))
    assert np.array_equal(found.x[..., 0], found.x[..., 2])
    assert found.x.max() > 240
    # A nearest neighbour tells most of them apart, so that the resizing has kept what they show.
    known, asked = found.x[..., 0].reshape(1437, -1).astype(float), found.x_test[:60, ..., 0].reshape(60, -1)
    nearest = [((known - one) ** 2).sum(axis=1).argmin() for one in asked]
    assert (found.y[nearest] == found.y_test[:60]).mean() > 0.9


def test_an_epoch_is_expected_where_a_figure_was_published() -> None:
    assert expected_epoch_s(["NVIDIA GeForce GTX 1080 Ti"], 20, 50_000) == 35
    assert expected_epoch_s(["NVIDIA GeForce GTX 1080 Ti"], 56, 25_000) == 45
    assert expected_epoch_s(["NVIDIA GeForce GTX 1080"], 20, 50_000) is None
    assert expected_epoch_s([], 20, 50_000) is None


def curve(rows: list[EpochRow]) -> list[tuple[float, ...]]:
    return [(row.train_loss, row.train_accuracy, row.test_loss, row.test_accuracy) for row in rows]


def the_folder(out: Path) -> Path:
    (folder,) = out.iterdir()
    return folder


def test_killed_and_resumed_it_ends_with_the_same_curve(cli: Cli, tmp_path: Path) -> None:
    strategy = "tuned"
    whole = cli("train", *FEW, strategy, "--epochs", 3, "--out", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    folder = the_folder(tmp_path / "whole")
    assert {"best.keras", "curves.csv", "curves.svg", "checkpoint.npz"} <= {path.name for path in folder.iterdir()}
    assert b"<svg" in (folder / "curves.svg").read_bytes()
    words = ["train", *map(str, FEW), strategy, "--epochs", "3", "--out", str(tmp_path / "cut")]
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
    assert curve(read_curves(cut)) == curve(read_curves(folder))
    assert resumed.stdout.count("epoch 1/3") == 1


def test_what_is_wrong_is_one_clear_line(cli: Cli, tmp_path: Path) -> None:
    for words, code, said in [
        (("--resume", tmp_path), 3, "not a training"),
        (("--strategy", "numpy,xla"), 2, "name one"),
        (("--depth", 9), 2, "6n+2"),
    ]:
        done = cli("train", *words)
        assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
        assert said in done.stderr
