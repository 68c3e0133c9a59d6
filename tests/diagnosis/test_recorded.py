"""A recording diagnosed whole: trace, readings and settings of simulated sessions whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.recorded import recorded
from gpuprobe.diagnosis.records import Diagnosis
from gpuprobe.recording import RUNS_FOLDER
from gpuprobe.simulate.sessions import write_session
from gpuprobe.simulate.spec import Card, Copies, Host, Input, Kernels, Recording, Spec
from gpuprobe.simulate.truth import Truth

# A healthy session on a V100: kernels follow one another.
HEALTHY = Spec(
    card=Card(name="Tesla V100-SXM2-16GB", compute_capability="7.0", sm_count=80, clock_mhz=1530, memory_mib=16160),
    kernels=Kernels(count=60, mean_us=150.0, sm_fill=3.0, dtype="float16", matmul_share=0.3),
    recording=Recording(window_s=3.0),
)
SLOW_LAUNCHES = replace(HEALTHY, host=Host(dispatch_us=400.0, launch_us=20.0))


@dataclass(frozen=True)
class Session:
    truth: Truth
    diagnosis: Diagnosis

    @property
    def primary(self) -> str:
        assert self.diagnosis.primary is not None
        return self.diagnosis.primary.cause


def session(spec: Spec, folder: Path) -> Session:
    truth = write_session(spec, folder / "study")
    found = recorded(next((folder / "study" / RUNS_FOLDER).iterdir()))
    return Session(truth, diagnose(found))


def test_launches_that_do_not_keep_up_and_what_fewer_of_them_would_give(tmp_path: Path) -> None:
    found = session(SLOW_LAUNCHES, tmp_path)
    assert found.primary == found.truth.primary == "launch_bound"
    assert found.diagnosis.primary is not None
    assert found.diagnosis.primary.predicted_gain is not None
    true = found.truth.fixes["launches_fused_8"].ratio
    assert found.diagnosis.what_if["launches_fused_8"].ratio == pytest.approx(true, rel=0.1)


@pytest.mark.parametrize(("dropped", "primary"), [(0.02, "launch_bound"), (0.6, "unattributed")])
def test_a_trace_that_lost_its_kernels_tells_no_cause(dropped: float, primary: str, tmp_path: Path) -> None:
    spec = replace(SLOW_LAUNCHES, recording=replace(HEALTHY.recording, dropped_share=dropped))
    assert session(spec, tmp_path).primary == primary


def test_of_two_that_tie_the_one_leads_without_which_the_step_is_shorter(tmp_path: Path) -> None:
    # Copying takes as long as computing, and both together less than making the next batch, which is made meanwhile.
    given = Input(map_ms=22.0, parallel_calls=1, prefetch=1)
    found = session(replace(HEALTHY, input=given, copies=Copies(batch_mib=98.0)), tmp_path)
    breakdown = found.truth.devices[0].ledger_ms
    assert breakdown["gpu_copy_h2d"] > breakdown["idle_input"] > breakdown["gpu_copy_h2d"] - 0.1 * found.truth.step_ms
    assert found.primary == found.truth.primary == "input_bound"
    assert found.diagnosis.primary is not None
    assert found.diagnosis.primary.ties_with is None


def test_what_makes_kernels_long_lies_behind_a_full_gpu(tmp_path: Path) -> None:
    found = session(
        replace(HEALTHY, card=replace(HEALTHY.card, clock_fraction=0.6, throttle_reason="thermal")), tmp_path
    )
    assert found.primary == found.truth.primary == "throttled"
    symptoms = {finding.cause: finding.symptom_of for finding in found.diagnosis.findings}
    assert symptoms["compute_bound"] == "throttled"


def test_readings_alone_are_no_more_than_a_hint(tmp_path: Path) -> None:
    found = session(replace(SLOW_LAUNCHES, recording=replace(HEALTHY.recording, trace=False)), tmp_path)
    assert found.primary == "unattributed"
    assert found.diagnosis.devices == ()
    assert any("There is no trace" in warning for warning in found.diagnosis.warnings)


def test_a_full_core_does_not_turn_a_weak_hint_of_the_trace_into_a_cause(tmp_path: Path) -> None:
    """Most of the step is work that no event shows, and it fills the core of the thread that trains."""
    spec = Spec(
        kernels=Kernels(count=100, mean_us=50),
        input=Input(prefetch=0, map_ms=12, parallel_calls=1),
        host=Host(host_work_ms=30, host_work_pieces=2, host_work_kind="unseen"),
    )
    found = session(spec, tmp_path)
    assert (found.primary, found.truth.primary, found.truth.answerable) == ("unattributed", "host_work", False)


def test_waiting_for_a_result_is_not_taken_for_callbacks_where_only_the_clock_and_nvml_tell(tmp_path: Path) -> None:
    """The GPU computes for as long as the host is outside the train function, which waits for the loss there."""
    spec = Spec(
        kernels=Kernels(count=200, mean_us=500, dtype="float32", matmul_share=0.0),
        input=Input(prefetch=0, map_ms=40, parallel_calls=1),
        host=Host(sync_every=1),
        recording=Recording(trace=False),
    )
    found = session(spec, tmp_path)
    assert found.primary == "unattributed"
    assert {"host_between_steps", "unattributed"}.isdisjoint(found.truth.accepted)


def test_the_clock_names_callbacks_where_nvml_shows_the_gpu_idle_meanwhile(tmp_path: Path) -> None:
    spec = replace(HEALTHY, host=Host(callback_ms=30.0), recording=replace(HEALTHY.recording, trace=False))
    found = session(spec, tmp_path).diagnosis.primary
    assert found is not None
    assert (found.cause, found.confidence) == ("host_between_steps", "high")
    utilization = next(signal for signal in found.evidence if signal.name == "utilization_percent")
    assert isinstance(utilization.value, float)
    assert found.severity <= 1 - utilization.value / 100


def test_a_healthy_session_is_called_so(tmp_path: Path) -> None:
    found = session(HEALTHY, tmp_path)
    assert found.primary == found.truth.primary == "compute_bound"
    assert found.diagnosis.primary is not None
    assert found.diagnosis.primary.symptom_of is None


# Kernels that fill four fifths of the span are compute-bound by the field's rule, though quicker launches would save a
# twentieth of the step and more, which is the simulator's truth.
@pytest.mark.parametrize(
    ("launch_us", "primary", "true"),
    [(140.0, "compute_bound", "launch_bound"), (5.0, "tensor_cores_unused", "tensor_cores_unused")],
)
def test_shorter_kernels_are_no_cure_where_launches_are_next(
    launch_us: float, primary: str, true: str, tmp_path: Path
) -> None:
    spec = replace(
        HEALTHY,
        kernels=replace(HEALTHY.kernels, dtype="float32", matmul_share=0.4, spread=0.0),
        host=Host(dispatch_us=launch_us, launch_us=5.0, profiler_us=0.0),
    )
    found = session(spec, tmp_path)
    assert (found.primary, found.truth.primary) == (primary, true)
    assert "tensor_cores_unused" in {finding.cause for finding in found.diagnosis.findings}
