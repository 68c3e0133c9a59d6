"""PyTorch's steps on a processor: what Python spends on starting operations is told from what they compute."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.traces.read import read

STEPS, OPERATIONS, GAP_US = 6, 200, 20.0


def trace(folder: Path, operation_us: float) -> Path:
    """Write what PyTorch's profiler does of steps whose operations take so long, with Python between them."""
    events, now_us = [], 1000.0
    for step in range(STEPS):
        began_us = now_us
        for _ in range(OPERATIONS):
            events.append(event("aten::mul", "cpu_op", now_us, operation_us))
            now_us += operation_us + GAP_US
        events.append(event(f"ProfilerStep#{step}", "user_annotation", began_us, now_us - began_us - 1))
    file = folder / "host.pt.trace.json"
    file.write_text(json.dumps({"schemaVersion": 1, "traceEvents": events}))
    return file


def event(name: str, kind: str, start_us: float, duration_us: float) -> dict[str, object]:
    return {"ph": "X", "cat": kind, "name": name, "pid": 1, "tid": 1, "ts": start_us, "dur": duration_us, "args": {}}


@pytest.mark.parametrize(
    ("operation_us", "share", "cause"), [(5.0, 1.0, "eager_or_retracing"), (1000.0, 0.02, "compute_bound")]
)
def test_starting_is_told_from_computing(tmp_path: Path, operation_us: float, share: float, cause: str) -> None:
    breakdown = breakdown_of(read(trace(tmp_path, operation_us)))
    (device,) = breakdown.devices
    assert device.dispatch_fraction == pytest.approx(share, abs=0.02)
    computing = operation_us / (operation_us + GAP_US)
    assert device.share("cpu_compute") == pytest.approx(computing, abs=0.02)
    assert device.share("cpu_dispatch") == pytest.approx(1 - computing, abs=0.02)
    found = diagnose(Case(breakdown)).primary
    assert found is not None
    assert found.cause == cause
    if cause == "eager_or_retracing":
        assert "torch.compile" in found.code


def test_a_compiled_step_computes_in_its_graphs_and_is_called_around_them(tmp_path: Path) -> None:
    events = []
    for step in range(STEPS):
        began_us = 1000.0 + 10_000.0 * step
        events += [
            event(f"ProfilerStep#{step}", "user_annotation", began_us, 9999.0),
            event("Torch-Compiled Region: 0/0", "cpu_op", began_us, 9000.0),
            event("TorchDynamo Cache Lookup", "cpu_op", began_us, 5000.0),
            event("## Call CompiledFxGraph fabc ##", "cpu_op", began_us + 5500.0, 3000.0),
            event("aten::addmm", "cpu_op", began_us + 5600.0, 50.0),
        ]
    file = tmp_path / "compiled.pt.trace.json"
    file.write_text(json.dumps({"schemaVersion": 1, "traceEvents": events}))
    (device,) = breakdown_of(read(file)).devices
    shares = {name: device.share(name) for name in ("cpu_compute", "cpu_dispatch", "unattributed")}
    assert shares == pytest.approx({"cpu_compute": 0.3, "cpu_dispatch": 0.6, "unattributed": 0.1}, abs=0.01)
