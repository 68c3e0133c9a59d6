"""What would make a job of several workers faster: each prediction beside the simulator's truth, within a tenth."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from gpuprobe.ledger.breakdown import break_down
from gpuprobe.ledger.exchanges import Exchanges
from gpuprobe.ledger.names import collective
from gpuprobe.simulate.job import Job, steady_job_ms, write_job
from gpuprobe.simulate.spec import Collective, Host, Input, Kernels, Recording, Spec
from gpuprobe.traces.read import read
from gpuprobe.traces.timeline import NO_CORRELATION, Timeline
from gpuprobe.units import PS_PER_MS
from gpuprobe.whatif.job import ALONE, FEW
from gpuprobe.whatif.job_changes import JobChange, job_changes, latency_ms, link_times, predictions
from gpuprobe.whatif.predict import predict

PLAIN = Spec(
    kernels=Kernels(count=40, mean_us=400.0),
    host=Host(queue_depth=64),
    collective=Collective(update_share=0.05),
    recording=Recording(telemetry=False),
)
SLOW = replace(PLAIN, kernels=Kernels(count=40, mean_us=650.0))
FED = replace(PLAIN, input=Input(map_ms=40.0, parallel_calls=1))
READING = replace(PLAIN, host=replace(PLAIN.host, sync_every=1))
# Rates of the link that no exchange of the traced job was at.
LINKS = (0.25, 10.0)


def job(*workers: Spec, gradients_mib: float = 60.0, **more: float) -> Job:
    specs = tuple(replace(spec, seed=number) for number, spec in enumerate(workers))
    return Job(workers=specs, gradients_mib=gradients_mib, **more)  # type: ignore[arg-type]


JOBS = {
    "alike": job(PLAIN, PLAIN, PLAIN),
    "one computes longer": job(PLAIN, SLOW, PLAIN, gradients_mib=30.0),
    "one waits for its input": job(PLAIN, FED, PLAIN, gradients_mib=30.0),
    "packs beside the backward pass": job(PLAIN, PLAIN, link_gb_per_s=2.0, latency_us=200.0).each(
        buckets=3, overlap=True
    ),
    "a loss is read in each step": job(READING, READING, link_gb_per_s=5.0),
}


def after(made: Job, change: str) -> Job:
    """Make a change in the simulator."""
    workers = made.workers
    if change.startswith("link_times_"):
        return dataclasses.replace(made, link_gb_per_s=made.link_gb_per_s * float(change.removeprefix("link_times_")))
    if change == "gradients_fp16":
        return dataclasses.replace(made, gradients_mib=made.gradients_mib / 2)
    if change == "packs_overlapped_4":
        return made.each(buckets=4, overlap=True)
    if change == "input_service":
        ready = tuple(replace(spec, input=replace(spec.input, feed="device")) for spec in workers)
        return dataclasses.replace(made, workers=ready)
    if change == "devices_times_2":
        return dataclasses.replace(made, workers=(*workers, *(replace(spec, seed=50 + spec.seed) for spec in workers)))
    assert change == "straggler_removed"
    mean_us = float(np.mean([spec.kernels.mean_us for spec in workers]))
    map_ms = float(np.mean([spec.input.map_ms / spec.input.parallel_calls for spec in workers]))
    alike = (
        replace(
            spec,
            kernels=replace(spec.kernels, mean_us=mean_us),
            input=replace(spec.input, map_ms=map_ms, parallel_calls=1),
        )
        for spec in workers
    )
    return dataclasses.replace(made, workers=tuple(alike))


@pytest.mark.parametrize("name", JOBS)
def test_each_change_gives_what_the_simulator_says(tmp_path: Path, name: str) -> None:
    made = JOBS[name]
    write_job(made, tmp_path)
    workings = break_down(read(tmp_path))
    hops_ms = 2 * (len(made.workers) - 1) * made.latency_us / 1000
    changes: tuple[JobChange, ...] = (*job_changes(hops_ms), *(link_times(rate, hops_ms) for rate in LINKS))
    found, untried = predictions(workings, steady_job_ms(made), changes)
    assert {one.change for one in untried} == ({"packs_overlapped_4"} if made.workers[0].collective.overlap else set())
    assert len(found) + len(untried) == len(changes)
    for prediction in found:
        assert abs(prediction.replay_error_fraction) < 0.01
        truth = steady_job_ms(after(made, prediction.change))
        assert prediction.step_ms == pytest.approx(truth, rel=0.1), prediction.change
        assert prediction.gain.ratio <= prediction.bound


def with_a_loss(timeline: Timeline) -> Timeline:
    """Let each device add up a loss too, a hundredth of a millisecond after the gradients, on a stream of its own."""
    devices = []
    for device in timeline.devices:
        kernels = device.kernels
        exchanges = np.flatnonzero(collective(timeline.names, kernels.name))
        assert len(exchanges)
        columns = {name: column for name, column in vars(kernels).items() if len(column)}
        more = {name: column[exchanges] for name, column in columns.items()}
        more |= {
            "start_ps": kernels.end_ps[exchanges] + PS_PER_MS // 100,
            "duration_ps": np.full(len(exchanges), PS_PER_MS // 20),
            "correlation": np.full(len(exchanges), NO_CORRELATION),
            "stream": np.full(len(exchanges), 99),
        }
        both = {name: np.concatenate([column, more[name]]) for name, column in columns.items()}
        order = np.argsort(both["start_ps"], kind="stable")
        whole = dataclasses.replace(kernels, **{name: column[order] for name, column in both.items()})
        devices.append(dataclasses.replace(device, kernels=whole))
    return dataclasses.replace(timeline, devices=tuple(devices))


def test_packs_are_predicted_where_a_loss_is_added_up_too(tmp_path: Path) -> None:
    made = JOBS["alike"]
    write_job(made, tmp_path)
    workings = break_down(with_a_loss(read(tmp_path)))
    assert {device.communication.packs for device in workings.breakdown.devices if device.communication} == {1}
    change = "packs_overlapped_4"
    found, untried = predictions(workings, steady_job_ms(made))
    assert change not in {one.change for one in untried}
    prediction = next(one for one in found if one.change == change)
    assert prediction.step_ms == pytest.approx(steady_job_ms(after(made, change)), rel=0.1)


def test_the_replay_of_a_trace_tries_them_beside_the_others(tmp_path: Path) -> None:
    write_job(JOBS["one computes longer"], tmp_path)
    replay = predict(break_down(read(tmp_path)))
    assert replay.of("straggler_removed") is not None
    assert replay.of("input_free") is None or replay.of("link_times") is not None
    ratios = [one.gain.ratio for one in replay.predictions]
    assert ratios == sorted(ratios, reverse=True)


def test_a_job_becomes_no_faster_than_its_other_workers(tmp_path: Path) -> None:
    longer = replace(PLAIN, kernels=Kernels(count=40, mean_us=900.0))
    made = job(longer, FED, longer, gradients_mib=30.0)
    write_job(made, tmp_path)
    free = predict(break_down(read(tmp_path))).of("input_free")
    assert free is not None
    truth = steady_job_ms(after(made, "input_service"))
    assert free.step_ms == pytest.approx(truth, rel=0.1)
    assert free.low_ms * 0.9 < truth < free.high_ms * 1.1
    assert "the other workers still take" in free.assumption


def test_of_one_worker_or_one_step_nothing_is_told_of_the_job(tmp_path: Path) -> None:
    short = job(*(replace(spec, steps=2) for spec in (PLAIN, PLAIN)))
    write_job(short, tmp_path / "short")
    workings = break_down(read(tmp_path / "short"))
    exchanged = workings.exchanged
    assert exchanged is not None
    one = dataclasses.replace(
        exchanged,
        **{name: column[..., :1] for name, column in vars(exchanged).items() if name not in {"members", "numbered"}},
    )
    for told, reason in ((one, FEW), (None, ALONE)):
        found, untried = predictions(dataclasses.replace(workings, exchanged=told), 10.0)
        assert found == []
        assert {change.reason for change in untried} == {reason}
    alone = dataclasses.replace(workings, devices=workings.devices[:1])
    assert predictions(alone, 10.0) == ([], [])


@pytest.mark.parametrize(("sizes", "told_ms"), [((10, 40, 160), 0.5), ((40, 40, 40), 0.0), ((-1, -1, -1), 0.0)])
def test_latency_is_fitted_to_transfers_of_several_sizes(sizes: tuple[int, ...], told_ms: float) -> None:
    size = np.array(sizes, np.int64)
    took = ((0.5 + 0.02 * np.abs(size)) * PS_PER_MS).astype(np.int64)
    both = np.stack([took, took])
    made = Exchanges((("GPU", "a"), ("GPU", "b")), both * 0, both, np.ones((2, 3), np.bool_), took, size, size * 0)
    assert latency_ms(made) == pytest.approx(told_ms, abs=1e-6)
