"""The meters of a GPU side by side: what each says, why they differ, and what is missing and why."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.recorded import recorded
from gpuprobe.diagnosis.records import Diagnosis
from gpuprobe.evidence.meters import KERNELS, MFU, NVML, SMS, meters
from gpuprobe.records import Signal
from gpuprobe.report.meters import meters_explained, meters_table, task_manager
from gpuprobe.simulate.sessions import write_session
from gpuprobe.simulate.spec import Card, Kernels, Recording, Spec

# A card of the table, whose peak is known: 2 FLOP, 128 lanes, 9 multiprocessors, 1708 MHz.
CARD = Card(
    name="NVIDIA GeForce GTX 1060 3GB", compute_capability="6.1", sm_count=9, clock_mhz=1708.0, memory_mib=3072.0,
    memory_used_mib=400.0,
)  # fmt: skip
PEAK = 2 * 128 * 9 * 1708e6
SPEC = Spec(
    batch_size=32,
    card=CARD,
    kernels=Kernels(count=50, mean_us=100.0, sm_fill=0.5, dtype="float32", mflop_per_sample=248.7),
    recording=Recording(window_s=6.0),
)


def judged(spec: Spec, folder: Path) -> Diagnosis:
    write_session(spec, folder / "study")
    (run,) = (folder / "study" / "runs").iterdir()
    found = recorded(run, what_if=False)
    return diagnose(found)


def given(**values: float | None) -> tuple[Signal, ...]:
    return tuple(
        Signal(name=name, unit="", source="test", value=value, missing=None if value is not None else "left out")
        for name, value in values.items()
    )


def test_all_four_are_read_from_a_recording(tmp_path: Path) -> None:
    found = judged(SPEC, tmp_path)
    told = {signal.name: signal.value for signal in found.meters if isinstance(signal.value, float)}
    device = found.devices[0]
    assert told[KERNELS] == pytest.approx(device.ledger_ms["gpu_compute"] / device.step_ms)
    assert told[NVML] == pytest.approx(told[KERNELS], abs=0.08)
    assert told[SMS] == device.sm_efficiency
    # Half as many blocks as multiprocessors: while kernels run, about half of the card works.
    assert told[SMS] / told[KERNELS] == pytest.approx(0.5, abs=0.1)
    samples_per_s = 32_000 / found.devices[0].step_ms
    assert told[MFU] == pytest.approx(248.7e6 * samples_per_s / PEAK, rel=0.1)


def test_arithmetic_that_was_not_counted_is_missing_and_never_zero(tmp_path: Path) -> None:
    kernels = replace(SPEC.kernels, mflop_per_sample=0.0)
    found = judged(replace(SPEC, kernels=kernels), tmp_path)
    mfu = next(signal for signal in found.meters if signal.name == MFU)
    assert mfu.value is None
    assert "not counted" in (mfu.missing or "")
    assert "model-FLOPs utilization is not known" in meters_explained(found.meters)


def test_without_a_gpu_there_are_none() -> None:
    assert meters(None, None, None) == ()
    assert meters_table({"a": ()}) == []
    assert meters_explained(()) == task_manager(()) == ""


def test_a_high_reading_over_few_kernels_is_explained() -> None:
    signals = given(**{NVML: 0.95, KERNELS: 0.40, SMS: 0.10, MFU: 0.02, "copy_engines_busy": 0.03})
    words = meters_explained(signals)
    assert "NVML says 95 %, the trace sees kernels in 40 % of the step" in words
    assert "short gaps vanish" in words
    assert "fill 25 % of the multiprocessors" in words
    assert "the model used 2.0 %" in words
    assert "next to nothing under 3D" in task_manager(signals)
    assert "Copy about 3.0 %" in task_manager(signals)
    assert "about 40 % under Cuda" in task_manager(signals)


def test_the_table_holds_a_row_for_each_meter_and_says_what_is_not_known() -> None:
    rows = meters_table(
        {"slow": given(**{NVML: 0.2, KERNELS: 0.2, SMS: None, MFU: 0.01}), "fast": given(**{NVML: 1.0})}
    )
    assert rows[0] == ["meter", "slow", "fast", "a share of what"]
    assert [row[1] for row in rows[1:]] == ["20 %", "20 %", "not known", "1.0 %"]
    assert [row[2] for row in rows[1:]] == ["100 %", "not known", "not known", "not known"]
