"""`gpuprobe run` as a user has it: real training with few steps, good days and bad ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.helpers.program import ROOT, Cli, run_cli
from tests.helpers.waiting import LIMIT_S, until, until_said

FEW = ("--rounds", 1, "--depth", 8, "--batch-size", 8, "--data", "synthetic", "--samples", 512, "--steps", 16)
# The same of another network, for studies of many runs: each makes its graph anew.
SMALL = ("--model", f"{ROOT / 'tests' / 'helpers' / 'small_workload.py'}:workload", "--rounds", 1, "--steps", 16)
ENVIRONMENT = {**os.environ, "COLUMNS": "200"}


def study_in(out: Path) -> Path:
    (folder,) = out.iterdir()
    return folder


def rows(study: Path) -> dict[str, dict[str, object]]:
    return {row["strategy"]: row for row in json.loads((study / "report.json").read_text())["rows"]}


def test_all_strategies_train_and_are_ranked(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "--strategies", "all", *SMALL, "--budget", "20m", "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    study = study_in(tmp_path)
    found = rows(study)
    assert len(found) == 12
    settings = {name: row["settings"] for name, row in found.items()}
    assert settings["xla"]["jit_compile"] is True  # type: ignore[index]
    assert settings["numpy"]["jit_compile"] is False  # type: ignore[index]
    assert settings["steps_per_execution"]["steps_per_execution"] == 8  # type: ignore[index]
    assert "16" in settings["mixed_precision"]["compute_dtype"]  # type: ignore[index]
    assert settings["large_batch"]["batch_size"] > 8  # type: ignore[index]
    for run in (study / "runs").iterdir():
        record = json.loads((run / "run.json").read_text())
        assert list((run / "trace" / "plugins" / "profile").glob("*/*.xplane.pb")), run
        assert (run / "step.html").is_file(), run
        assert record["losses"]
        window = next(phase for phase in record["phases"] if phase["name"] == "window")
        assert len(window["call_ends_ns"]) * window["steps_per_call"] >= 16
        ticks = [line for line in (run / "telemetry.csv").read_text().splitlines() if line[:1].isdigit()]
        assert int(ticks[0].split(",")[0]) < window["start_ns"] < window["end_ns"] < int(ticks[-1].split(",")[0])
    text = (study / "report.md").read_text()
    assert text.index("**Why.**") < text.index("**Verdict.**") < text.index("## Ranking")


def test_a_slow_map_is_found(cli: Cli, tmp_path: Path) -> None:
    # 8 samples of 100 ms each, one after the other: nearly all of the step, whatever else it takes.
    names = "python_feed,tfdata,device_resident"
    few = (*FEW, "--steps", 6, "--no-trace")
    done = cli("run", "--strategies", names, *few, "--inject", "slow_map=0.1", "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found = rows(study_in(tmp_path))
    assert list(found)[-1] == "tfdata"
    share, rate = found["tfdata"]["input_share"], found["tfdata"]["samples_per_s"]
    step_s = 8 / rate["value"]  # type: ignore[index]
    # What sleeps waits no shorter on a busy machine, and what else a step takes is no sleep.
    assert 0.80 / step_s - 0.05 <= share["value"] <= 1  # type: ignore[index]
    assert "FAULTS INJECTED" in (study_in(tmp_path) / "report.md").read_text()


def test_failures_cost_only_themselves_and_resume_fills_in(cli: Cli, tmp_path: Path) -> None:
    faults: tuple[str, ...] = ("--inject", "raise@tfdata", "--inject", "out_of_memory@xla")
    faults += ("--inject", "out_of_memory=mapping@generator")
    names = "python_feed,generator,tfdata,xla"
    done = cli("run", "--strategies", names, *SMALL, "--no-trace", *faults, "--out", tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    study = study_in(tmp_path)
    failures = json.loads((study / "report.json").read_text())["failures"]
    assert {failure["strategy"]: failure["state"] for failure in failures} == {
        "generator": "out_of_memory",
        "tfdata": "failed",
        "xla": "out_of_memory",
    }
    assert list(rows(study)) == ["python_feed"]
    assert "RuntimeError: injected error" in (study / "report.md").read_text()
    record = json.loads((study / "study.json").read_text())
    record["request"]["inject"] = []
    (study / "study.json").write_text(json.dumps(record))
    again = cli("run", "--resume", study)
    assert again.returncode == 0, again.stdout + again.stderr
    assert set(rows(study)) == set(names.split(","))


def test_a_run_without_a_sign_of_life_is_ended(cli: Cli, tmp_path: Path) -> None:
    hangs = ("--inject", "hang", "--limit", "2s")
    done = cli("run", "--strategies", "numpy", *FEW, "--no-trace", *hangs, "--out", tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    (failure,) = json.loads((study_in(tmp_path) / "report.json").read_text())["failures"]
    assert failure["state"] == "timeout"


def started(tmp_path: Path, *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gpuprobe.cli", "run", *map(str, words), "--out", str(tmp_path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT)


# Epochs so long that hardly a turn meets the end of one: it would begin again, and drop the calls it had timed.
LONG = ("--rounds", 1, "--depth", 8, "--batch-size", 8, "--data", "synthetic", "--samples", 4096, "--no-trace")


def until_timed(out: Path, strategy: str = "python_feed") -> None:
    """Wait until the first run of a strategy has timed some of its calls, in the study in a folder."""

    def timed() -> bool:
        events = "".join(file.read_text() for file in out.glob(f"*/runs/1-{strategy}/events.jsonl"))
        return '"ends_ns":[1' in events.partition('"name":"window"')[2]

    until(timed, "a timed call")


def test_ctrl_c_reports_what_is_there(tmp_path: Path) -> None:
    process = started(tmp_path, "--strategies", "python_feed,numpy", *LONG, "--steps", 100_000)
    until_timed(tmp_path)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, output
    assert "--resume" in output
    study = study_in(tmp_path)
    assert (study / "report.md").exists()
    run = json.loads((study / "runs" / "1-python_feed" / "run.json").read_text())
    assert run["outcome"]["state"] == "interrupted"
    # On a busy machine a turn may end before its first call does.
    assert any(phase["call_ends_ns"] for phase in run["phases"] if phase["name"] == "window")


def test_ctrl_c_twice_stops_at_once(tmp_path: Path) -> None:
    process = started(tmp_path, "--strategies", "python_feed,numpy", *LONG, "--steps", 100_000)
    until_timed(tmp_path)
    process.send_signal(signal.SIGINT)
    until_said(process, "Stopped")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    run = json.loads((study_in(tmp_path) / "runs" / "1-python_feed" / "run.json").read_text())
    assert run["outcome"]["state"] == "interrupted"


def test_a_disk_that_fills_up_keeps_what_was_measured(tmp_path: Path) -> None:
    small, kept = tmp_path / "small", tmp_path / "kept"
    small.mkdir()
    # Room for two runs of three, each with their pages of 4 KiB.
    mount = f"mount -t tmpfs -o size=80k tmpfs {small}"
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*inside, mount], capture_output=True, check=False).returncode:
        pytest.skip("a small file system of our own needs user namespaces, which this machine forbids")
    words = f"run --strategies python_feed,numpy,tfdata {' '.join(map(str, LONG))} --steps 100 --out {small}"
    script = f"{mount} && {sys.executable} -m gpuprobe.cli {words}; code=$?; cp -r {small} {kept}; exit $code"
    done = subprocess.run([*inside, script], capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert done.returncode == 4, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "No space left on device" in done.stderr
    report = run_cli("report", study_in(kept))
    assert report.returncode == 0, report.stderr
    assert rows(study_in(kept)), "what was measured before the disk was full is ranked"


def test_a_worker_killed_from_outside_and_a_second_study_in_the_folder(cli: Cli, tmp_path: Path) -> None:
    # It waits in its map most of the time: it trains while the second study imports and refuses.
    waits = ("--inject", "slow_map=0.05")
    process = started(tmp_path, "--strategies", "tfdata", *LONG, "--steps", 100_000, *waits)
    until_timed(tmp_path, "tfdata")
    study = study_in(tmp_path)
    second = cli("run", "--resume", study)
    assert second.returncode == 4
    assert "another gpuprobe is measuring into it" in second.stderr
    (zygote,) = (one for one in psutil.Process(process.pid).children() if "gpuprobe.measure.zygote" in one.cmdline())
    (worker,) = zygote.children()
    worker.kill()
    output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1, output
    run = json.loads((study / "runs" / "1-tfdata" / "run.json").read_text())
    assert run["outcome"]["state"] == "killed"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--strategies", "tfdata_prefech"), 2, "did you mean tfdata_prefetch"),
        (("--steps", 3, "--epochs", 2), 2, "exclude each other"),
        (("--depth", 21), 2, "6n+2"),
        (("--budget", "soon"), 2, "not a duration"),
        (("--data", "/nowhere/cifar"), 3, "there is no such file or folder"),
        (("--resume", "/nowhere"), 3, "there is no such folder"),
        (("--data", "synthetic", "--samples", 64, "--out", "/proc/nowhere"), 4, "cannot be written"),
        (("--inject", "nonsense"), 2, "no fault"),
    ],
)
def test_what_is_wrong_is_one_clear_line(cli: Cli, words: tuple[object, ...], code: int, said: str) -> None:
    done = cli("run", *words)
    assert done.returncode == code
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_help_shows_examples(cli: Cli) -> None:
    assert "Examples:" in cli("--help").stdout
    assert "gpuprobe run --resume" in cli("run", "--help").stdout
    assert "device_resident" in cli("list").stdout
