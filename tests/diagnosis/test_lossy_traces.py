"""Traces that lost something on their way: the same cause, or honest doubt, and never another cause with confidence."""

from __future__ import annotations

import random
from functools import cache
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.recorded import recorded
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.simulate import xplane
from gpuprobe.simulate.engine import simulate
from gpuprobe.simulate.spec import Card, Copies, Host, Input, Spec
from gpuprobe.traces.timeline import Direction
from gpuprobe.traces.xplane_pb2 import XSpace
from gpuprobe.units import PS_PER_MS
from tests.helpers.simulated import SMALL
from tests.helpers.timelines import Made

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gpuprobe.diagnosis.records import Diagnosis
    from gpuprobe.ledger.records import DeviceBreakdown
    from gpuprobe.traces.xplane_pb2 import XLine, XPlane

SESSIONS = {
    "compute_bound": Spec(kernels=replace(SMALL, mean_us=200.0)),
    "launch_bound": Spec(kernels=SMALL, host=Host(dispatch_us=200.0, launch_us=20.0)),
    "copy_bound": Spec(kernels=SMALL, copies=Copies(batch_mib=60.0)),
    "input_bound": Spec(kernels=SMALL, input=Input(map_ms=60.0, parallel_calls=1)),
    "sync_every_step": Spec(kernels=SMALL, host=Host(syncs_in_step=8, sync_wake_us=1500.0)),
    "host_between_steps": Spec(kernels=SMALL, host=Host(callback_ms=20.0, sync_every=1)),
}
FORMS: tuple[Literal["current", "2020"], ...] = ("current", "2020")
# What is lost is often little.
SHARES = st.floats(0, 0.15) | st.floats(0.15, 0.9)


def gpus(space: XSpace) -> list[XPlane]:
    return [plane for plane in space.planes if plane.name.startswith("/device:GPU")]


def streams(space: XSpace) -> list[XLine]:
    return [line for plane in gpus(space) for line in plane.lines if line.name.startswith("Stream")]


def keep(line: XLine, chosen: list[bool]) -> None:
    events = [event for event, wanted in zip(line.events, chosen, strict=True) if wanted]
    copied = [type(event).FromString(event.SerializeToString()) for event in events]
    del line.events[:]
    line.events.extend(copied)


def drop(space: XSpace, share: float, seed: int) -> None:
    """Lose a share of the GPU's events here and there, and say nothing about it."""
    chance = random.Random(seed)
    for line in streams(space):
        keep(line, [chance.random() >= share for _ in line.events])


def end_early(space: XSpace, share: float, _seed: int) -> None:
    """Lose all of the GPU's events in the last part of the trace, as where a buffer is full."""
    ends = [event.offset_ps + event.duration_ps for line in streams(space) for event in line.events]
    starts = [event.offset_ps for line in streams(space) for event in line.events]
    limit = max(ends) - share * (max(ends) - min(starts))
    for line in streams(space):
        keep(line, [event.offset_ps + event.duration_ps <= limit for event in line.events])


def shift(space: XSpace, share: float, seed: int) -> None:
    """Put the GPU's clock wrong by up to a second."""
    offset = round(share * 1000 * PS_PER_MS) * (1 if seed % 2 else -1)
    for plane in gpus(space):
        for line in plane.lines:
            for event in line.events:
                event.offset_ps += offset


def judged(space: XSpace, folder: Path) -> Diagnosis:
    file = folder / "host.xplane.pb"
    file.write_bytes(space.SerializeToString())
    found = recorded(file, what_if=False)
    return diagnose(Case(found.breakdown))


@cache
def encoded(cause: str, form: Literal["current", "2020"]) -> bytes:
    spec = replace(SESSIONS[cause], recording=replace(SESSIONS[cause].recording, style=form))
    return xplane.encode(simulate(spec), 1_700_000_000_000_000_000).SerializeToString()


@pytest.mark.parametrize("cause", SESSIONS)
@given(
    form=st.sampled_from(FORMS), lose=st.sampled_from((drop, end_early, shift)), share=SHARES, seed=st.integers(0, 999)
)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_cause_stays_or_becomes_doubt(
    cause: str,
    tmp_path: Path,
    form: Literal["current", "2020"],
    lose: Callable[[XSpace, float, int], None],
    share: float,
    seed: int,
) -> None:
    whole, space = (XSpace.FromString(encoded(cause, form)) for _ in range(2))
    lose(space, share, seed)
    told, first = judged(whole, tmp_path).primary, judged(space, tmp_path).primary
    assert told is not None
    assert first is not None
    assert told.cause == cause or form == "2020"
    assert first.cause in {told.cause, "unattributed"} or told.cause == first.ties_with or first.confidence == "low"


@pytest.mark.parametrize("offset_ms", [-1000, -20, 0, 1000])
@pytest.mark.parametrize("cause", ["launch_bound", "copy_bound"])
def test_a_clock_that_is_off_is_put_right_and_said(tmp_path: Path, cause: str, offset_ms: int) -> None:
    right, space = (XSpace.FromString(encoded(cause, "current")) for _ in range(2))
    shift(space, abs(offset_ms) / 1000, int(offset_ms > 0))
    before, after = judged(right, tmp_path), judged(space, tmp_path)
    assert before.primary is not None
    assert after.primary is not None
    assert (after.primary.cause, after.primary.confidence) == (cause, before.primary.confidence)
    for category, ms in before.devices[0].ledger_ms.items():
        assert after.devices[0].ledger_ms[category] == pytest.approx(ms, abs=0.1 * before.devices[0].step_ms)
    assert any("its clock is" in warning for warning in after.warnings) == bool(offset_ms)


# --- by hand ---------------------------------------------------------------------------------------------------------


def breakdown(made: Made) -> DeviceBreakdown:
    (found,) = breakdown_of(made.timeline()).devices
    return found


def test_time_that_a_lost_copy_may_have_filled_has_no_cause() -> None:
    made = Made().host(0, 100, "train_function").kernel(10, 12, launch=9).kernel(70, 95, launch=69)
    made.host(12, 69, "embed/GatherV2:GatherV2", "tf_Compute")
    whole = breakdown(made)
    assert (whole.lost_fraction, whole.ledger_ms["idle_host_work"]) == pytest.approx((0, 57))
    made.calls["python"].append((13, 13.1, "cuMemcpyHtoDAsync_v2", 77, -1))
    lost = breakdown(made)
    assert lost.lost_fraction == pytest.approx(1 / 3)
    # It was launched at 13, and done before the kernel that began at 70.
    assert lost.ledger_ms["unattributed"] == pytest.approx(57)
    assert lost.confidence == "low"


def test_a_lost_kernel_is_no_longer_than_those_that_are_seen() -> None:
    made = Made().host(0, 100, "train_function").kernel(10, 12, launch=9).kernel(70, 95, launch=69)
    made.host(12, 69, "embed/GatherV2:GatherV2", "tf_Compute")
    made.calls["python"].append((13, 13.1, "cuLaunchKernel", 77, -1))
    assert breakdown(made).ledger_ms["unattributed"] == pytest.approx(25)


def test_a_step_goes_on_while_work_is_launched_that_the_trace_lacks() -> None:
    made = Made().host(0, 20, "train_function").copy(5, 6, launch=4).kernel(7, 12, launch=6)
    made.copy(80, 81, launch=79, direction=Direction.D2H).host(78, 82, "read")
    whole = breakdown(made)
    made.work.pop()
    cut = breakdown(made)
    assert cut.step_ms == pytest.approx(whole.step_ms, abs=2.1)
    assert cut.ledger_ms["idle_between_steps"] == pytest.approx(whole.ledger_ms["idle_between_steps"], abs=7)


def test_the_work_of_a_gpu_whose_lines_have_no_known_name_is_not_taken_for_a_processor_s(tmp_path: Path) -> None:
    space = XSpace.FromString(encoded("launch_bound", "current"))
    for line in streams(space):
        line.name = line.display_name = "queue 7"
    found = judged(space, tmp_path)
    assert not found.devices
    assert "/device:GPU:0" in found.warnings[-1]


def test_work_that_was_launched_and_never_seen_is_no_processor_s(tmp_path: Path) -> None:
    space = XSpace.FromString(encoded("input_bound", "current"))
    for plane in gpus(space):
        del plane.lines[:]
    found = judged(space, tmp_path)
    assert not found.devices
    assert "launched work" in found.warnings[-1]


def test_a_gpu_that_did_nothing_is_said(tmp_path: Path) -> None:
    space = xplane.encode(simulate(Spec(kernels=SMALL, card=Card(on_gpu=False))), 10**18)
    assert not judged(space, tmp_path).warnings
    space.planes.add(name="/device:GPU:0")
    found = judged(space, tmp_path)
    assert [device.kind for device in found.devices] == ["cpu"]
    assert "did nothing" in found.warnings[-1]
