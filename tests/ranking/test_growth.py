"""What the traces of two runs show of the difference of their steps, on made-up breakdowns and on simulated jobs."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

import msgspec
import pytest

from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.ledger.exchange_records import PeerFacts
from gpuprobe.ledger.records import DeviceBreakdown, Spread, TraceBreakdown
from gpuprobe.ranking.growth import grown
from gpuprobe.ranking.rates import Interval
from gpuprobe.ranking.scaling import GrownTime, LostTime, Scaling, ScalingPoint
from gpuprobe.report import scaling as words
from gpuprobe.report.scaling_words import sentences
from gpuprobe.simulate.job import Job, write_job
from gpuprobe.simulate.spec import Collective, Host, Kernels, Recording, Spec
from gpuprobe.thresholds import DEFAULTS
from gpuprobe.traces.read import read

if TYPE_CHECKING:
    from pathlib import Path


def trace(*ledgers: dict[str, float], peers: bool = True, kind: str = "cpu") -> TraceBreakdown:
    """Return the breakdown of a job with a device for each ledger (ms); `peers` says that its exchanges match."""
    devices = [
        DeviceBreakdown(
            name="CPU",
            host=f"worker{number}",
            kind="gpu" if kind == "gpu" else "cpu",
            step_ms=sum(ledger.values()),
            steps=8,
            ledger_ms=ledger,
            spread=Spread(median_ms=sum(ledger.values()), p5_ms=0.0, p95_ms=0.0, outliers=()),
        )
        for number, ledger in enumerate(ledgers)
    ]
    waits = [PeerFacts(device=place, exchanges=8, last=0, waited_ms=0.0, kept_ms=0.0) for place in range(len(devices))]
    return TraceBreakdown(source="", format="xplane", devices=tuple(devices), peers=tuple(waits) if peers else ())


ALONE = trace({"cpu_compute": 16.0, "idle_input": 2.0, "unattributed": 2.0})
# A worker that computes longer is waited for; both feed themselves a little slower.
TOGETHER = trace(
    {"cpu_compute": 24.0, "idle_input": 3.0, "cpu_collective": 1.0, "idle_peer": 0.0, "unattributed": 4.0},
    {"cpu_compute": 18.0, "idle_input": 3.0, "cpu_collective": 1.0, "idle_peer": 6.0, "unattributed": 4.0},
)


def as_ms(grew: tuple[GrownTime, ...]) -> dict[str, float]:
    return {part.kind: part.ms for part in grew}


def test_each_kind_grows_by_its_mean_over_the_devices_and_the_rest_is_left() -> None:
    grew = grown((ALONE, 20.0), (TOGETHER, 32.0))
    assert as_ms(grew) == pytest.approx({"transfer": 1.0, "peers": 3.0, "input": 1.0, "computing": 5.0})
    lost = LostTime(by=("beside",), ms=Interval(value=12.0, low=11.0, high=13.0, n=8, rounds=2), grew=grew)
    # What the traces themselves leave unattributed.
    assert lost.rest_ms == pytest.approx(2.0)


def test_the_timed_steps_set_the_scale() -> None:
    # The profiler slows both traced steps by a quarter.
    assert as_ms(grown((ALONE, 16.0), (TOGETHER, 25.6))) == pytest.approx(
        {"transfer": 0.8, "peers": 2.4, "input": 0.8, "computing": 4.0}
    )


def test_without_matched_exchanges_a_transfer_may_be_waiting() -> None:
    unmatched = msgspec.structs.replace(TOGETHER, peers=())
    assert as_ms(grown((ALONE, 20.0), (unmatched, 32.0))) == pytest.approx(
        {"exchange": 4.0, "input": 1.0, "computing": 5.0}
    )


def test_traces_that_do_not_show_the_timed_steps_divide_nothing() -> None:
    slowed, missed = DEFAULTS.traced_apart, DEFAULTS.pace_apart
    assert grown((ALONE, 20.0 / slowed * 1.01), (TOGETHER, 32.0))
    assert grown((ALONE, 20.0 / slowed), (TOGETHER, 32.0)) == ()
    assert grown((ALONE, 20.0), (TOGETHER, 32.0 * missed))
    assert grown((ALONE, 20.0), (TOGETHER, 32.0 * missed * 1.01)) == ()
    assert grown((None, 20.0), (TOGETHER, 32.0)) == ()
    assert grown((ALONE, 20.0), (trace(), 32.0)) == ()
    assert grown((ALONE, 20.0), (trace({"gpu_compute": 32.0}, kind="gpu"), 32.0)) == ()


def simulated(folder: Path, *workers: Spec) -> tuple[TraceBreakdown, float]:
    folder.mkdir()
    write_job(Job(workers=workers, gradients_mib=20.0), folder)
    breakdown = breakdown_of(read(folder))
    return breakdown, fmean(device.step_ms for device in breakdown.devices)


def test_a_simulated_slow_worker_lengthens_computing_and_the_wait_of_the_other(tmp_path: Path) -> None:
    worker = Spec(
        steps=4,
        kernels=Kernels(count=60, mean_us=100.0),
        host=Host(sync_every=1),
        collective=Collective(update_share=0.05),
        recording=Recording(telemetry=False),
    )
    late = msgspec.structs.replace(worker, kernels=msgspec.structs.replace(worker.kernels, mean_us=150.0))
    alone, healthy, held_up = (
        simulated(tmp_path / str(place), *workers)
        for place, workers in enumerate([(worker,), (worker, worker), (worker, late)])
    )
    transfer_ms = as_ms(grown(alone, healthy))["transfer"]
    assert transfer_ms == pytest.approx(healthy[1] - alone[1], rel=0.05)
    grew = as_ms(grown(alone, held_up))
    longer_ms = held_up[1] - healthy[1]
    assert grew["transfer"] == pytest.approx(transfer_ms, rel=0.05)
    # In one of two workers each, and the mean is over both.
    assert grew["computing"] == pytest.approx(longer_ms / 2, rel=0.05)
    assert grew["peers"] == pytest.approx(longer_ms / 2, rel=0.05)


def scaling(ready_threads: float | None, gain: Interval | None = None) -> Scaling:
    lost = LostTime(
        by=("beside",),
        ms=Interval(value=12.0, low=11.0, high=13.0, n=8, rounds=2),
        grew=grown((ALONE, 20.0), (TOGETHER, 32.0)),
    )
    point = ScalingPoint(
        devices=2,
        samples=32,
        ideal_ms=20.0,
        step_ms=32.0,
        lost=(lost,),
        without_xla_ms=gain,
        ready_threads=ready_threads,
    )
    return Scaling(weak=True, points=(point,), workers=True, logical=True, cores=2)


def test_the_report_divides_a_part_into_kinds_that_add_up() -> None:
    head, row = words.traced_parts_table(scaling(None))
    cells = dict(zip(head, row, strict=True))
    assert cells["waiting for peers"] == "+3.00 ms"
    assert cells["rest"] == "+2.00 ms"
    shown = [float(cell.removesuffix(" ms")) for cell in row[2:]]
    assert sum(shown[1:]) == pytest.approx(shown[0], abs=0.02)


def test_parts_that_contradict_each_other_are_not_divided() -> None:
    whole = scaling(3.5)
    (point,) = whole.points
    less = LostTime(by=("exchange",), ms=Interval(value=-3.0, low=-4.0, high=-2.0, n=8, rounds=2))
    contradicting = msgspec.structs.replace(point, lost=(*point.lost, less))
    assert words.traced_parts_table(msgspec.structs.replace(whole, points=(contradicting,))) == []


def test_xla_that_is_off_is_a_part_of_the_ideal_step() -> None:
    head, row = words.losses_table(scaling(None, Interval(value=5.0, low=4.0, high=6.0, n=8, rounds=2)))
    cells = dict(zip(head, row, strict=True))
    assert cells["ideal step with XLA"].startswith("15")
    assert cells["no XLA"] == "+5.00 ms (+4.00 to +6.00)"
    assert "no XLA" not in words.losses_table(scaling(None))[0]


@pytest.mark.parametrize(("ready", "told"), [(3.5, "threads waited for cores"), (1.5, "were not short")])
def test_cores_are_called_short_only_where_more_threads_were_ready(ready: float, told: str) -> None:
    (sentence,) = (one for one in sentences(scaling(ready)) if "wanted to run" in one)
    assert told in sentence
    assert not any("wanted to run" in one for one in sentences(scaling(None)))
