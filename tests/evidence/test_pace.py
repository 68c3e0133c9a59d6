"""The pace of a timed window: its range never leaves what a time can be."""

from __future__ import annotations

import pytest

from gpuprobe.blocks import BLOCKS
from gpuprobe.diagnosis.pace import window_filled
from gpuprobe.evidence.pace import pace
from gpuprobe.records import Evidence, Phase, Signal
from gpuprobe.units import NS_PER_MS


def window_of(*calls_ms: float) -> Phase:
    ends_ns, now_ns = [], 0
    for call_ms in calls_ms:
        now_ns += int(call_ms * NS_PER_MS)
        ends_ns.append(now_ns)
    return Phase(name="window", start_ns=0, end_ns=now_ns, call_ends_ns=tuple(ends_ns))


def test_calls_that_differ_by_more_than_their_mean_take_no_less_than_no_time() -> None:
    (call, *_) = pace(window_of(*[0.1] * BLOCKS, 340.0))
    assert isinstance(call.value, float)
    assert call.low == 0.0
    assert call.high is not None
    assert call.high > 2 * call.value
    kernels = Evidence(
        signals=tuple(
            Signal(name=name, unit="", source="test", value=value)
            for name, value in (("share.gpu_compute", 0.9), ("step_ms", 40.0))
        )
    )
    assert window_filled(kernels, call) is None


def test_calls_that_agree_have_a_narrow_range() -> None:
    (call, *_) = pace(window_of(*[10.0, 10.2] * BLOCKS))
    assert call.low == pytest.approx(10.1)
    assert pace(window_of(*[10.0] * (BLOCKS - 1))) == ()
