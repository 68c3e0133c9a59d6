"""Each rule just above and just below its threshold, the choice of the primary cause, and ties."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.causes import BY_SHARE, Cause
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.records import Finding
from gpuprobe.diagnosis.rules import trace
from gpuprobe.diagnosis.rules.unpaced import without_unpaced_launches
from gpuprobe.evidence.breakdown import evidence_of, main_device
from gpuprobe.evidence.input_stage import input_stage, pipeline_signals
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.ledger.records import DeviceBreakdown, IteratorFacts
from gpuprobe.ledger.stages import is_mapped_after_cache, maps_samples, shuffled
from gpuprobe.records import Evidence, Signal
from gpuprobe.thresholds import DEFAULTS
from gpuprobe.traces.timeline import Timeline
from tests.helpers.timelines import Made


def evidence(kind: Any = "gpu", confidence: Any = "high", **shares: Any) -> Evidence:
    """Build signals: `input=0.2` is `share.idle_input`, `kernel_fraction=0.5` itself."""
    short: dict[str, str] = {cause.id: cause.shown.share for cause in BY_SHARE}
    texts = {"device_kind": kind, "breakdown_confidence": confidence}
    signals = [Signal(name=name, unit="", source="test", value=value) for name, value in texts.items()]
    signals.append(Signal(name="step_ms", unit="ms", source="test", value=100.0))
    for name, value in shares.items():
        signals.append(
            Signal(
                name=short.get(name, name.replace("__", ".")),
                unit="1",
                source="test",
                value=value,
                missing="the test leaves it out" if value is None else None,
            )
        )
    return Evidence(signals=tuple(signals))


def primary(of: Evidence) -> Finding:
    found, _ = trace.decide(of)
    assert [finding.primary for finding in found] == [True] + [False] * (len(found) - 1)
    return found[0]


@pytest.mark.parametrize(("sure", "confidence"), [(None, "high"), (False, "medium")])
def test_waits_for_others_of_which_none_is_late_for_sure_are_less_sure(sure: bool | None, confidence: str) -> None:
    first = primary(evidence("cpu", straggler=0.4, kept_waiting_share=0.04, late_beyond_chance=sure))
    assert (first.cause, first.confidence) == ("straggler", confidence)


@pytest.mark.parametrize(
    ("sure", "kept", "late_by", "cause"),
    [
        (True, 0.3, "idle_input", "input_bound"),
        (True, 0.3, "cpu_compute", "host_work"),
        (True, 0.01, "idle_input", "host_work"),
        (False, 0.3, "idle_input", "host_work"),
        (None, 0.3, "idle_input", "host_work"),
    ],
)
def test_what_makes_a_worker_late_leads_before_what_all_have(
    sure: bool | None, kept: float, late_by: str, cause: str
) -> None:
    shares = {"input_bound": 0.38, "host_work": 0.54, "kept_waiting_share": kept, "late_beyond_chance": sure}
    first = primary(evidence("cpu", **shares, late_by=late_by))
    assert first.cause == cause
    assert first.ties_with is None


@pytest.mark.parametrize(("filled", "cause"), [(0.801, "compute_bound"), (0.799, "launch_bound")])
def test_kernels_that_fill_the_span(filled: float, cause: str) -> None:
    assert primary(evidence(kernel_fraction=filled, share__gpu_compute=0.7, launch_bound=0.3)).cause == cause


@pytest.mark.parametrize("unknown", [0.08, 0.1])
def test_a_small_share_does_not_lead_where_more_is_unexplained(unknown: float) -> None:
    of = evidence(kernel_fraction=0.79, share__gpu_compute=0.78, launch_bound=0.09, share__unattributed=unknown)
    found, undecided = trace.decide(of)
    if unknown < 0.09:
        assert found[0].cause == "launch_bound"
    else:
        assert found == ()
        assert "no cause takes as much of the step as the 10 %" in undecided[-1].reason


def test_exchange_between_devices_is_not_compute() -> None:
    of = evidence(kernel_fraction=0.95, share__gpu_compute=0.6, collective_bound=0.3)
    assert primary(of).cause == "collective_bound"


def test_a_long_wait_before_the_first_kernel_is_not_healthy() -> None:
    of = evidence(kernel_fraction=0.9, share__gpu_compute=0.3, input_bound=0.6)
    assert primary(of).cause == "input_bound"


@pytest.mark.parametrize("cause", [cause.id for cause in BY_SHARE if "gpu" in cause.shown.on])
def test_the_largest_cause_leads(cause: str) -> None:
    shares = {other.id: 0.05 for other in BY_SHARE} | {cause: 0.30}
    found = primary(evidence(kernel_fraction=0.3, **shares))
    assert (found.cause, found.severity, found.ties_with) == (cause, 0.30, None)
    assert found.fix
    assert "30 %" in found.claim
    assert "30.0 ms" in found.claim


@pytest.mark.parametrize("cause", BY_SHARE, ids=lambda cause: cause.id)
@pytest.mark.parametrize(("by", "found"), [(0.001, True), (-0.001, False)])
def test_what_else_is_worth_a_finding(cause: Cause, by: float, found: bool) -> None:
    kind = "gpu" if "gpu" in cause.shown.on else "cpu"
    leading = "input_bound" if cause.id != "input_bound" else "copy_bound"
    shares = {leading: 0.9, cause.id: cause.threshold(DEFAULTS) + by}
    findings, _ = trace.decide(evidence(kind, kernel_fraction=0.1, **shares))
    assert (cause.id in [finding.cause for finding in findings]) is found


@pytest.mark.parametrize(("second", "tie"), [(0.201, "copy_bound"), (0.199, None)])
def test_a_lead_of_less_than_ten_points_is_a_tie(second: float, tie: str | None) -> None:
    found = primary(evidence(kernel_fraction=0.3, launch_bound=0.30, copy_bound=second))
    assert (found.cause, found.ties_with) == ("launch_bound", tie)
    assert found.confidence == ("medium" if tie else "high")


@pytest.mark.parametrize(("filled", "tie"), [(0.781, "compute_bound"), (0.779, None)])
def test_kernels_that_nearly_fill_the_span_tie(filled: float, tie: str | None) -> None:
    assert primary(evidence(kernel_fraction=filled, share__gpu_compute=0.7, copy_bound=0.2)).ties_with == tie


def test_kernels_that_fill_the_span_of_a_step_that_waits_do_not_tie() -> None:
    of = evidence(kernel_fraction=0.9, share__gpu_compute=0.3, input_bound=0.6)
    assert primary(of).ties_with is None


def test_the_fix_for_a_data_loader_is_no_tf_data() -> None:
    made = Made().host(0, 60, "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__")
    made.kernel(-5, 0, launch=-6).kernel(70, 80, launch=65)
    found = diagnose(Case(breakdown_of(made.timeline()))).primary
    assert found is not None
    assert "DataLoader" in found.code


@pytest.mark.parametrize(("call", "thread"), [("cudaHostAlloc", "pin memory"), ("cudaMalloc", "another")])
def test_memory_that_no_launch_waits_for_does_not_hide_the_wait_for_a_batch(call: str, thread: str) -> None:
    """PyTorch's loader pins batches on a thread of its own while the training waits for one."""
    made = Made()
    for at in (0, 100, 200):
        made.host(at, at + 99, f"ProfilerStep#{at // 100}", step=at // 100)
        made.host(at, at + 55, "enumerate(DataLoader)#_MultiProcessingDataLoaderIter.__next__")
        made.host(at + 10, at + 45, call, thread)
        for number in range(40):
            made.kernel(at + 56 + number, at + 57 + number, launch=at + 55.5 + number)
    found = diagnose(Case(breakdown_of(made.timeline())))
    assert found.primary is not None
    assert found.primary.cause == "input_bound"
    assert found.primary.severity == pytest.approx(0.55, abs=0.02)
    assert "gpu_memory_tight" not in {finding.cause for finding in found.findings}


@pytest.mark.parametrize(
    ("call", "code"),
    [("PjitFunction(train_step)", "jax"), ("aten::linear", "torch"), ("train_function", "model.compile")],
)
def test_the_fix_is_in_the_words_of_the_framework(call: str, code: str) -> None:
    made = Made()
    for at in range(0, 60, 20):
        made.host(at, at + 19, call)
        for begin in range(at, at + 18):
            made.kernel(begin + 0.8, begin + 1, launch=begin + 0.7)
    found = diagnose(Case(breakdown_of(made.timeline()))).primary
    assert found is not None
    assert (found.cause, code in found.code) == ("launch_bound", True)


def test_there_is_a_primary_finding_even_where_nothing_is_known() -> None:
    for timeline in (Made().timeline(), Made().host(0, 5, "train", step=0).timeline()):
        found = diagnose(Case(breakdown_of(timeline)))
        assert [(finding.cause, finding.primary) for finding in found.findings] == [("unattributed", True)]
        assert found.undecided
        assert found.findings[0].claim.startswith(("There is no step to account for: the trace holds", "What limits"))


@pytest.mark.parametrize(("filled", "tie"), [(0.819, "copy_bound"), (0.821, None)])
def test_kernels_that_barely_fill_the_span_tie(filled: float, tie: str | None) -> None:
    assert primary(evidence(kernel_fraction=filled, share__gpu_compute=0.8, copy_bound=0.2)).ties_with == tie


@pytest.mark.parametrize(("busy", "confidence"), [(0.81, "high"), (0.79, "low")])
def test_kernels_that_fill_the_step_need_no_launches(busy: float, confidence: str) -> None:
    of = evidence(confidence="low", kernel_fraction=0.9, share__gpu_compute=busy)
    assert (primary(of).cause, primary(of).confidence) == ("compute_bound", confidence)


@pytest.mark.parametrize(
    ("cause", "joined", "lost", "confidence"),
    [
        ("input_bound", 0.0, 0.0, "medium"),
        ("copy_bound", 0.49, 0.0, "medium"),
        ("copy_bound", 0.0, 0.21, "low"),
        ("copy_bound", 0.51, 0.0, "low"),
        ("launch_bound", 0.0, 0.0, "medium"),
        ("launch_bound", 0.0, 0.21, "low"),
    ],
)
def test_what_its_own_events_show_needs_no_launches(cause: str, joined: float, lost: float, confidence: str) -> None:
    shares = {"joined_fraction": joined, "lost_fraction": lost, "idle_outside_step_fraction": 0.1, cause: 0.6}
    of = evidence(confidence="low", kernel_fraction=0.3, **shares)
    assert (primary(of).cause, primary(of).confidence) == (cause, confidence)


def test_late_launches_need_launches_where_no_training_function_is_known() -> None:
    of = evidence(confidence="low", joined_fraction=0.0, launch_bound=0.6, idle_outside_step_fraction=None)
    assert (primary(of).cause, primary(of).confidence) == ("launch_bound", "low")


@pytest.mark.parametrize(("unknown", "confidence"), [(0.21, "low"), (0.19, "high")])
def test_much_that_is_unknown_lowers_the_confidence(unknown: float, confidence: str) -> None:
    of = evidence(kernel_fraction=0.3, input_bound=0.4, share__unattributed=unknown)
    assert primary(of).confidence == confidence


def test_between_steps_needs_a_training_function() -> None:
    of = evidence(kernel_fraction=0.3, launch_bound=0.4, idle_outside_step_fraction=None)
    _, undecided = trace.decide(of)
    assert [(reason.cause, reason.reason) for reason in undecided] == [("host_between_steps", "the test leaves it out")]


def test_nothing_is_said_where_nothing_is_known() -> None:
    found, undecided = trace.decide(evidence(kernel_fraction=0.1, share__unattributed=0.9))
    assert found == ()
    assert undecided[-1].cause == "compute_bound"
    assert "10 %" in undecided[-1].reason


def test_no_account_decides_nothing() -> None:
    found, undecided = trace.decide(evidence_of(breakdown_of(Timeline("nothing", "xplane", 0, False, ()))))
    assert found == ()
    assert {reason.cause for reason in undecided} == {"compute_bound", *(cause.id for cause in BY_SHARE)}


@pytest.mark.parametrize(("idle", "cause"), [(0.19, "compute_bound"), (0.21, "input_bound")])
def test_a_processor_that_is_the_limit(idle: float, cause: str) -> None:
    assert primary(evidence("cpu", share__cpu_compute=0.6, input_bound=idle)).cause == cause


def test_a_processor_of_which_little_is_known_is_not_called_the_limit() -> None:
    found, undecided = trace.decide(evidence("cpu", share__cpu_compute=0.49, share__unattributed=0.5))
    assert found == ()
    assert "50 %" in undecided[-1].reason


@pytest.mark.parametrize(("unknown", "known"), [(0.2, True), (0.4, False)])
def test_the_largest_of_small_causes_leads_where_it_is_more_than_is_unexplained(unknown: float, known: bool) -> None:
    shares = {"share__cpu_compute": 0.45, "share__unattributed": unknown, "batch_too_small": 0.35}
    found, _ = trace.decide(evidence("cpu", host_between_steps=0.1, input_bound=0.04, **shares))
    assert [finding.cause for finding in found] == (["batch_too_small"] if known else [])


def test_a_processor_has_no_launches_and_no_copies() -> None:
    _, undecided = trace.decide(evidence("cpu", share__cpu_compute=0.9))
    assert {reason.cause for reason in undecided} >= {"launch_bound", "copy_bound", "sync_every_step"}


def test_the_device_that_computes_longest_against_the_others() -> None:
    timeline = Made().host(0, 80, "train_function").kernel(20, 60, launch=10).timeline()
    short = Made().host(0, 80, "train_function").kernel(20, 40, launch=10).timeline().devices[0]
    others = [replace(short, name=f"/device:GPU:{number}") for number in (1, 2)]
    of = evidence_of(breakdown_of(replace(timeline, devices=(timeline.devices[0], *others))))
    assert of.get("straggler_ratio") is not None
    assert of.number("straggler_ratio") == pytest.approx(2)
    assert of.text("straggler_device") == "/device:GPU:0"
    # In a job with a GPU a host all have one name.
    hosts = (replace(timeline.devices[0], host="worker1"), replace(short, host="worker0"))
    threads = tuple(replace(thread, host=device.host) for device in hosts for thread in timeline.threads)
    of = evidence_of(breakdown_of(replace(timeline, devices=hosts, threads=threads)))
    assert of.text("straggler_device") == "/device:GPU:0 of worker1"
    alone = evidence_of(breakdown_of(timeline)).get("straggler_ratio")
    assert alone is not None
    assert alone.missing


def test_the_evidence_names_the_events_that_prove_it() -> None:
    made = Made().host(0, 80, "train_function").host(5, 60, "IteratorGetNextOp::DoCompute", "tf_data/17")
    found = diagnose(Case(breakdown_of(made.kernel(70, 80, launch=65).timeline()))).primary
    assert found is not None
    assert found.cause == "input_bound"
    proof = next(signal for signal in found.evidence if signal.name == "proof.idle_input")
    assert proof.source == "trace, events: IteratorGetNextOp::DoCompute (tf_data)"
    assert proof.value == pytest.approx(55)


def test_the_verdict_is_about_the_slowest_of_those_that_compute() -> None:
    breakdown = breakdown_of(Made().kernel(0, 10, launch=-1).timeline())
    (one,) = breakdown.devices

    def device(name: str, step_ms: float, span_ms: float) -> DeviceBreakdown:
        return structs.replace(one, name=name, step_ms=step_ms, gpu_span_ms=span_ms, kernel_fraction=1.0)

    several = (
        device("copies", 90.0, 1.0),
        device("quick", 10.0, 9.0),
        device("slow", 30.0, 8.0),
        device("as", 29.0, 8.5),
    )
    judged = main_device(structs.replace(breakdown, devices=several))
    assert judged is not None
    assert judged.name == "as"


@pytest.mark.parametrize(("share", "cause"), [(0.51, "batch_too_small"), (0.49, "compute_bound")])
def test_a_processor_that_starts_more_than_it_does(share: float, cause: str) -> None:
    assert primary(evidence("cpu", share__cpu_compute=0.9, batch_too_small=share)).cause == cause


@pytest.mark.parametrize(("share", "cause"), [(0.51, "eager_or_retracing"), (0.49, "compute_bound")])
def test_a_processor_to_which_python_hands_single_operations(share: float, cause: str) -> None:
    assert primary(evidence("cpu", share__cpu_compute=0.9, eager_or_retracing=share)).cause == cause


def test_a_gpu_has_rules_of_its_own_for_what_only_a_processor_shows_in_its_steps() -> None:
    found, undecided = trace.decide(evidence(kernel_fraction=0.3, input_bound=0.4, batch_too_small=0.9))
    assert [finding.cause for finding in found] == ["input_bound"]
    assert "batch_too_small" not in {reason.cause for reason in undecided}


@pytest.mark.parametrize(("waits", "first"), [(0.17, "batch_too_small"), (0.35, "input_bound")])
def test_on_a_processor_no_smaller_cause_leads_before_the_largest(waits: float, first: str) -> None:
    shares = {"share__cpu_compute": 0.4, "batch_too_small": 0.34, "host_between_steps": 0.1}
    found = primary(evidence("cpu", input_bound=waits, **shares))
    assert found.cause == first
    assert found.confidence == "medium"


@pytest.mark.parametrize(
    ("kind", "share", "confidence"), [("cpu", 0.41, "medium"), ("cpu", 0.39, "low"), ("gpu", 0.41, "low")]
)
def test_a_share_larger_than_all_that_is_unknown_leads_on_a_processor(kind: str, share: float, confidence: str) -> None:
    of = evidence(kind, kernel_fraction=0.1, input_bound=share, share__unattributed=0.4)
    assert primary(of).confidence == confidence


@pytest.mark.parametrize(
    ("iterators", "wait", "stage"),
    [
        ({"Prefetch::Map": 5, "Prefetch::Map::BatchV2": 4}, 0.9, "slow_map"),
        ({"Prefetch": 9, "Prefetch::ParallelMapV2": 5, "Prefetch::ParallelMapV2::Zip": 1}, 0.9, "slow_map"),
        ({"Map": 5}, 0.49, "no_prefetch"),
        ({"Map": 5}, 0.51, "slow_map"),
        ({"Prefetch::FlatMap[0]::Generator": 5, "Prefetch::FlatMap": 1}, 0.9, "python_feed"),
        ({"Prefetch::MemoryCacheImpl::Map": 5, "Prefetch::MemoryCacheImpl": 1}, 0.9, "cold_cache"),
        ({"Prefetch::Map::TFRecord": 5, "Prefetch::Map": 4}, 0.9, "cold_cache"),
        ({"ParallelInterleaveV4": 9, "ParallelInterleaveV4[7]::Map": 5}, 0.9, "slow_map"),
        ({"ParallelInterleaveV4": 9, "ParallelInterleaveV4[7]::TFRecord": 5}, 0.9, "cold_cache"),
        ({"ParallelInterleaveV4": 9, "ParallelInterleaveV4[7]::Map": 1}, 0.9, "cold_cache"),
        ({"Prefetch::MemoryCacheImpl": 5}, 0.9, "slow_map"),
        ({"Prefetch::Shuffle": 5, "Prefetch::Shuffle::Map": 4}, 0.9, "shuffle_fill"),
        ({"Prefetch": 9}, 0.9, None),
        ({}, 0.9, None),
    ],
)
def test_the_stage_that_holds_the_training_up(iterators: dict[str, float], wait: float, stage: str | None) -> None:
    facts = [
        IteratorFacts(name=f"Iterator::Root::{name}", count=1, self_ms=ms, blocking_ms=ms)
        for name, ms in iterators.items()
    ]
    assert input_stage(facts, wait) == stage


@pytest.mark.parametrize(
    ("name", "mapped"),
    [
        ("Iterator::Root::Prefetch::ParallelMapV2::MemoryCache", True),
        ("Iterator::Root::Prefetch::MapAndBatch::MemoryCacheImpl", True),
        ("Iterator::Root::Prefetch::MemoryCache", False),
        ("Iterator::Root::Prefetch::MemoryCacheImpl::Map", False),
    ],
)
def test_a_map_behind_a_cache_runs_again_in_each_epoch(name: str, mapped: bool) -> None:
    assert is_mapped_after_cache(name) == mapped


@pytest.mark.parametrize(("taken", "stage"), [(5000, "shuffle_fill"), (70, "slow_map")])
def test_a_shuffle_that_takes_more_than_it_hands_on_is_filling(taken: int, stage: str) -> None:
    """As with next(iter(ds)) in each step: the samples below the shuffle take most of the time, not the shuffle."""
    shuffle = "Iterator::Root::Prefetch::BatchV2::Shuffle"
    facts = [
        IteratorFacts(name=shuffle, count=64, self_ms=4.0, blocking_ms=4.0),
        IteratorFacts(name=f"{shuffle}::TensorSlice", count=taken, self_ms=5.0, blocking_ms=5.0),
    ]
    assert input_stage(facts, 0.9) == stage


def test_the_stage_is_part_of_the_finding() -> None:
    assert primary(evidence(kernel_fraction=0.1, input_bound=0.6, input_stage="slow_map")).stage == "slow_map"
    assert primary(evidence(kernel_fraction=0.1, input_bound=0.6)).stage is None
    assert primary(evidence(kernel_fraction=0.1, launch_bound=0.6, input_stage="slow_map")).stage is None


def test_a_full_gpu_without_readings_says_what_they_would_have_told() -> None:
    made = Made().kernel(0, 100, launch=-1).kernel(100, 200, launch=0)
    breakdown = breakdown_of(made.timeline())
    found = diagnose(Case(breakdown)).primary
    assert found is not None
    assert (found.cause, "another program" in found.claim) == ("compute_bound", True)
    readings = Evidence(signals=(Signal(name="utilization_percent", unit="%", source="test", value=99.0),))
    read = diagnose(Case(breakdown, readings=readings)).primary
    assert read is not None
    assert "another program" not in read.claim


@pytest.mark.parametrize(("percent", "cause"), [(79.0, "unattributed"), (81.0, "compute_bound")])
def test_kernels_alone_are_no_whole_step_where_the_driver_saw_the_gpu_at_rest(percent: float, cause: str) -> None:
    # Nothing of the host but a Steps line of the profiler: what came before the first kernel may be missing.
    breakdown = breakdown_of(Made(correlated=False).kernel(0, 100, launch=-1).line(0, 100).timeline())
    readings = Evidence(signals=(Signal(name="utilization_percent", unit="%", source="test", value=percent),))
    found = diagnose(Case(breakdown, readings=readings)).primary
    assert found is not None
    assert found.cause == cause


@pytest.mark.parametrize(("wait_ms", "cause"), [(15.0, "compute_bound"), (30.0, "input_bound")])
def test_a_wait_before_the_first_kernel_of_one_step_counts_though_the_span_of_kernels_leaves_it_out(
    wait_ms: float, cause: str
) -> None:
    made = Made().host(0, 100, "train_function").host(0, wait_ms, "IteratorGetNextOp::DoCompute")
    made.kernel(wait_ms + 10, 100, launch=wait_ms)
    first = diagnose(Case(breakdown_of(made.timeline()))).primary
    assert first is not None
    assert first.cause == cause


@pytest.mark.parametrize(
    ("late", "off", "eager", "left"), [(0.8, 0.42, 0.0, 0.8), (0.5, 0.49, 0.0, 0.01), (0.5, 0.49, 0.9, 0.5)]
)
def test_late_launches_off_the_pace_alone_are_unattributed_unless_python_starts_them(
    late: float, off: float, eager: float, left: float
) -> None:
    values = {"share.launch": late, "share.off_pace": off, "eager_share": eager, "share.unattributed": 0.1}
    signals = tuple(Signal(name=name, unit="", source="test", value=value) for name, value in values.items())
    told = without_unpaced_launches(Evidence(signals=signals), DEFAULTS)
    assert told.number("share.launch") == pytest.approx(left)
    assert told.number("share.unattributed") == pytest.approx(0.1 + late - left)


@pytest.mark.parametrize(
    ("names", "held"),
    [
        (["Iterator::Root::Prefetch::BatchV2::Shuffle"], "samples"),
        (["Iterator::Root::BatchV2::Shuffle", "Iterator::Root::BatchV2::Shuffle::ParallelMapV2"], "samples"),
        (["Iterator::Root::Prefetch::MapAndBatch::Shuffle"], "sources"),
        (["Iterator::Root::Prefetch::BatchV2::ParallelMapV2::Shuffle"], "sources"),
        (["Iterator::Root::Prefetch::MapAndBatch::MemoryCache"], ""),
    ],
)
def test_what_a_shuffle_buffer_holds(names: list[str], held: str) -> None:
    assert shuffled(names) == held


@pytest.mark.parametrize(
    ("name", "singly"),
    [
        ("Iterator::Root::Prefetch::MapAndBatch", True),
        ("Iterator::Root::Prefetch::BatchV2::Map", True),
        ("Iterator::Root::Prefetch::ParallelMapV2", False),
        ("Iterator::Root::Prefetch::BatchV2", False),
    ],
)
def test_a_map_of_single_samples(name: str, singly: bool) -> None:
    assert maps_samples(name) is singly


def test_a_pipeline_that_rested_does_not_show_what_its_shuffle_holds() -> None:
    def told(*names: str) -> Signal:
        stages = [IteratorFacts(name=name, count=5, self_ms=1.0, blocking_ms=0.0) for name in names]
        return next(signal for signal in pipeline_signals(stages) if signal.name == "shuffled")

    assert told("Iterator::Root", "Iterator::Root::Prefetch").value is None
    assert told("Iterator::Root", "Iterator::Root::Prefetch", "Iterator::Root::Prefetch::BatchV2").value == "nothing"
