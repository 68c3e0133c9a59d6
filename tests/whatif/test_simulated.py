"""Predictions for simulated sessions, against the same sessions simulated again with the change made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gpuprobe.ledger.breakdown import break_down
from gpuprobe.ranking.traced import known_in
from gpuprobe.recording import RUN_FILE, TELEMETRY_FILE, load_study, run_folder
from gpuprobe.records import Run, load
from gpuprobe.simulate.sessions import write_session
from gpuprobe.simulate.spec import Card, Collective, Copies, Host, Input, Kernels, Recording, Spec
from gpuprobe.traces.read import read
from gpuprobe.whatif.predict import predict
from gpuprobe.whatif.records import Replay
from gpuprobe.whatif.run_facts import known_of

if TYPE_CHECKING:
    from gpuprobe.simulate.truth import Truth

SMALL = Kernels(count=60, mean_us=60.0, dtype="float32")
TINY = Kernels(count=60, mean_us=4.0, sm_fill=0.2, dtype="float32")
QUICK = Input(map_ms=0.1, batch_ms=0.1)
SESSIONS = {
    "healthy": Spec(kernels=SMALL),
    "launches": Spec(kernels=TINY, input=QUICK),
    "launches held back": Spec(kernels=TINY, input=QUICK, host=Host(wddm_batch=16, wddm_submit_us=150.0)),
    "several steps a call": Spec(kernels=TINY, input=QUICK, host=Host(steps_per_execution=4)),
    "input when asked": Spec(kernels=SMALL, input=Input(map_ms=6.0, prefetch=0, parallel_calls=1)),
    "input ahead": Spec(kernels=SMALL, input=Input(map_ms=9.0, prefetch=2, parallel_calls=1)),
    "python feed": Spec(kernels=SMALL, input=Input(feed="python", python_ms=8.0)),
    "copies": Spec(kernels=SMALL, copies=Copies(batch_mib=120.0)),
    "pageable copies": Spec(kernels=SMALL, copies=Copies(batch_mib=12.0, pinned=False)),
    "syncs": Spec(kernels=SMALL, host=Host(sync_every=1, syncs_in_step=3)),
    "callbacks": Spec(kernels=SMALL, host=Host(callback_ms=8.0, sync_every=1)),
    "two devices": Spec(kernels=SMALL, collective=Collective(gpus=2, allreduce_ms=1.0, buckets=3)),
    "processor": Spec(kernels=SMALL, card=Card(on_gpu=False), input=Input(map_ms=20.0, prefetch=0, parallel_calls=1)),
    "one step of 2020": Spec(kernels=TINY, input=QUICK, host=Host(sync_every=1), recording=Recording(style="2020")),
}


def predicted(spec: Spec, folder: Path) -> tuple[Replay, Truth]:
    truth = write_session(spec, folder)
    run = run_folder(folder, 1, spec.name)
    timeline = read(run)
    known = known_of(load(Run, run / RUN_FILE), spec.host.cores)
    return predict(break_down(timeline), known), truth


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Replay, Truth]]:
    return {name: predicted(spec, tmp_path_factory.mktemp("session")) for name, spec in SESSIONS.items()}


@pytest.mark.parametrize("name", SESSIONS)
def test_every_session_replays_and_its_steady_step_is_right(
    name: str, results: dict[str, tuple[Replay, Truth]]
) -> None:
    replay, truth = results[name]
    assert replay.refused is None
    assert replay.error_fraction == pytest.approx(0.0, abs=0.03)
    assert replay.steady_ms == pytest.approx(truth.step_ms, rel=0.03)


def test_predictions_are_near_the_truth(results: dict[str, tuple[Replay, Truth]]) -> None:
    errors, inside = [], []
    for replay, truth in results.values():
        for made in replay.predictions:
            if made.change in truth.fixes:
                true_ms = truth.fixes[made.change].step_ms
                if abs(true_ms / truth.step_ms - 1) >= 0.05:
                    errors.append(abs(made.step_ms / true_ms - 1))
                    inside.append(made.low_ms <= true_ms <= made.high_ms)
    assert len(errors) > 30
    assert np.median(errors) <= 0.05
    assert np.percentile(errors, 90) <= 0.20
    assert np.mean(inside) >= 0.8


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("launches", "launches_fused_8"),
        ("input when asked", "input_free"),
        ("input when asked", "prefetch_2"),
        ("input ahead", "input_free"),
        ("input ahead", "parallel_map_8"),
        ("python feed", "input_free"),
        ("copies", "uint8_feed"),
        ("pageable copies", "copies_hidden"),
        ("callbacks", "callbacks_removed"),
        ("callbacks", "steps_per_execution_8"),
        ("processor", "input_free"),
    ],
)
def test_the_cure_of_the_flaw_is_predicted(name: str, change: str, results: dict[str, tuple[Replay, Truth]]) -> None:
    replay, truth = results[name]
    made = replay.of(change)
    assert made is not None
    assert made.step_ms == pytest.approx(truth.fixes[change].step_ms, rel=0.10)
    assert made.gain.ratio > 1.1


def test_a_trace_without_its_host_is_refused(tmp_path: Path) -> None:
    replay, _ = predicted(Spec(kernels=SMALL, recording=Recording(host_events=False)), tmp_path)
    assert not replay.predictions
    assert "can be joined to the calls that launched it" in (replay.refused or "")


def test_changes_with_nothing_to_work_on_say_why(results: dict[str, tuple[Replay, Truth]]) -> None:
    reasons = {found.change: found.reason for found in results["python feed"][0].unpredicted}
    assert "tf.data" in reasons["prefetch_2"]
    assert "does not tell callbacks" in reasons["callbacks_removed"]
    pipeline = {found.change: found.reason for found in results["input ahead"][0].unpredicted}
    assert pipeline["prefetch_2"] == "batches are made ahead already"
    processor = {found.change: found.reason for found in results["processor"][0].unpredicted}
    assert processor["batch_times_4"] == "there is no GPU in the trace"


def test_a_study_knows_how_busy_the_processor_was_beside_each_trace(tmp_path: Path) -> None:
    write_session(SESSIONS["processor"], tmp_path)
    run = run_folder(tmp_path, 1, SESSIONS["processor"].name)
    record, study = load(Run, run / RUN_FILE), load_study(tmp_path)
    known, alone = known_in(study, run, record), known_of(record, study.environment.cores)
    assert known.untraced_step_ms == alone.untraced_step_ms
    assert alone.busy_cores is None
    assert 0 < (known.busy_cores or 0) <= study.environment.cores
    assert known.other_cores is not None
    # A run without readings is told from by its window alone.
    (run / TELEMETRY_FILE).unlink()
    assert known_in(study, run, record) == alone
