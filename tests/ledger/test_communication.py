"""What exchanges cost: their volume, what nothing hides, what holds other work up, and whether they start early."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.ledger.exchange_records import CommunicationFacts
from gpuprobe.report.breakdown import device_meters
from gpuprobe.simulate.job import Job, write_job
from gpuprobe.simulate.spec import Collective, Host, Kernels, Recording, Spec
from gpuprobe.traces.read import read
from gpuprobe.units import MIB
from tests.helpers.program import ROOT
from tests.helpers.timelines import Made

ALL_REDUCE, ALL_TO_ALL = "ncclDevKernel_AllReduce_Sum_f32_RING_LL", "ncclDevKernel_SendRecv"
RANKS = ROOT.parent / "shared" / "traces" / "pytorch" / "dlrm-8-ranks"


def step(made: Made, begin: float, exchanges: list[tuple[float, float, str]], update_launch: float) -> Made:
    """A step of 100 ms: kernels until 60, exchanges, and at 90 the update, launched at some time."""
    made.host(begin, begin + 99, "train", step=int(begin / 100)).host(begin, begin + 98, "train_function")
    for place in range(6):
        made.kernel(begin + 10 * place, begin + 10 * place + 10, launch=begin + place)
    for start, end, name in exchanges:
        made.kernel(begin + start, begin + end, launch=begin + 7, name=name)
    return made.kernel(begin + 90, begin + 99, launch=begin + update_launch)


def facts(exchanges: list[tuple[float, float, str]], update_launch: float = 8.0) -> CommunicationFacts:
    made = Made()
    for begin in (0.0, 100.0, 200.0):
        step(made, begin, exchanges, update_launch)
    found = breakdown_of(made.timeline()).devices[0].communication
    assert found is not None
    return found


def test_one_pack_after_the_last_gradient_hides_nothing() -> None:
    found = facts([(60.5, 90, ALL_REDUCE)])
    assert (found.volume_ms, found.exposed_ms, found.blocking_ms) == pytest.approx((29.5, 29.5, 29.5))
    assert found.packs == 1
    assert found.ahead_ms == pytest.approx(-0.5)
    assert found.hidden_fraction == 0


def test_packs_beside_the_backward_pass_are_hidden_but_for_the_last() -> None:
    found = facts([(30, 45, ALL_REDUCE), (45, 60, ALL_REDUCE), (61, 76, ALL_REDUCE)])
    assert (found.volume_ms, found.exposed_ms, found.blocking_ms) == pytest.approx((45, 15, 15))
    assert found.packs == 3
    assert found.ahead_ms == pytest.approx(30)
    assert found.hidden_fraction == pytest.approx(2 / 3)


def test_a_loss_that_is_added_up_is_no_pack_of_gradients() -> None:
    # It is exchanged after the update, long after the gradients.
    found = facts([(60.5, 88, ALL_REDUCE), (99.2, 99.6, ALL_REDUCE)])
    assert found.packs == 1
    assert found.ahead_ms == pytest.approx(-0.5)
    # In one of three steps a thread waits for a core meanwhile.
    made = Made()
    for begin, longer in ((0.0, 0.0), (100.0, 20.0), (200.0, 0.0)):
        step(made, begin, [(60.5, 70, ALL_REDUCE), (70.5, 72 + longer, ALL_REDUCE)], 8.0)
    late = breakdown_of(made.timeline()).devices[0].communication
    assert late is not None
    assert late.packs == 1
    # Where bytes are known they decide: a small pack may take next to no time.
    made = Made()
    for begin in (0.0, 100.0, 200.0):
        step(made, begin, [(30, 55, ALL_REDUCE), (61, 62, ALL_REDUCE), (63, 64, ALL_REDUCE)], 8.0)
    timeline = made.timeline()
    (device,) = timeline.devices
    sent = [*[-1] * 4, 25 * MIB, *[-1] * 2, MIB, 4, -1]
    kernels = replace(device.kernels, bytes=np.array(sent * 3, np.int64))
    told = breakdown_of(replace(timeline, devices=(replace(device, kernels=kernels),))).devices[0].communication
    assert told is not None
    assert told.packs == 2
    assert told.ahead_ms == pytest.approx(30)


def test_what_the_host_would_leave_idle_anyway_blocks_nothing() -> None:
    # The update is launched 15 ms before the exchange ends: until then nothing waits for it.
    found = facts([(60, 90, ALL_REDUCE)], update_launch=75.0)
    assert (found.volume_ms, found.exposed_ms, found.blocking_ms) == pytest.approx((30, 30, 15))


def test_an_exchange_of_the_forward_pass_is_no_gradient() -> None:
    found = facts([(10, 20, ALL_TO_ALL), (60, 90, ALL_REDUCE)])
    assert found.packs == 1
    assert found.ahead_ms == pytest.approx(0)
    alone = facts([(60, 90, ALL_TO_ALL)])
    assert (alone.packs, alone.ahead_ms) == (0, None)


def test_a_device_alone_has_none() -> None:
    made = Made()
    for begin in (0.0, 100.0):
        step(made, begin, [], 8.0)
    assert breakdown_of(made.timeline()).devices[0].communication is None


def test_the_three_figures_are_told() -> None:
    made = Made()
    for begin in (0.0, 100.0, 200.0):
        step(made, begin, [(60, 90, ALL_REDUCE)], 75.0)
    breakdown = breakdown_of(made.timeline())
    said = device_meters(breakdown.devices[0])
    assert "exchanges 30.0 ms a step, 30.0 ms of it beside no other work, 15.0 ms holding other work up" in said
    assert "gradients in 1 pack a step: none starts before the last gradient is there" in said
    found = next(one for one in diagnose(Case(breakdown)).findings if one.cause == "collective_bound")
    assert "for 15.0 ms other work waits for them, and no more can be saved" in found.claim
    assert "All gradients go in one pack, after the last gradient is ready" in found.claim


@pytest.mark.skipif(not RANKS.is_dir(), reason="the recorded traces are not here")
def test_a_real_job_exchanges_a_fifth_of_a_millisecond() -> None:
    for device in breakdown_of(read(RANKS)).devices:
        found = device.communication
        assert found is not None
        # The eight collectives' shortest durations over the ranks (INDEX.md of the traces).
        assert found.volume_ms == pytest.approx(0.217, abs=0.001)
        assert found.blocking_ms is not None
        assert 0 <= found.blocking_ms <= found.exposed_ms <= found.volume_ms


@pytest.mark.parametrize(("packs", "overlap"), [(1, False), (3, True)])
def test_a_simulated_job_has_the_three_figures_that_it_was_given(tmp_path: Path, packs: int, overlap: bool) -> None:
    spec = Spec(
        noise=0.0,
        kernels=Kernels(count=40, mean_us=400.0),
        host=Host(queue_depth=64),
        recording=Recording(telemetry=False),
        collective=Collective(update_share=0.05, buckets=packs, overlap=overlap),
    )
    job = Job(workers=(spec, spec), gradients_mib=30.0)
    write_job(job, tmp_path)
    for device in breakdown_of(read(tmp_path)).devices:
        found = device.communication
        assert found is not None
        assert found.volume_ms == pytest.approx(packs * job.transfer_us() / 1000, rel=0.001)
        assert found.packs == packs
        assert found.ahead_ms is not None
        assert found.blocking_ms == pytest.approx(found.exposed_ms, rel=0.02)
        if overlap:
            # The last pack has nothing left to run beside; those before it hide but for what still goes then.
            assert job.transfer_us() / 1000 <= found.exposed_ms * 1.001 < found.volume_ms
            assert found.ahead_ms > 0
        else:
            assert found.hidden_fraction == pytest.approx(0, abs=1e-6)
            assert found.ahead_ms <= 0
