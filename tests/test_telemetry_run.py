"""`gpuprobe run` beside a driver with a trouble: the study is finished, and the report says what happened."""

from __future__ import annotations

from pathlib import Path

from conftest import Cli

from gpuprobe import telemetry

FEW = ("--rounds", 1, "--depth", 8, "--batch-size", 8, "--data", "synthetic", "--samples", 256, "--steps", 8)


def test_a_gpu_that_is_lost_in_the_middle_is_a_line_of_the_report(cli: Cli, driver: Path, tmp_path: Path) -> None:
    driver.write_text("name NVIDIA GeForce GTX 1060 3GB\ndevices 2\ngpu1.fail.all 15@1\ngpu0.fail.energy 4\n")
    done = cli("run", "--strategies", "python_feed", *FEW, "--out", tmp_path / "reports")
    assert done.returncode == 0, done.stdout + done.stderr
    (study,) = (tmp_path / "reports").iterdir()
    report = (study / "report.md").read_text()
    assert "gpu1 gpu lost: the GPU has fallen off the bus" in report
    assert "GTX 1060" in report
    run = study / "runs" / "1-python_feed"
    recording = telemetry.read(run / "telemetry.csv")
    assert recording.facts["gpu0"]["name"] == "NVIDIA GeForce GTX 1060 3GB"
    assert recording.why_missing("gpu0_energy_j") == "no permission to ask the NVIDIA driver"
    assert list((run / "trace").glob("events.out.tfevents.*")), "TensorBoard finds the telemetry beside the trace"
