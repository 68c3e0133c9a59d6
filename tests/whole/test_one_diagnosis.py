"""The same evidence gives the same diagnosis, whichever way it comes in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace as replaced
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpuprobe import telemetry
from gpuprobe.cli import diagnose as cli
from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.causes import CATALOGUE
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.recorded import recorded
from gpuprobe.diagnosis.records import Diagnosis, Finding
from gpuprobe.diagnosis.trainings import read_trainings
from gpuprobe.evidence.readings.signals import see
from gpuprobe.keras.verdict import diagnosis_of, verdict
from gpuprobe.ranking.load import load
from gpuprobe.recording import RUN_FILE, RUNS_FOLDER, TELEMETRY_FILE, TRAININGS_FOLDER
from gpuprobe.records import Evidence, Run, Signal
from gpuprobe.records import load as load_record
from gpuprobe.results import diagnose as in_a_notebook
from gpuprobe.simulate.sessions import write_session
from gpuprobe.simulate.spec import Card, Host, Input, Kernels, Recording, Spec
from gpuprobe.watch.verdict import judge
from tests.diagnosis.test_recorded import HEALTHY, SLOW_LAUNCHES
from tests.helpers.simulated import specs
from tests.helpers.watches import record

# A share that another kind of evidence gives lies across the step, as one device's lead over the others does.
EXCLUSIVE = {cause.id for cause in CATALOGUE if cause.exclusive} - {"straggler"}
SHOWN_AS_IT_IS = (Phase.explicit, Phase.reuse, Phase.generate)
Told = tuple[tuple[Finding, ...], set[str]]


@contextmanager
def study_of(spec: Spec) -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        write_session(spec, Path(folder) / "study")
        yield Path(folder) / "study"


def entrances(study: Path) -> dict[str, Told]:
    """What each way in makes of the one run of a study."""
    (run,) = (study / RUNS_FOLDER).iterdir()
    ranking = load(study).ranking
    notebook, of_study = in_a_notebook(run), diagnose(recorded(study))
    printed = CliRunner().invoke(cli.command, [str(run), "--json"], catch_exceptions=False)
    from_command = msgspec.convert(json.loads(printed.output), Diagnosis)
    training = study.parent / "watch" / TRAININGS_FOLDER / "1"
    shutil.copytree(study, training)
    (watched,) = read_trainings(training.parent.parent)
    assert watched.diagnosis is not None, watched.missing
    found, _ = diagnosis_of(run, trace=True)
    probe = verdict(load_record(Run, run / RUN_FILE), "", found)
    return {
        "run": told(diagnose(recorded(run))),
        "study": (ranking.findings, {reason.cause for reason in ranking.not_evaluated}),
        "study of one run": told(of_study),
        "notebook": told(notebook),
        "command": told(from_command),
        "watch": told(watched.diagnosis),
        "probe": (probe.findings, {reason.cause for reason in probe.not_evaluated}),
    }


def told(diagnosis: Diagnosis) -> Told:
    return diagnosis.findings, {reason.cause for reason in diagnosis.not_evaluated}


def check(found: tuple[Finding, ...]) -> None:
    """What holds of any diagnosis."""
    assert [finding.primary for finding in found].count(True) == 1
    assert found[0].primary
    assert len({finding.cause for finding in found}) == len(found)
    assert all(0 <= finding.severity <= 1 + 1e-9 for finding in found)
    assert sum(finding.severity for finding in found if finding.cause in EXCLUSIVE) <= 1 + 1e-9
    for gain in (gain for one in found for gain in (one.predicted_gain, one.measured_gain) if gain is not None):
        assert gain.over, "a gain says what it is over"


# A recording that fails is shown as it is: each step of making it smaller would take a second.
@settings(max_examples=12, deadline=None, phases=SHOWN_AS_IT_IS, suppress_health_check=[HealthCheck.too_slow])
@given(specs().filter(lambda spec: spec.collective.gpus == 1))
def test_the_same_recording_gives_the_same_diagnosis_through_every_entrance(spec: Spec) -> None:
    with study_of(spec) as study:
        found = entrances(study)
    findings, undecided = found.pop("run")
    check(findings)
    for entrance, (others, also_undecided) in found.items():
        assert others == findings, entrance
        assert also_undecided == undecided, entrance


@pytest.mark.parametrize("spec", [HEALTHY, SLOW_LAUNCHES], ids=["healthy", "launches"])
def test_a_training_without_a_trace_is_diagnosed_as_one_too(spec: Spec) -> None:
    with study_of(replace(spec, recording=replace(spec.recording, trace=False))) as study:
        (run,) = (study / RUNS_FOLDER).iterdir()
        ranking, alone = load(study).ranking, diagnose(recorded(run))
    assert ranking.findings == alone.findings
    check(alone.findings)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 20.0, 60.0, 85.0, 99.0]), min_size=1, max_size=4),
    st.sampled_from([0.3, 1.0, 3.9]),
    st.sampled_from([0.2, 0.97]),
)
def test_readings_alone_say_the_same_to_a_watch_and_to_diagnose(
    levels: list[float], cores: float, thread: float
) -> None:
    with TemporaryDirectory() as folder:
        watch = record(Path(folder), levels * 10, cores=cores, thread=thread)
        recording = telemetry.read(Path(folder) / TELEMETRY_FILE)
        _, found = judge(recording, watch)
        (gpu,) = see(recording, watch).gpus
    alone = diagnose(Case(readings=gpu.evidence))
    assert found.judged[0].findings == alone.findings
    assert found.judged[0].not_evaluated == alone.not_evaluated
    check(alone.findings)


def test_a_figure_has_one_value_in_the_table_and_in_the_diagnosis() -> None:
    with study_of(replace(SLOW_LAUNCHES, recording=replace(SLOW_LAUNCHES.recording, window_s=10.0))) as study:
        (row,) = load(study).ranking.rows
        read = {signal.name: signal for signal in diagnose(recorded(study)).telemetry}
    both = [signal for signal in row.telemetry if signal.name in read]
    assert {"utilization_percent", "power_w", "sm_clock_mhz", "cpu_cores"} <= {signal.name for signal in both}
    for signal in both:
        assert signal.value == read[signal.name].value, signal.name
    (busy,) = [signal for signal in both if signal.name == "utilization_percent"]
    ends = [read[f"utilization_{at}_percent"].value for at in ("p5", "p95")]
    assert [busy.low, busy.high] == ends


def test_a_predicted_range_never_exceeds_its_own_utmost() -> None:
    for spec in (
        SLOW_LAUNCHES,
        HEALTHY,
        Spec(input=Input(feed="generator", python_ms=8.0)),
        Spec(host=Host(callback_ms=5.0, syncs_in_step=2), card=Card(clock_fraction=0.5)),
        Spec(kernels=Kernels(count=20, mean_us=5.0)),
    ):
        with study_of(spec) as study:
            replay = diagnose(recorded(study)).replay
        assert replay is not None
        assert replay.predictions
        for made in replay.predictions:
            low, high = made.gain.low or 0.0, made.gain.high or 0.0
            assert low <= made.gain.ratio <= high <= made.bound * (1 + 1e-9), made.change


def unclocked(case: Case) -> tuple[Signal, ...]:
    return tuple(signal for signal in case.settings if signal.name != "outside_fraction")


def beside(case: Case, clock: Signal) -> Case:
    return replaced(case, settings=(*unclocked(case), clock))


def clocked(share: float) -> Signal:
    return Signal(name="outside_fraction", unit="of the timed window", source="clock", value=share)


def causes(case: Case) -> list[str]:
    found = diagnose(case).findings
    check(found)
    return [finding.cause for finding in found]


def test_the_clock_tells_of_time_between_steps_beside_the_trace_unless_a_busy_gpu_hides_it() -> None:
    with study_of(HEALTHY) as study, study_of(SLOW_LAUNCHES) as other:
        healthy, launches = recorded(study), recorded(other)
    assert causes(beside(healthy, clocked(0.4))) == causes(healthy)
    slow = beside(launches, clocked(0.4))
    assert causes(slow)[0] == causes(launches)[0] == "launch_bound"
    assert "host_between_steps" in causes(slow)
    assert "host_between_steps" not in causes(beside(launches, clocked(0.1)))


def test_a_full_gpu_that_the_window_does_not_show_is_not_that_of_the_training() -> None:
    with study_of(
        replace(HEALTHY, recording=Recording(style="2020"), host=Host(callback_ms=40.0, sync_every=1))
    ) as one:
        case = recorded(one)
    first = diagnose(case).primary
    assert first is not None
    # A reading of the result would look the same to the clock, and the one traced step ends before it.
    assert (first.cause, first.confidence) == ("host_between_steps", "medium")
    window = Evidence(signals=case.settings).number("window_call_ms") or 0.0
    full = next(found for found in diagnose(case).findings if found.cause == "compute_bound")
    assert full.severity == pytest.approx(case.breakdown.devices[0].ms("gpu_compute") / window, rel=0.1)
    # One step alone fills its own span: without the clock nothing tells of what follows it.
    alone = replaced(case, settings=unclocked(case))
    first = diagnose(alone).primary
    assert first is not None
    assert (first.cause, first.confidence == "high") == ("compute_bound", False)


def test_time_in_which_the_host_may_wait_for_the_kernels_is_none_between_the_steps() -> None:
    with study_of(replace(HEALTHY, recording=Recording(style="2020"))) as study:
        case = recorded(study)
    kernels_ms = case.breakdown.devices[0].ms("gpu_compute")
    call_ms = 2 * kernels_ms
    settings = tuple(
        replace(signal, value=call_ms, low=0.99 * call_ms, high=1.01 * call_ms)
        if signal.name == "window_call_ms"
        else signal
        for signal in unclocked(case)
    )
    waits, works = (diagnose(replaced(case, settings=(*settings, clocked(share)))).primary for share in (0.5, 0.75))
    assert waits is not None
    assert works is not None
    assert (waits.cause, waits.confidence == "high") == ("compute_bound", False)
    assert works.cause == "host_between_steps"


def test_on_a_gpu_the_clock_alone_cannot_tell_waiting_for_a_result_from_work() -> None:
    on_gpu = Signal(name="device_is_gpu", unit="", source="TensorFlow", value=True)
    first = diagnose(Case(settings=(clocked(0.9), on_gpu))).primary
    assert first is not None
    assert first.cause == "unattributed"
    assert "host_between_steps" in first.claim


def test_without_a_trace_the_clock_names_the_cause() -> None:
    first = diagnose(Case(settings=(clocked(0.5),))).primary
    assert first is not None
    assert (first.cause, first.confidence) == ("host_between_steps", "high")


def test_what_was_asked_for_in_vain_is_not_advised_again() -> None:
    nothing = Evidence(signals=(Signal(name="cpu_fraction", unit="1", source="psutil", value=0.1),))
    for readings in (None, nothing):
        fresh, tried = Case(readings=readings), Case(readings=readings, no_trace="the profiler did not start")
        advice = [primary.fix for case in (fresh, tried) if (primary := diagnose(case).primary)]
        assert "watch --trace" in advice[0]
        assert "watch --trace" not in advice[1]
        assert "the profiler did not start" in advice[1]


def test_severities_of_what_takes_time_from_each_other_stay_within_the_step() -> None:
    with study_of(SLOW_LAUNCHES) as study:
        case = recorded(study)
    gains = (
        Signal(name="baseline", unit="", source="test", value="only"),
        Signal(name="input_share", unit="1", source="test", value=0.9, low=0.8, high=0.95),
        Signal(name="gain.xla", unit="1", source="test", value=5.0, low=4.0, high=6.0),
        Signal(name="over.xla", unit="", source="test", value="cached"),
    )
    assert {"launch_bound", "input_bound"} <= set(causes(replaced(case, compared=Evidence(signals=gains))))
    assert {"launch_bound", "input_bound"} <= set(
        causes(Case(settings=case.settings, compared=Evidence(signals=gains)))
    )
