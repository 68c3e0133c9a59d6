"""What is lost by how work is spread over devices and workers: each flaw, and the same training without it."""

from __future__ import annotations

from typing import Any

import pytest

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.rules import losses
from gpuprobe.evidence.several import Cores, Measured, spread_over
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.records import Evidence
from gpuprobe.simulate.recordings import settings
from gpuprobe.thresholds import DEFAULTS
from tests.helpers.timelines import Made

CPU, GPU = "/device:CPU:0", "/device:GPU:0"
HALF = Measured(0.5, 0.4, 0.6, 8)
LOST = 1 / (1 - DEFAULTS.spread_share)


def found(
    cores: int | Cores = 8, xla_gain: Measured | None = None, beside: Measured | None = None, **told: Any
) -> dict[str, float]:
    """The causes that settings prove, with the share that each costs."""
    plain = {"device": GPU, "batch_size": 32, "replicas": 4}
    known_cores = cores if isinstance(cores, Cores) else Cores(cores)
    signals = spread_over(settings(**{**plain, **told}), known_cores, xla_gain, beside)
    return {one.cause: one.severity for one in losses.decide(Evidence(signals=signals))[0]}


@pytest.mark.parametrize(("batch", "replicas", "lost"), [(10, 4, 1 / 6), (3, 2, 0.25), (33, 32, 0.484375)])
def test_a_batch_that_cannot_be_divided_makes_devices_wait(batch: int, replicas: int, lost: float) -> None:
    cause = "uneven_batch"
    assert found(cores=64, batch_size=batch, replicas=replicas)[cause] == pytest.approx(lost)
    assert cause not in found(batch_size=batch - batch % replicas, replicas=replicas)
    # One sample more of many is no loss.
    assert cause not in found(batch_size=4001, replicas=4)


def test_xla_is_missed_only_where_it_was_measured_to_help() -> None:
    cause = "xla_off_under_distribution"
    assert found(xla_gain=Measured(2.0, 1.8, 2.2, 8))[cause] == pytest.approx(0.5)
    assert found(xla_gain=Measured(LOST + 0.01, 1.01, 1.2, 8))[cause] > DEFAULTS.spread_share
    assert cause not in found(xla_gain=Measured(LOST - 0.01, 1.01, 1.2, 8))
    assert cause not in found(xla_gain=Measured(1.2, 0.9, 1.5, 8)), "within the noise"
    assert cause not in found(xla_gain=Measured(2.0, 1.8, 2.2, 8), jit_compile=True)
    assert cause not in found(xla_gain=Measured(2.0, 1.8, 2.2, 8), replicas=1)
    signals = spread_over(settings(device=GPU, batch_size=32, replicas=4), Cores(8))
    undecided = losses.decide(Evidence(signals=signals))[1]
    assert [one.reason for one in undecided if one.cause == cause] == [
        "xla_off_share: it was not measured; gpuprobe run --devices measures it"
    ]


def test_replicas_lose_by_sharing_cores() -> None:
    cause = "oversubscribed_cores"
    assert found(device=CPU, cores=2)[cause] == pytest.approx(0.5)
    short = Cores(2, ready_threads=4.0)
    assert found(device=CPU, cores=short, beside=Measured(0.1, 0.05, 0.15, 8))[cause] == pytest.approx(0.1)
    assert cause not in found(device=CPU, cores=4)
    assert cause not in found(device=CPU, cores=short, beside=Measured(0.1, -0.05, 0.25, 8))
    assert cause not in found(device=CPU, cores=1, replicas=1)
    # Each GPU has a core to launch its kernels: what they lose beside each other has another reason.
    assert cause not in found(cores=4, beside=HALF)
    assert found(cores=3, beside=HALF)[cause] == pytest.approx(0.5)
    assert cause not in found(cores=3), "nobody measured it"


@pytest.mark.parametrize(
    ("cores", "why"),
    [
        (Cores(16), "was not measured"),
        (Cores(16, ready_threads=2.5), "2.50 threads wanted to run at a time, with 16 cores for them"),
        # Stand-ins that sleep do not compute, however many they are.
        (Cores(2, ready_threads=1.5), "1.50 threads wanted to run at a time, with 2 cores"),
        (Cores(2, ready_threads=9.0, shared=False), "a host of its own"),
    ],
)
def test_cores_are_blamed_only_where_they_were_short(cores: Cores, why: str) -> None:
    cause, lost = "oversubscribed_cores", Measured(0.1, 0.05, 0.15, 8)
    signals = spread_over(settings(device=CPU, batch_size=32, replicas=4), cores, None, lost)
    found_causes, undecided = losses.decide(Evidence(signals=signals))[:2]
    assert cause not in [one.cause for one in found_causes]
    (reason,) = (one.reason for one in undecided if one.cause == cause)
    assert why in reason


def test_a_distribution_of_keras_is_ignored_on_tensorflow_alone() -> None:
    cause = "keras_distribution_ignored"
    assert found(replicas=1, distribution_devices=4)[cause] == pytest.approx(0.75)
    assert cause not in found(replicas=1)
    assert cause not in found(replicas=1, distribution_devices=1)
    assert cause not in found(replicas=1, distribution_devices=4, backend="jax")
    assert cause not in found(replicas=4, distribution_devices=4), "a strategy of tf.distribute does what was asked for"


def fed(shard: str, below: str, calls: int) -> Made:
    """Four steps that wait 60 of 100 ms for their input; the stage below `Shard` is asked `calls` times a batch."""
    made = Made()
    for step in range(4):
        begin = 100.0 * step
        made.host(begin, begin + 99, "train", step=step).host(begin, begin + 98, "train_function")
        made.host(begin, begin + 60, "IteratorGetNext").host(begin, begin + 60, f"Iterator::Root::{shard}")
        each = 59 / calls
        for call in range(calls):
            name = f"Iterator::Root::{shard}::{below}"
            made.host(begin + call * each, begin + (call + 0.99) * each, name)
        made.kernel(begin + 62, begin + 97, launch=begin + 61)
    return made


def test_batches_that_are_made_for_other_workers_are_dropped() -> None:
    flawed = diagnose(Case(breakdown_of(fed("Shard", "Map", 3).timeline())))
    primary = flawed.primary
    assert primary is not None
    assert (primary.cause, primary.confidence) == ("autoshard_files", "high")
    # Two of three batches are dropped, of the 60 % of the step that is waited for.
    assert primary.severity == pytest.approx(0.4, abs=0.03)
    assert "makes 3 batches for each that it keeps" in primary.claim
    assert next(one for one in flawed.findings if one.cause == "input_bound").symptom_of == "autoshard_files"
    for healthy in (fed("Shard", "Map", 1), fed("Batch", "Map", 3), fed("Batch", "Map", 1)):
        sound = diagnose(Case(breakdown_of(healthy.timeline()))).primary
        assert sound is not None
        assert sound.cause == "input_bound"
