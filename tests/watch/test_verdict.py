"""What the telemetry of a watch supports: figures and verdicts, from recordings that are made."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe import telemetry
from gpuprobe.diagnosis.records import Finding
from gpuprobe.diagnosis.rules.telemetry import decide
from gpuprobe.evidence.readings.phases import busy_span, phases
from gpuprobe.evidence.readings.signals import see
from gpuprobe.evidence.readings.stretch import Stretch, percentile
from gpuprobe.recording import TELEMETRY_FILE, TRAININGS_FOLDER, WALL_FILES, WATCH_FILE
from gpuprobe.records import Evidence, Signal, Watch, load, save
from gpuprobe.report.watch import load_report, write_watch
from gpuprobe.watch.verdict import judge, not_offered
from tests.helpers.watches import S, record
from tests.helpers.whole_runs import wall


def judged(folder: Path, *arguments: object, **options: object) -> Finding:
    """Return the primary finding of a recording that is made so, or what it says it may point to."""
    watch = record(folder, *arguments, **options)  # type: ignore[arg-type]
    _, verdict = judge(telemetry.read(folder / TELEMETRY_FILE), watch)
    main, *others = verdict.judged[0].findings
    assert [finding.primary for finding in verdict.judged[0].findings] == [True, *(False for _ in others)]
    return next((finding for finding in others if f"may point to {finding.cause}" in main.claim), main)


def seen_value(folder: Path, name: str) -> float:
    seen = see(telemetry.read(folder / TELEMETRY_FILE), load(Watch, folder / WATCH_FILE))
    signal_ = (seen.gpus[0].evidence if seen.gpus else seen.host).get(name)
    assert signal_ is not None
    assert isinstance(signal_.value, float), signal_
    return signal_.value


def test_start_up_is_not_taken_for_idling(tmp_path: Path) -> None:
    watch = record(tmp_path, [0.0] * 10 + [90.0] * 20 + [0.0] * 5)
    seen = see(telemetry.read(tmp_path / TELEMETRY_FILE), watch)
    gpu = seen.gpus[0]
    assert (gpu.busy_s, gpu.busy_phases) == (20, 1)
    assert (gpu.idle_before_s, gpu.idle_between_s, gpu.idle_after_s, gpu.unknown_s) == (10, 0, 5, 0)
    assert seen_value(tmp_path, "utilization_percent") == pytest.approx(90, abs=0.1)


def test_percentiles_are_weighted_by_time(tmp_path: Path) -> None:
    record(tmp_path, [20.0] * 10 + [80.0] * 30)
    assert seen_value(tmp_path, "utilization_percent") == pytest.approx(65, abs=0.5)
    assert seen_value(tmp_path, "utilization_p5_percent") == 20
    assert seen_value(tmp_path, "utilization_p50_percent") == 80


def test_busy_and_idle_phases_are_counted(tmp_path: Path) -> None:
    record(tmp_path, ([80.0] * 5 + [0.0] * 5) * 3)
    found = phases(telemetry.read(tmp_path / TELEMETRY_FILE), "gpu0_utilization_percent", 0, 30 * S)
    assert [(phase.busy, phase.seconds) for phase in found] == [(True, 5), (False, 5)] * 3
    assert busy_span(found) == (0, 25 * S)


def test_a_gap_is_unknown_and_not_idle(tmp_path: Path) -> None:
    lines = ["t_ns,said,tree_cpu_s,gpu0_utilization_percent"]
    lines += [f"{second * S},,{second},50" for second in (*range(10), *range(20, 30))]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    recording = telemetry.read(tmp_path / "t.csv")
    found = phases(recording, "gpu0_utilization_percent", 0, 30 * S)
    assert [(phase.busy, phase.seconds) for phase in found] == [(True, 10), (None, 10), (True, 10)]
    stretch = Stretch(recording, ((0, 30 * S),))
    within = (stretch.cells_ns[1] > 9 * S) & (stretch.cells_ns[0] < 20 * S)
    assert np.isnan(stretch.rate("tree_cpu_s")[within]).all()
    assert stretch.rate("tree_cpu_s")[:9] == pytest.approx(1.0)
    assert stretch.rate("tree_cpu_s")[~within][:-1] == pytest.approx(1.0)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 10)), min_size=1, max_size=50),
    st.floats(0, 100),
)
def test_a_percentile_is_a_value_with_enough_weight_below(pairs: list[tuple[float, float]], percent: float) -> None:
    values, weights = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    found = percentile(values, weights, percent)
    assert found in values
    assert weights[values <= found].sum() >= percent / 100 * weights.sum() - 1e-9


@given(st.lists(st.sampled_from([0.0, 9.9, 10.0, 100.0, None]), min_size=1, max_size=40))
def test_phases_cover_every_second_once(levels: list[float | None]) -> None:
    times = np.array([second * S for second, level in enumerate(levels) if level is not None], np.int64)
    values = np.array([level for level in levels if level is not None], np.float64)
    recording = telemetry.Telemetry(times, {"gpu0_utilization_percent": values})
    found = phases(recording, "gpu0_utilization_percent", 0, len(levels) * S)
    assert found[0].start_ns == 0
    assert found[-1].end_ns == len(levels) * S
    assert all(first.end_ns == second.start_ns for first, second in pairwise(found))
    assert all(first.busy != second.busy for first, second in pairwise(found))


# --- verdicts ---


def test_low_utilization_and_one_pinned_thread_suggest_a_python_feed(tmp_path: Path) -> None:
    main = judged(tmp_path, [20.0] * 30, thread=0.97)
    assert (main.cause, main.stage, main.confidence) == ("input_bound", "python_feed", "low")
    assert "does not prove" in main.claim


@pytest.mark.parametrize(("thread", "python"), [(0.90, True), (0.89, False)])
def test_a_thread_is_pinned_from_nine_tenths_of_a_core(thread: float, python: bool, tmp_path: Path) -> None:
    assert (judged(tmp_path, [20.0] * 30, thread=thread).stage == "python_feed") is python


def test_a_thread_that_was_busy_while_starting_up_is_no_feed(tmp_path: Path) -> None:
    # 10 s were seen of the thread: a busy span of 4 s is less than half of them.
    assert judged(tmp_path, [0.0] * 16 + [20.0] * 4, cores=2.0, thread=0.97).stage is None
    assert judged(tmp_path, [0.0] * 14 + [20.0] * 6, cores=2.0, thread=0.97).stage == "python_feed"


def test_a_gpu_that_does_not_tell_its_utilization_gets_no_verdict(tmp_path: Path) -> None:
    watch = record(tmp_path, [], cores=3.5)
    text = (tmp_path / TELEMETRY_FILE).read_text().replace("core3_busy_s", "gpu0_power_w")
    (tmp_path / TELEMETRY_FILE).write_text(text)
    _, verdict = judge(telemetry.read(tmp_path / TELEMETRY_FILE), watch)
    assert [found.device for found in verdict.judged] == ["CPU"]
    assert any("No GPU reported its utilization" in note for note in verdict.notes)


def test_other_programs_never_took_less_than_nothing(tmp_path: Path) -> None:
    # The process's counter runs ahead of the machine's.
    record(tmp_path, [20.0] * 30, cores=2.0, others=-0.01)
    assert seen_value(tmp_path, "other_cpu_cores") == 0.0


def test_without_threads_a_tree_of_one_core_stands_in(tmp_path: Path) -> None:
    assert judged(tmp_path, [20.0] * 30, cores=1.05).stage == "python_feed"


@pytest.mark.parametrize(
    ("level", "cause"),
    [(80.0, "compute_bound"), (79.0, "unattributed"), (70.0, "unattributed"), (69.0, "batch_too_small")],
)
def test_a_busy_gpu_is_healthy_and_room_everywhere_suggests_a_larger_batch(
    level: float, cause: str, tmp_path: Path
) -> None:
    assert judged(tmp_path, [level] * 30, cores=2.0, thread=0.5).cause == cause


def test_a_host_that_hardly_computes_is_no_sign_for_a_larger_batch(tmp_path: Path) -> None:
    assert judged(tmp_path, [30.0] * 30, cores=0.4, thread=0.3).cause == "unattributed"


@pytest.mark.parametrize(("idle", "stage"), [(12, "cold_cache"), (11, None)])
def test_a_disk_that_is_waited_for_while_the_gpu_idles(idle: int, stage: str | None, tmp_path: Path) -> None:
    levels = ([80.0] * 2 + [0.0] * idle + [80.0] * (18 - idle)) + [80.0] * 2
    assert judged(tmp_path, levels, cores=0.3, iowait=0.6, thread=0.2).stage == stage


def test_full_processors_while_the_gpu_idles(tmp_path: Path) -> None:
    main = judged(tmp_path, [80.0] * 2 + [0.0] * 14 + [80.0] * 2, cores=3.9, thread=0.9)
    assert main.cause == "input_bound"
    assert "cores were full" in main.claim


def test_work_of_a_gpu_beside_an_idle_command_may_be_anothers(tmp_path: Path) -> None:
    assert "another program's" in judged(tmp_path, [60.0] * 20, cores=0.01, thread=0.01).claim


def test_work_in_bursts_is_said(tmp_path: Path) -> None:
    main = judged(tmp_path, ([90.0] * 4 + [0.0] * 4) * 4 + [90.0] * 4, cores=2.0, thread=0.5)
    assert (main.cause, main.confidence) == ("unattributed", "low")
    assert "bursts" in main.claim


def test_what_held_the_clocks_down_is_in_the_line_and_what_did_not_is_not(tmp_path: Path) -> None:
    watch = record(tmp_path, [90.0] * 20, extra={"gpu0_throttle_reasons": 4.0, "gpu0_power_w": 200.0})
    _, verdict = judge(telemetry.read(tmp_path / TELEMETRY_FILE), watch)
    power = dict(verdict.lines)["GPU 0 power, clock"]
    assert "held down by the power limit 100 % of the time" in power
    assert "heat" not in power


def test_energy_kernels_and_parts_are_told_where_the_card_tells_them(tmp_path: Path) -> None:
    extra = {"gpu0_power_w": 200.0, "gpu0_gpm_sm_percent": 61.0, "gpu0_gpm_tensor_percent": 12.0}
    extra |= {"gpu0_mig3_gpm_sm_percent": 45.0, "gpu0_mig3_memory_used_mib": 2048.0}
    watch = record(tmp_path, [90.0] * 20, extra=extra)
    _, verdict = judge(telemetry.read(tmp_path / TELEMETRY_FILE), watch)
    lines = dict(verdict.lines)
    assert lines["GPU 0 energy"] == "4,000 J (NVML power, integrated over time)"
    assert lines["GPU 0 kernels"] == "SMs active 61 %, Tensor Cores 12 %"
    assert lines["GPU 0 MIG 3"] == "SMs active 45 %, memory 2.00 GiB"
    assert not any("how well the kernels fill" in words for words in verdict.unknown)
    watch = record(tmp_path, [90.0] * 20)
    _, verdict = judge(telemetry.read(tmp_path / TELEMETRY_FILE), watch)
    assert not {"GPU 0 energy", "GPU 0 kernels"} & dict(verdict.lines).keys()
    assert any("how well the kernels fill" in words for words in verdict.unknown)


def test_what_is_not_offered_names_the_cards_where_they_differ() -> None:
    said = ("gpu0.power_w: not_supported: no", "gpu0.energy_j: not_supported: no", "gpu1.power_w: not_known: no")
    assert not_offered((*said, "gpu1: gpu_lost: gone", "host.disk: not_supported: no")) == [
        "disk",
        "energy_j (gpu0)",
        "power_w",
    ]


def test_a_gpu_that_did_nothing_is_not_where_it_was_computed(tmp_path: Path) -> None:
    assert judged(tmp_path, [0.0] * 20, cores=2.0, thread=0.6).cause == "not_on_gpu"


@pytest.mark.parametrize("options", [{"cores": 0.4}, {"cores": 2.0, "memory": [100.0] * 10 + [164.0] * 10}])
def test_an_idle_gpu_with_an_idle_host_or_a_context_is_not_said_to_be_unused(
    options: dict[str, object], tmp_path: Path
) -> None:
    assert judged(tmp_path, [0.0] * 20, thread=0.3, **options).cause == "unattributed"


def causes(folder: Path, *arguments: object, **options: object) -> tuple[set[str], dict[str, str]]:
    watch = record(folder, *arguments, **options)  # type: ignore[arg-type]
    _, verdict = judge(telemetry.read(folder / TELEMETRY_FILE), watch)
    first = verdict.judged[0]
    return {finding.cause for finding in first.findings}, {rule.cause: rule.reason for rule in first.not_evaluated}


def test_memory_taken_at_once_says_nothing_about_the_need(tmp_path: Path) -> None:
    found, undecided = causes(tmp_path, [50.0] * 20, memory=[100.0] * 2 + [2900.0] * 18)
    assert "gpu_memory_tight" not in found
    assert "TF_FORCE_GPU_ALLOW_GROWTH" in undecided["gpu_memory_tight"]


def test_memory_that_grows_to_the_end_is_tight(tmp_path: Path) -> None:
    grown = [100.0 + 150 * second for second in range(20)]
    assert "gpu_memory_tight" in causes(tmp_path, [50.0] * 20, memory=grown)[0]


@pytest.mark.parametrize(("reasons", "held"), [(0x40, True), (0x20, True), (0x1, False), (0x4, False)])
def test_heat_throttles_and_a_power_cap_at_full_clock_does_not(reasons: int, held: bool, tmp_path: Path) -> None:
    extra = {"gpu0_throttle_reasons": float(reasons), "gpu0_sm_clock_mhz": 1700.0}
    assert ("throttled" in causes(tmp_path, [95.0] * 20, extra=extra)[0]) is held


def test_other_programs_on_the_gpu_are_said(tmp_path: Path) -> None:
    assert "gpu_shared" in causes(tmp_path, [50.0] * 20, extra={"gpu0_other_processes": 1.0})[0]
    found, undecided = causes(tmp_path, [50.0] * 20)
    assert "gpu_shared" not in found
    assert "gpu_shared" in undecided


def test_what_slows_training_beside_its_cause_is_never_the_verdict(tmp_path: Path) -> None:
    extra = {"gpu0_throttle_reasons": 64.0, "gpu0_sm_clock_mhz": 800.0, "gpu0_other_processes": 2.0}
    main = judged(tmp_path, [95.0] * 20, extra=extra)
    assert main.cause == "compute_bound"


def test_without_a_gpu_the_verdict_is_on_the_processor(tmp_path: Path) -> None:
    assert judged(tmp_path, [], cores=3.3, thread=0.9).cause == "compute_bound"
    assert judged(tmp_path, [], cores=1.0, thread=0.98).stage == "python_feed"
    assert "waited most of the time" in judged(tmp_path, [], cores=0.1, thread=0.1).claim
    assert judged(tmp_path, [], cores=0.1, thread=0.1, iowait=0.9).stage == "cold_cache"


def test_a_machine_full_of_others_is_not_taken_for_waiting(tmp_path: Path) -> None:
    main = judged(tmp_path, [], cores=0.8, others=3.2, thread=0.4)
    assert "other programs took 3.2 cores" in main.claim


def test_a_command_that_ran_for_a_moment_gets_no_verdict(tmp_path: Path) -> None:
    watch = record(tmp_path, [], seconds=2)
    _, verdict = judge(telemetry.read(tmp_path / TELEMETRY_FILE), watch)
    assert verdict.verdict.startswith("Too short to judge")
    assert verdict.why == ""


def test_an_empty_recording_gets_no_verdict_and_no_crash(tmp_path: Path) -> None:
    record(tmp_path, [])
    (tmp_path / TELEMETRY_FILE).write_text("t_ns,said,tree_cpu_s\n")
    write_watch(tmp_path)
    assert "No verdict" in (tmp_path / "report.md").read_text()


def test_no_evidence_decides_nothing() -> None:
    findings, undecided = decide(Evidence())
    assert findings == ()
    assert undecided
    missing = Signal(name="utilization_percent", unit="%", source="NVML", missing="this GPU does not offer it")
    findings, undecided = decide(Evidence(signals=(missing,)))
    assert findings == ()
    assert any("does not offer" in rule.reason for rule in undecided)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "utilization_percent",
                "utilization_p5_percent",
                "utilization_p95_percent",
                "utilization_idle_fraction",
                "memory_utilization_p95_percent",
                "memory_peak_fraction",
                "memory_jump_fraction",
                "memory_peak_mib",
                "cpu_cores",
                "cpu_limit",
                "cpu_fraction",
                "cpu_p95_fraction",
                "busiest_thread_fraction",
                "iowait_gpu_idle_fraction",
                "cpu_full_gpu_idle_fraction",
                "throttled_heat_fraction",
                "power_cap_fraction",
                "other_gpu_processes",
            ]
        ),
        st.one_of(st.none(), st.floats(0, 100)),
    )
)
def test_whatever_is_known_at_most_one_finding_is_primary(values: dict[str, float | None]) -> None:
    signals = tuple(
        Signal(name=name, unit="1", source="made", value=value, missing="made so" if value is None else None)
        for name, value in values.items()
    )
    findings, _ = decide(Evidence(signals=signals))
    assert sum(finding.primary for finding in findings) <= 1
    assert all(finding.confidence in {"low", "medium"} and finding.fix for finding in findings)


def test_a_bug_that_is_known_is_told_first_with_the_way_round_it(tmp_path: Path) -> None:
    record(tmp_path, [0.0] * 30)
    trainings = tmp_path / "trainings"
    trainings.mkdir()
    (trainings / "keras.seen").write_text("tensorflow")
    assert "fit was not called" in load_report(tmp_path).no_training
    plain = load_report(tmp_path).verdict
    (trainings / "fit-failed.txt").write_text("no bug that is known")
    assert load_report(tmp_path).verdict == plain
    (trainings / "fit-failed.txt").write_text("keras-team/keras#20585")
    verdict = load_report(tmp_path).verdict
    assert load_report(tmp_path).no_training == "fit failed before its first step"
    assert verdict.verdict.startswith(
        "Keras's fit fails under MultiWorkerMirroredStrategy (keras-team/keras#20585): train"
    )
    assert "strategy.run(model.train_step" in verdict.verdict
    assert (verdict.why, verdict.next) == ("", "")


def test_a_command_that_only_predicts_is_judged_by_the_clock_over_its_calls(tmp_path: Path) -> None:
    record(tmp_path, [0.0] * 30)
    (tmp_path / TRAININGS_FOLDER).mkdir()
    run = wall(imports=(5, 1), between_trainings=(1, 400), named=("predict", "of one batch", 20, 400))
    save(run, tmp_path / TRAININGS_FOLDER / WALL_FILES.format(1))
    verdict = load_report(tmp_path).verdict
    assert "many_small_fits (confidence high). `predict` was called 400 times for one batch each" in verdict.verdict
    assert "all samples together" in verdict.next
    assert "predict_on_batch" in verdict.code
    assert "fit" not in verdict.code
