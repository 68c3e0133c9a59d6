"""`gpuprobe diagnose` from the command line: what it prints, what it writes, and how it fails."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gpuprobe.diagnosis.recorded import recorded
from gpuprobe.errors import InputError
from gpuprobe.simulate.sessions import write_session
from gpuprobe.simulate.spec import Kernels, Spec
from tests.helpers.program import Cli

# One step of PyTorch, as Kineto writes it, in us: a batch is waited for until 6,000, and kernels run from then on.
KERNEL = {"device": 0, "stream": 7, "grid": [80, 1, 1], "block": [256, 1, 1], "est. achieved occupancy %": 50}
CARD = {"id": 0, "name": "Tesla V100", "numSms": 80, "computeMajor": 7, "computeMinor": 0}


def event(name: str, category: str, start: float, end: float, **more: Any) -> dict[str, Any]:
    place = {"pid": 0, "tid": 7} if category == "kernel" else {"pid": 10, "tid": 10}
    return {"ph": "X", "cat": category, "name": name, "ts": start, "dur": end - start, **place, "args": more}


def launched(number: int, launch: int, start: int, end: float) -> list[dict[str, Any]]:
    return [
        event("cudaLaunchKernel", "cuda_runtime", launch, launch + 10, correlation=number),
        event("volta_sgemm_128x64_nn", "kernel", start, end, correlation=number, **KERNEL),
    ]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    events = [event("ProfilerStep#3", "user_annotation", 0, 10_000)]
    events.append(event("enumerate(DataLoader)#_MultiProcessingDataLoaderIter.__next__", "user_annotation", 0.4, 6_000))
    # Not to the very end of the step, as where a trace was cut there.
    events += launched(1, 6_500, 7_000, 9_000) + launched(2, 6_600, 9_000, 9_999.6)
    path = tmp_path / "one.pt.trace.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"traceEvents": events, "deviceProperties": [CARD]}).encode()))
    return path


def test_the_thresholds_are_listed_without_a_trace(cli: Cli) -> None:
    done = cli("diagnose", "--list-thresholds")
    assert done.returncode == 0, done.stderr
    assert "\ncopy_share = 0.1\n" in done.stdout


def test_the_answer_is_short_and_names_the_command_for_the_rest(cli: Cli, trace: Path) -> None:
    for width in ("60", "80"):
        done = cli("diagnose", trace, env={"COLUMNS": width})
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) <= 24, "one screen"
        assert lines[0].startswith("Verdict   GPU idle 70 % of the step, 60 % because the next batch comes too late.")
        assert "cause input_bound" in lines[1]
        assert "confidence high" in lines[1]
        bar = next(line for line in lines if "iiii" in line)
        assert bar.count("i") == pytest.approx(2 * bar.count("#"), abs=2)
        assert "10.0 ms, measured" in done.stdout
        assert lines[-1].endswith(f"gpuprobe diagnose {trace} --full")
        (evidence,) = (place for place, line in enumerate(lines) if line.startswith("Evidence"))
        assert "The GPU waits for the next batch in 60 % of the step (6.00 ms)." in lines[evidence]
        (following,) = (place for place, line in enumerate(lines) if line.startswith("Next"))
        assert following - evidence <= 3


def test_the_account_in_a_terminal(cli: Cli, trace: Path) -> None:
    done = cli("diagnose", trace, "--full")
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "Verdict input_bound (confidence high)" in words
    assert "The GPU waits for the next batch in 60 % of the step (6.00 ms)." in words
    assert "Tesla V100 (/device:GPU:0)" in words
    assert "i idle_input 6.000 60.0" in words
    assert "# gpu_compute 3.000 30.0" in words
    assert "step 10.000 100.0" in words
    assert "volta_sgemm_128x64_nn" in words
    assert "enumerate(DataLoader)" in words
    assert "Next Make the input pipeline faster" in words
    bar = next(line for line in done.stdout.splitlines() if line.startswith("###"))
    assert bar.count("i") == pytest.approx(2 * bar.count("#"), abs=2)


def test_the_contract_of_the_json(cli: Cli, trace: Path) -> None:
    done = cli("diagnose", trace, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["schema"] == 1
    device = told["devices"][0]
    assert {"name", "step_ms", "steps", "ledger_ms", "marker_step_ms", "gpu_span_ms", "kernel_fraction"} <= set(device)
    assert {"exposed_copy_fraction", "idle_outside_step_fraction", "sm_efficiency", "occupancy"} <= set(device)
    assert device["ledger_ms"]["idle_input"] == pytest.approx(6, rel=1e-3)
    assert sum(device["ledger_ms"].values()) == pytest.approx(device["step_ms"])
    finding = told["findings"][0]
    assert {"cause", "primary", "severity", "confidence", "claim", "evidence", "fix"} <= set(finding)
    assert (finding["cause"], finding["primary"]) == ("input_bound", True)
    assert told["not_evaluated"][0]["cause"] == "host_between_steps"


def test_both_forms_are_written(cli: Cli, trace: Path, tmp_path: Path) -> None:
    done = cli("diagnose", trace, "--out", tmp_path / "new" / "folder")
    assert done.returncode == 0, done.stderr
    assert "idle_input" in (tmp_path / "new" / "folder" / "diagnosis.txt").read_text()
    assert json.loads((tmp_path / "new" / "folder" / "diagnosis.json").read_text())["findings"]


def test_a_folder_that_cannot_be_written(cli: Cli, trace: Path) -> None:
    done = cli("diagnose", trace, "--out", trace)
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1


def test_a_large_trace_is_announced(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "large.trace.json").write_text('{"traceEvents": []}' + " " * (40 * 2**20))
    done = cli("diagnose", "large.trace.json", cwd=tmp_path)
    assert done.stderr.splitlines()[0] == "gpuprobe diagnose: reading large.trace.json, 40.0 MiB"
    (tmp_path / "small.trace.json").write_text('{"traceEvents": []}')
    assert "reading" not in cli("diagnose", "small.trace.json", cwd=tmp_path).stderr


def test_readings_beside_a_trace_and_alone(cli: Cli, trace: Path, tmp_path: Path) -> None:
    readings = tmp_path / "telemetry.csv"
    rows = [f"{second * 10**9},{40 + second},{100 + second}" for second in range(10)]
    readings.write_text("\n".join(["t_ns,gpu0_utilization_percent,gpu0_power_w", *rows]) + "\n")
    done = cli("diagnose", trace, "--telemetry", readings, "--json")
    assert done.returncode == 0, done.stderr
    told = {signal["name"]: signal["value"] for signal in json.loads(done.stdout)["telemetry"]}
    assert told["utilization_percent"] == pytest.approx(44, abs=1)
    alone = cli("diagnose", readings, "--full")
    assert alone.returncode == 0, alone.stderr
    assert "unattributed" in alone.stdout
    assert "A trace shows" in alone.stdout
    assert "utilization_percent" in alone.stdout


def test_a_trace_without_any_step_says_so(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "empty.trace.json"
    path.write_text(json.dumps({"traceEvents": []}))
    done = cli("diagnose", path)
    assert done.returncode in {0, 3}
    assert "Traceback" not in done.stderr
    assert "no " in (done.stdout + done.stderr)


def test_no_trace_is_one_clear_line(cli: Cli, tmp_path: Path) -> None:
    done = cli("diagnose", tmp_path / "nowhere")
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "nowhere" in done.stderr


def test_neither_tensorflow_nor_plots_are_imported(trace: Path) -> None:
    program = """
import sys
heavy = {"tensorflow", "keras", "matplotlib", "scipy", "jinja2"}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in heavy:
            raise AssertionError(f"diagnose imports {name}")
sys.meta_path.insert(0, Refuse())
sys.argv = ["gpuprobe", "diagnose", sys.argv[1]]
from gpuprobe.cli._app import main
main()
"""
    command = [sys.executable, "-c", program, str(trace)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_study_of_one_run_is_that_run_and_one_of_several_says_which_to_name(tmp_path: Path) -> None:
    study = tmp_path / "study"
    write_session(Spec(name="only", kernels=Kernels(count=40)), study)
    by_study, by_run = (recorded(path).breakdown for path in (study, study / "runs" / "1-only"))
    assert by_study is not None
    assert by_study == by_run
    (study / "runs" / "1-other").mkdir()
    with pytest.raises(InputError, match=f"a study with 2 runs, .*: name one, as {study}/runs/1-only"):
        recorded(study)


def test_a_watch_with_one_trace_is_its_training(tmp_path: Path) -> None:
    watch, made = tmp_path / "watch", tmp_path / "made"
    (watch / "trainings").mkdir(parents=True)
    (watch / "watch.json").write_text("{}")
    with pytest.raises(InputError, match=r"a watch with 0 runs, .*gpuprobe report"):
        recorded(watch)
    write_session(Spec(name="only", kernels=Kernels(count=40)), made)
    alone = recorded(made).breakdown
    made.rename(watch / "trainings" / "a")
    short = watch / "trainings" / "b" / "runs" / "1-fit"
    short.mkdir(parents=True)
    assert recorded(watch).breakdown.devices == alone.devices
    (short / "trace").mkdir()
    with pytest.raises(InputError, match=f"a watch with 2 runs, .*: name one, as {watch}/trainings/a/runs/1-only"):
        recorded(watch)
