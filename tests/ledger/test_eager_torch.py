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
