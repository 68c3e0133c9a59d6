"""The breakdown of GPU traces that others recorded, against what is known of them. Skipped where they are absent."""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.records import Diagnosis
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.ledger.kernel_occupancy import occupancies
from gpuprobe.traces.read import read

if TYPE_CHECKING:
    from gpuprobe.ledger.records import DeviceBreakdown


@cache
def diagnosis(path: Path) -> Diagnosis:
    return diagnose(Case(breakdown_of(read(path))))


def only(path: Path) -> DeviceBreakdown:
    devices = diagnosis(path).devices
    assert len(devices) == 1
    return devices[0]


def test_every_labelled_trace(real_traces: Path) -> None:
    rows = list(csv.DictReader((real_traces / "INDEX.csv").open()))
    assert len(rows) >= 33
    for row in rows:
        path = real_traces / row["file"]
        device, found = only(path), diagnosis(path).primary
        told = f"{row['file']}: {found} of {row['label']}"
        assert found is not None, told
        assert found.cause in row["label"].split(" or "), told
        assert device.kernel_fraction == pytest.approx(float(row["kernel_fraction"]), abs=0.005), told
        assert device.exposed_copy_fraction == pytest.approx(float(row["exposed_copy_fraction"]), abs=0.01), told
        assert device.idle_outside_step_fraction == pytest.approx(float(row["idle_outside_step_fraction"]), abs=0.03)
        assert device.marker_step_ms == pytest.approx(float(row["xprof_step_ms"]), rel=0.01), told
        assert sum(device.ledger_ms.values()) == pytest.approx(device.step_ms, abs=1e-3), told
        assert device.ledger_ms["unattributed"] <= 0.05 * device.step_ms, told
        assert device.joined_fraction == 1, told


@pytest.mark.parametrize(
    ("name", "cause", "sure"),
    [
        ("a100-steady-bs16", "launch_bound", {"high"}),
        # Launches that come late take a sixth of its step.
        ("a100-steady-bs128", "compute_bound", {"medium"}),
        # One step each: what is done once is not seen to be, but for a call that does nothing else.
        ("a100-jit-recompiles-bs256", "one_time_work", {"medium"}),
        ("a100-first-kernel-load-bs512", "one_time_work", {"medium", "high"}),
        ("mi300-video-preprocess-on-host", "host_work", {"medium"}),
    ],
)
def test_one_long_gap_is_no_slow_launching(name: str, cause: str, sure: set[str], real_traces: Path) -> None:
    found = diagnosis(real_traces / "pytorch" / f"{name}.trace.json.gz").primary
    assert found is not None
    assert found.cause == cause
    assert found.confidence in sure


def test_what_held_the_host_is_named(real_traces: Path) -> None:
    held = {
        "a100-jit-recompiles-bs256": ("idle_once", "delta_r2", 296),
        "a100-first-kernel-load-bs512": ("idle_once", "cudaLaunchKernel", 626),
        "mi300-video-preprocess-on-host": ("idle_host_work", "preprocess", 268),
    }
    for name, (category, event, ms) in held.items():
        device = only(real_traces / "pytorch" / f"{name}.trace.json.gz")
        first = device.proof[category][0]
        assert event in first.name
        assert first.ms == pytest.approx(ms, rel=0.01)
    # A gap of 292 ms in which the host shows nothing at all.
    silent = only(real_traces / "pytorch" / "a100-first-kernel-load-bs512.trace.json.gz")
    assert silent.ledger_ms["unattributed"] == pytest.approx(292, rel=0.01)


def test_several_devices_of_which_most_did_nothing(real_traces: Path) -> None:
    found = diagnosis(real_traces / "tensorflow" / "v100x8-multi-worker.xplane.pb")
    assert any(line.startswith("5 of 8 GPUs in the trace did nothing: ") for line in found.warnings)
    assert any(line.startswith("1 of 8 GPUs in the trace ran no kernel and only copied: ") for line in found.warnings)
    assert [device.name for device in found.devices if device.kernels] == ["/device:GPU:4", "/device:GPU:6"]
    assert found.slowest is not None
    assert found.devices[found.slowest].name == "/device:GPU:6"
    assert "idle_launch" in found.slowest_why


def test_the_figures_that_kineto_published(real_traces: Path) -> None:
    path = real_traces / "pytorch" / "v100-resnet50-workers0.pt.trace.json.gz"
    device, found = only(path), diagnosis(path).primary
    assert found is not None
    assert found.cause == "input_bound"
    published = {"gpu_compute": 98.589, "gpu_copy_h2d": 1.915, "gpu_copy_d2d": 0.089, "idle_input": 59.262}
    assert device.step_ms == pytest.approx(177.592, rel=0.005)
    for name, value in published.items():
        assert device.ledger_ms[name] == pytest.approx(value, rel=0.005), name
    assert device.ledger_ms["gpu_compute"] / device.step_ms == pytest.approx(0.5551, rel=0.005)
    assert device.sm_efficiency == pytest.approx(0.5468, rel=0.005)
    assert device.occupancy == pytest.approx(0.4913, rel=0.005)


def test_the_estimate_of_occupancy_is_the_one_that_kineto_wrote(real_traces: Path) -> None:
    device = read(real_traces / "pytorch" / "v100-resnet50-workers0.pt.trace.json.gz").devices[0]
    untold = replace(device.kernels, occupancy_percent=np.full(len(device.kernels), np.nan))
    estimated = occupancies(replace(device, kernels=untold))
    # Kineto writes whole percents.
    assert np.abs(estimated - device.kernels.occupancy_percent / 100).max() < 0.006


def test_the_figures_that_tracelens_published(real_traces: Path) -> None:
    path = real_traces / "pytorch" / "h100-bert-small.trace.json.gz"
    device, found = only(path), diagnosis(path).primary
    assert found is not None
    assert found.cause == "launch_bound"
    assert device.gpu_span_ms == pytest.approx(3.907825, rel=0.005)
    assert device.kernel_fraction == pytest.approx(0.307198 / 3.907825, rel=0.005)
    assert device.exposed_copy_fraction == pytest.approx(0.002240 / 3.907825, rel=0.005)
