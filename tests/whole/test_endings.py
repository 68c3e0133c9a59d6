"""Whatever ends gpuprobe, nothing that it started outlives it; whatever the user's code does, it comes to its end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from gpuprobe.errors import InputError
from gpuprobe.measure.survey import Question, survey
from gpuprobe.scratch import scratch
from tests.helpers.program import run_cli
from tests.helpers.studies import SimulatedStrategy, simulate_study
from tests.helpers.waiting import LIMIT_S, ended, until, until_gone

FEW = ("--rounds", "1", "--depth", "8", "--batch-size", "8", "--data", "synthetic", "--samples", "512", "--no-trace")
LONG = ("run", "--strategies", "python_feed", *FEW, "--steps", "1000000")
TRAIN = ("train", *FEW[2:-1], "--strategy", "numpy", "--epochs", "10000")


def start(*words: str, cwd: Path, said: str) -> subprocess.Popen[str]:
    """Start the program, with a folder of its own for what is temporary, and wait until it has said something."""
    (cwd / "tmp").mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "gpuprobe.cli", *words],
        cwd=cwd,
        env={**os.environ, "TMPDIR": str(cwd / "tmp"), "COLUMNS": "300"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    assert any(said in line for line in process.stdout), f"it ended without saying {said!r}"
    return process


def end(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """End it so, and see that all that it started ends too."""
    started = psutil.Process(process.pid).children(recursive=True)
    assert started
    process.send_signal(number)
    assert process.wait(LIMIT_S) == -number
    until(lambda: all(ended(one.pid) for one in started), "the end of all that it started")


def test_whatever_ends_view_nothing_is_left_but_what_the_next_start_clears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate_study(tmp_path, [SimulatedStrategy(name="a", step_ms=10.0)], rounds=1)
    trace = tmp_path / "runs" / "1-a" / "trace" / "plugins" / "profile" / "now" / "host.xplane.pb"
    trace.parent.mkdir(parents=True)
    trace.touch()
    places = tmp_path / "tmp"
    end(start("view", ".", cwd=tmp_path, said="Ctrl-C"), signal.SIGKILL)
    (left,) = places.glob("gpuprobe-*")
    somebodys = places / "gpuprobe-somebodys"
    somebodys.mkdir()
    (places / "gpuprobe-link").symlink_to(left)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    with scratch() as mine:
        living = places / "gpuprobe-living"
        living.symlink_to(mine)
        moved = mine.rename(places / "gpuprobe-moved")
        viewing = start("view", ".", cwd=tmp_path, said="Ctrl-C")
        assert not left.exists(), "the next start clears it"
        assert {somebodys, moved, places / "gpuprobe-link", living} <= {*places.glob("gpuprobe-*")}
        end(viewing, signal.SIGHUP)
    shutil.rmtree(moved, ignore_errors=True)
    end(start("view", ".", cwd=tmp_path, said="Ctrl-C"), signal.SIGTERM)
    assert {*places.glob("gpuprobe-*")} == {somebodys, places / "gpuprobe-link", living}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_a_study_no_process_is_left_but_a_study_to_report(number: signal.Signals, tmp_path: Path) -> None:
    end(start(*LONG, cwd=tmp_path, said="measuring"), number)
    assert len([*(tmp_path / "tmp").glob("gpuprobe-*")]) == (1 if number == signal.SIGKILL else 0)
    if number == signal.SIGKILL:
        (study,) = (tmp_path / "reports").iterdir()
        done = run_cli("report", study)
        assert done.returncode == 0, done.stderr
        assert "gpuprobe ended before this run did" in (study / "report.md").read_text()


@pytest.mark.parametrize(
    ("words", "said", "replaced"),
    [(LONG, "measuring", False), (LONG, "measuring", True), (TRAIN, "epoch 1/", False)],
    ids=["run", "run-replaced", "train"],
)
def test_a_folder_that_goes_while_it_is_written_into_is_one_line(
    words: tuple[str, ...], said: str, replaced: bool, tmp_path: Path
) -> None:
    process = start(*words, cwd=tmp_path, said=said)
    (study,) = (tmp_path / "reports").iterdir()
    study.rename(tmp_path / "moved")
    if replaced:
        study.mkdir()
    rest, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 4, rest
    (line,) = [line for line in rest.splitlines() if line.startswith("gpuprobe: ")]
    assert line.startswith(f"gpuprobe: reports/{study.name}")
    assert "was deleted or renamed" in line
    assert "Traceback" not in rest
    assert study.exists() == replaced, "nothing makes it again"


CODE = """
import keras, numpy as np, os, subprocess, sys, threading, time
from gpuprobe import Workload

def model():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])

def made(data=None):
    x = np.ones((64, 4), "float32")
    return Workload(model=model, data=data or (x, x[:, :1]), loss="mse", batch_size=8)

def forever():
    while True:
        time.sleep(1)

def exits(): sys.exit(0)
def exits_in_data(): return made(lambda: sys.exit(0))
def hard_exits(): os._exit(0)
def hard_exits_in_data(): return made(lambda: os._exit(0))
def says_why():
    print("the disk is gone", file=sys.stderr, flush=True)
    os._exit(3)
def aborts(): os.abort()
def leaves_some_behind():
    threading.Thread(target=forever).start()
    with open(os.environ["LEFT"], "w") as file:
        file.write(str(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(10000)"]).pid))
    return made()
"""


# As much of Keras as a survey asks for before it calls a factory.
KERAS = """
class backend:
    backend = staticmethod(lambda: "tensorflow")
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("code") / "code_that_ends.py"
    path.write_text(CODE)
    return path


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("exits", "raised SystemExit: 0"),
        ("exits_in_data", "called sys.exit(0) while its data was made"),
        (
            "hard_exits",
            "exit code 0 (as os._exit does; remove that call) while its code was loaded",
        ),
        ("hard_exits_in_data", "exit code 0 (as os._exit does; remove that call) while its data was made"),
        ("says_why", "ended the process with exit code 3 (the disk is gone)"),
        ("aborts", "was ended by SIGABRT"),
    ],
)
def test_code_that_ends_the_survey_is_named_and_how(
    factory: str, said: str, code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if factory in {"exits", "hard_exits", "aborts"}:
        # They end before Keras is used, and importing it is what takes long.
        (tmp_path / "keras.py").write_text(KERAS)
        (tmp_path / "tensorflow.py").touch()
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    question = Question(model=f"{code}:{factory}", batch_size=None, strategies=())
    with pytest.raises(InputError) as caught:
        survey(question, LIMIT_S)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_code_that_never_answers_is_ended(code: Path, tmp_path: Path) -> None:
    words = ("run", "--model", f"{code}:forever", "--strategies", "numpy", "--limit", "3s")
    done = subprocess.run(
        [sys.executable, "-m", "gpuprobe.cli", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stdout
    (line,) = done.stderr.splitlines()
    assert "had not answered after 3 s (--limit sets this time)" in line


def test_what_code_leaves_running_neither_keeps_the_survey_nor_outlives_it(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEFT", str(tmp_path / "left"))
    found = survey(Question(model=f"{code}:leaves_some_behind", batch_size=None, strategies=()), LIMIT_S)
    assert found.samples == 64
    until_gone(int((tmp_path / "left").read_text()))
