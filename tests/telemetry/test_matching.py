"""Whatever CUDA's settings say, the GPU that a run used is the one whose telemetry is shown."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe import telemetry
from gpuprobe.records import GpuInfo
from gpuprobe.telemetry.matching import gpu_at_bus, same_bus, visible
from gpuprobe.telemetry.writer import Writer
from tests.helpers.program import ROOT

FAKE_CUDA = ROOT / "tests" / "helpers" / "nvml" / "fake_cuda.c"
SAME = [
    GpuInfo(index=place, name="A", uuid=f"GPU-{place}aa", pci_bus_id=f"00000000:{bus}:00.0")
    for place, bus in enumerate(["01", "3B", "AF"])
]
MIXED = [*SAME[:2], GpuInfo(index=2, name="B", uuid="GPU-2aa", pci_bus_id="00000000:AF:00.0")]


@pytest.mark.parametrize(
    ("devices", "order", "expected"),
    [
        (None, None, (0, 1, 2)),
        ("2,0", None, (2, 0)),
        ("GPU-1,GPU-0aa", None, (1, 0)),
        (" 1 , 2 ", "PCI_BUS_ID", (1, 2)),
        ("", None, ()),
        ("-1", None, ()),
        ("1,-1,2", None, (1,)),
        ("1,7,2", None, (1,)),
        ("GPU-", None, ()),
        ("NoDevFiles", None, ()),
    ],
)
def test_the_visible_gpus_in_cudas_order(devices: str | None, order: str | None, expected: tuple[int, ...]) -> None:
    found = visible(SAME, devices, order)
    assert found.missing is None
    assert found.indices == expected


@pytest.mark.parametrize(
    ("devices", "reason"),
    [(None, "several models"), ("1", "several models"), ("MIG-1", "MIG"), ("GPU-0,GPU-0", "twice")],
)
def test_what_cannot_be_known_is_said(devices: str | None, reason: str) -> None:
    assert reason in (visible(MIXED, devices, None).missing or "")


def test_an_order_or_a_uuid_tells_cards_of_several_models_apart() -> None:
    assert visible(MIXED, "2,1", "PCI_BUS_ID").indices == (2, 1)
    assert visible(MIXED, "GPU-2,GPU-1", None).indices == (2, 1)


@given(st.permutations(range(3)), st.integers(0, 3))
def test_any_choice_by_uuid_is_kept(order: list[int], count: int) -> None:
    chosen = order[:count]
    devices = ",".join(SAME[place].uuid for place in chosen)
    assert visible(SAME, devices, "FASTEST_FIRST").indices == tuple(chosen)


def test_bus_ids_are_compared_by_place_not_by_spelling() -> None:
    assert same_bus("0000:3b:00.0", "00000000:3B:00.0")
    assert not same_bus("0000:3b:00.0", "00000001:3B:00.0")
    assert not same_bus("", "")
    facts = {"host": {}, "gpu0": {"pci_bus_id": "00000000:01:00.0"}, "gpu11": {"pci_bus_id": "00000000:3B:00.0"}}
    assert gpu_at_bus("0000:3b:00.0", facts) == 11
    assert gpu_at_bus("0000:99:00.0", facts) is None


def test_cuda_is_asked_in_the_process_itself(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: the fake library cannot be built")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "libcuda.so.1", FAKE_CUDA], check=True)
    program = "from gpuprobe.telemetry.matching import cuda_bus_ids; print(cuda_bus_ids())"
    for devices, expected in (("0000:af:00.0 0000:01:00.0", "('0000:af:00.0', '0000:01:00.0')"), ("", "()")):
        environment = {"LD_LIBRARY_PATH": str(tmp_path), "FAKE_CUDA": devices}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)  # noqa: PLW1510
        assert done.stdout.strip() == expected, done.stderr


def test_the_summary_begins_with_the_gpu_that_was_used(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "t.csv", ["gpu0_power_w", "gpu1_power_w"])
    for gpu in SAME[:2]:
        writer.facts(f"gpu{gpu.index}", {"pci_bus_id": gpu.pci_bus_id})
    for t_ns in (0, 10**9):
        writer.row(t_ns, {"gpu0_power_w": 30.0, "gpu1_power_w": 250.0}, "")
    recording = telemetry.read(tmp_path / "t.csv")
    for bus, watts in (("0000:3b:00.0", 250), ("", 30), ("0000:99:00.0", 30)):
        power = telemetry.summarize(recording, 0, 10**9, gpu_pci_bus_id=bus).signal("power_w", 0)
        assert power is not None
        assert power.value == watts
