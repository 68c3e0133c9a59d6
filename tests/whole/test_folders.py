"""In whatever folder gpuprobe is started, it runs what is installed, and nothing that lies there."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

from gpuprobe import telemetry
from gpuprobe.recording import TELEMETRY_FILE
from tests.helpers.planted import PROGRAM, Planted, program
from tests.helpers.program import ROOT

ONE = ("--strategies", "numpy", "--rounds", "1", "--steps", "4")
FEW = ("--depth", "8", "--batch-size", "8", "--data", "synthetic", "--samples", "64")
# Beside it lies what it imports; `random` there is what it means, as under `python work.py`.
WORKLOAD = """
import keras, numpy as np
import beside
from gpuprobe import Workload

def model():
    import later
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(later.UNITS)])

def work():
    x = np.ones((64, beside.WIDTH), "float32")
    return Workload(model=model, data=(x, x[:, :1]), loss="mse", batch_size=8)
"""
SPEC = "steps = 2\n[kernels]\ncount = 20\n[recording]\nwindow_s = 1\n"


@pytest.fixture(scope="module")
def own(planted: Planted) -> Planted:
    """The planted folder with a workload, a spec and two studies in it."""
    folder = planted.folder
    (folder / "own").mkdir()
    (folder / "own" / "work.py").write_text(WORKLOAD)
    (folder / "own" / "beside.py").write_text("WIDTH = 4\n")
    (folder / "own" / "later.py").write_text("UNITS = 1\n")
    (folder / "spec.toml").write_text(SPEC)
    # One without traces, which is read sooner.
    shutil.copytree(ROOT / "reports" / "example", folder / "study")
    return planted


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--help",), 0, "Usage"),
        (("capture", "--pid", "4000000"), 3, "no such process"),
        (("compare", "study", "study"), 0, ""),
        (("diagnose", "reports/demo/runs/1-xla"), 0, "Verdict"),
        (("doctor",), 0, "imports"),
        (("list",), 0, "python_feed"),
        (("list", "--models"), 0, "mlp"),
        (("new", "made.py"), 0, "made.py"),
        (("predict", "--gpu", "GTX 1060 3GB"), 0, ""),
        (("report", "study"), 0, "report"),
        (("run", *ONE, *FEW), 0, "Report:"),
        (
            ("run", "--model", "own/work.py:work", *ONE),
            0,
            "Report:",
        ),
        (("simulate", "spec.toml", "--out", "simulated"), 0, "SIMULATED"),
        (("train", "--epochs", "1", "--strategy", "numpy", *FEW), 0, "Curves:"),
        (("watch", "--out", "watched", "--", "sleep", "1"), 0, ""),
        (("watch", "--trace", "--out", "traced", "--", "true"), 0, ""),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_no_command_runs_what_lies_in_the_current_folder(
    words: tuple[str, ...], code: int, said: str, own: Planted
) -> None:
    done = program(own.folder, *words)
    assert not own.executed
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stdout + done.stderr
    if words[:1] == ("watch",) and "sleep" in words:
        assert telemetry.read(own.folder / "watched" / TELEMETRY_FILE).series("tree_cpu_s")[0].size


def test_view_runs_nothing_of_the_current_folder_and_leaves_nothing_when_it_is_told_to_end(own: Planted) -> None:
    viewing = subprocess.Popen([PROGRAM, "view", "reports/demo"], cwd=own.folder, stdout=subprocess.PIPE, text=True)
    assert viewing.stdout is not None
    assert any("Ctrl-C" in line for line in viewing.stdout)
    assert not own.executed
    viewing.send_signal(signal.SIGTERM)
    assert viewing.wait(400) == -signal.SIGTERM


def test_what_pythonpath_names_counts_and_an_empty_entry_in_it_does_not(own: Planted, tmp_path: Path) -> None:
    """What the children do is told by the doctor's, which imports TensorFlow: a stand-in for it is named."""
    (tmp_path / "tensorflow.py").write_text("raise ImportError('the one that PYTHONPATH names')\n")
    script = f"""
import os, sys
sys.path.remove("")
from gpuprobe.doctor.ask_tensorflow import ask_tensorflow
os.chdir({str(own.folder)!r})
os.environ["PYTHONPATH"] = {f":{tmp_path}:"!r}
print(ask_tensorflow(60).missing)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "the one that PYTHONPATH names" in done.stdout, done.stderr
    assert not own.executed


def test_installed_from_a_wheel_it_uses_the_installed_package_in_the_checkout(tmp_path: Path) -> None:
    if Version(version("setuptools")) < Version("77"):
        pytest.skip(f"setuptools {version('setuptools')} cannot build it (the dev group has a newer one)")
    checkout, venv = tmp_path / "checkout", tmp_path / "venv"
    for name in ("gpuprobe", "models"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, checkout)
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    build = ("wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, checkout)
    subprocess.run([*pip, *build], check=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    subprocess.run([*pip, "--python", venv, "install", "--no-index", "--no-deps", wheel], check=True, cwd=tmp_path)
    # What it needs is what we have; in a folder that is named so no `.pth` counts, as of an editable install.
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "needed.pth").write_text("\n".join(place for place in sys.path if "-packages" in place) + "\n")
    executed = tmp_path / "executed"
    for name in ("gpuprobe", "models"):
        with (checkout / name / "__init__.py").open("a") as file:
            file.write(f"\nopen({str(executed)!r}, 'a').write({name + ' '!r})\n")
    run = (venv / "bin" / "gpuprobe", "run", *ONE, *FEW)
    done = subprocess.run(run, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (page,) = checkout.glob("reports/*/runs/*/step.html")
    assert "drawStrip" in page.read_text(), "its scripts are part of what is installed"
    (points,) = site.glob("gpuprobe-*.dist-info/entry_points.txt")
    assert "gpuprobe.board.plugin:Plugin" in points.read_text(), "TensorBoard finds its tab"
    assert not executed.exists(), executed.read_text()
