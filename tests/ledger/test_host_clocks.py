"""Clocks of several hosts, set by the ends of exchanges; and what is not said where they, or ranks, are not known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.ledger.exchanges import Exchanges
from gpuprobe.ledger.host_clocks import clocks_of, too_far_apart
from gpuprobe.report.several import across
from gpuprobe.simulate.job import Job, write_job
from gpuprobe.simulate.spec import Collective, Host, Kernels, Recording, Spec
from gpuprobe.traces.read import read
from gpuprobe.traces.timeline import Timeline
from gpuprobe.units import PS_PER_MS
from tests.helpers.timelines import Made
from tests.ledger.test_exchanges import ALL_REDUCE, of_several, worker

WORKER = Spec(
    kernels=Kernels(count=20, mean_us=500.0),
    host=Host(queue_depth=64),
    collective=Collective(update_share=0.05),
    recording=Recording(telemetry=False),
)


def job(**more: object) -> Job:
    specs = tuple(msgspec.structs.replace(WORKER, seed=number) for number in range(3))
    return Job(workers=specs, gradients_mib=5.0, **more)  # type: ignore[arg-type]


def test_offset_and_drift_of_each_host_are_found(tmp_path: Path) -> None:
    write_job(job(offsets_ms=(0.0, 7.5, -40.0), drifts_ppm=(0.0, 80.0, -25.0)), tmp_path)
    breakdown = breakdown_of(read(tmp_path))
    first, second = breakdown.clocks
    assert (first.host, first.against, first.exchanges) == ("worker1", "worker0", 6)
    # Offsets are those at the first exchange, by when each clock has gained some microseconds.
    assert [first.offset_ms, second.offset_ms] == pytest.approx([7.5, -40.0], abs=0.01)
    assert [first.drift_ppm, second.drift_ppm] == pytest.approx([80.0, -25.0], abs=1)
    assert max(first.error_ms, second.error_ms) < 0.001
    said = across(breakdown)
    assert any("worker1 is 7.50 ms ahead of that of worker0, and gains +80.0 us a second" in line for line in said)


@pytest.mark.parametrize(
    ("error_ms", "step_ms", "abstains"), [(0.9, 10.0, False), (1.1, 10.0, True), (1.1, 20.0, False)]
)
def test_clocks_that_are_known_less_well_than_a_tenth_of_the_step_compare_nothing(
    error_ms: float, step_ms: float, abstains: bool
) -> None:
    end = np.arange(1, 41) * step_ms
    off = np.where(np.arange(40) % 2, error_ms, -error_ms)
    ends = (np.stack([end, end + 3 + off]) * PS_PER_MS).astype(np.int64)
    took = np.ones((2, 40), np.bool_)
    members, unknown = (("GPU", "a"), ("GPU", "b")), ends[0] * 0 - 1
    made = Exchanges(members, ends - PS_PER_MS, ends, took, ends[0] * 0 + PS_PER_MS, unknown, unknown)
    (clock,) = clocks_of(made)
    assert clock.offset_ms == pytest.approx(3, abs=0.3)
    assert clock.error_ms == pytest.approx(error_ms, rel=0.1)
    assert bool(too_far_apart((clock,), step_ms)) is abstains


def in_steps(comes_ms: list[float], ends_ms: list[float]) -> Timeline:
    """A GPU with one exchange in each step of 50 ms."""
    made = Made()
    for came, ended in zip(comes_ms, ends_ms, strict=True):
        made.line(came - 5, came + 45).kernel(came - 5, came - 1, launch=came - 6)
        made.kernel(came, ended, launch=came - 2, name=ALL_REDUCE)
    return made.timeline()


def test_where_clocks_are_not_known_nobody_is_said_to_wait() -> None:
    ends = [50.0 * number for number in range(1, 13)]
    jitter = [10.0 if number % 2 else 0.0 for number in range(12)]
    late = in_steps([end - 41 for end in ends], ends)
    early = in_steps([end - 45 for end in ends], [end + off for end, off in zip(ends, jitter, strict=True)])
    breakdown = breakdown_of(of_several([late, early]))
    assert "agree only within" in breakdown.untold
    assert (breakdown.peers, breakdown.slowest, breakdown.slowest_why) == ((), None, "")
    found = diagnose(Case(breakdown))
    assert "straggler" not in {one.cause for one in found.findings}
    assert any(one.cause == "straggler" and "agree only" in one.reason for one in found.not_evaluated)
    assert all(device.ledger_ms["idle_peer"] == 0 for device in breakdown.devices)


def test_several_gpus_of_one_process_are_one_rank() -> None:
    ends = [50.0, 100.0, 150.0]
    parts = [worker([end - 1 - 20 * (gpu > 0) for end in ends], ends) for gpu in range(3)]
    gpus = tuple(
        replace(device, name=f"/device:GPU:{number}", host="worker0")
        for number, device in enumerate(of_several(parts).devices)
    )
    breakdown = breakdown_of(replace(of_several(parts), devices=gpus, ranks=2))
    assert "1 of the job's 2 ranks" in breakdown.untold


@pytest.mark.parametrize(("ranks", "abstains"), [(0, False), (3, False), (4, True)])
def test_of_too_few_ranks_it_is_said_what_is_not_told(ranks: int, abstains: bool) -> None:
    ends = [50.0, 100.0, 150.0]
    parts = [worker([end - 1 - 20 * (rank > 0) for end in ends], ends) for rank in range(3)]
    breakdown = breakdown_of(replace(of_several(parts), ranks=ranks))
    assert bool(breakdown.untold) is abstains
    assert bool(breakdown.peers) is not abstains
    said = diagnose(Case(breakdown))
    assert ("straggler" in {one.cause for one in said.findings}) is not abstains
    if abstains:
        assert f"3 of the job's {ranks} ranks" in across(breakdown)[-1]
        shown = next(one for one in said.findings if one.cause == "collective_bound")
        assert shown.confidence != "high"
