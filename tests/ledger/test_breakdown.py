"""The breakdown of steps that are made by hand, so that every millisecond of them is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.evidence.breakdown import evidence_of
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.ledger.categories import UNATTRIBUTED
from gpuprobe.ledger.records import DeviceBreakdown, TraceBreakdown
from gpuprobe.records import to_json
from gpuprobe.traces.timeline import Direction, Timeline
from tests.helpers.timelines import Made


def device(made: Made) -> DeviceBreakdown:
    breakdown = breakdown_of(made.timeline())
    assert len(breakdown.devices) == 1
    return breakdown.devices[0]


def parts(made: Made) -> dict[str, Any]:
    """Return the categories that took any time, in ms, and check that they add up."""
    found = device(made)
    assert sum(found.ledger_ms.values()) == pytest.approx(found.step_ms, abs=1e-6)
    return {name: pytest.approx(value, abs=1e-6) for name, value in found.ledger_ms.items() if value > 1e-9}


def step() -> Made:
    """One step of 100 ms: the training function until 80, kernels at 40 to 60 and at 95 to 100.

    Before the first kernel, and after it, an operation runs on the processor.
    """
    return (
        Made()
        .host(0, 80, "train_function")
        .host(0, 39, "embed/GatherV2:GatherV2", "tf_Compute")
        .host(60, 80, "embed/GatherV2:GatherV2", "tf_Compute")
        .kernel(40, 60, launch=39, name="sgemm")
        .kernel(95, 100, launch=94, name="sgemm")
    )


def test_launch_queue_and_between_steps() -> None:
    # Nothing is launched until 39, and from 60 on until the function returns: these are no launches on their way.
    assert parts(step()) == {"gpu_compute": 25, "idle_host_work": 59, "idle_queue": 1, "idle_between_steps": 15}


def test_launches_on_their_way_and_in_the_queue() -> None:
    # One kernel of 0.5 ms each millisecond: its launch begins when the one before has ended, and takes 0.2 ms.
    made = Made().host(0, 20, "train_function")
    for at in range(20):
        made.kernel(at + 0.4, at + 0.9, launch=at + 0.2)
    assert parts(made) == {"gpu_compute": 10, "idle_launch": 5.9, "idle_queue": 4}


def test_a_gap_is_split_among_its_causes() -> None:
    made = step().host(5, 20, "IteratorGetNextOp::DoCompute", "tf_data").host(22, 24, "cuMemAlloc_v2")
    made.host(24, 27, "XlaCompile").host(62, 70, "cuStreamSynchronize")
    # In the only step that is traced nobody sees whether what is compiled is compiled again.
    assert parts(made) == {
        "gpu_compute": 25,
        "idle_input": 15,
        "idle_memory": 2,
        "idle_once": 3,
        # The 2 ms after the batch came may as well be the way to a launch.
        "idle_host_work": 59 - 15 - 2 - 3 - 8 - 2,
        "idle_launch": 2,
        "idle_queue": 1,
        "idle_sync": 8,
        "idle_between_steps": 15,
    }


def test_time_after_a_sync_belongs_to_what_the_host_does_then() -> None:
    assert parts(step().host(82, 85, "cuEventSynchronize"))["idle_between_steps"] == 12


def test_a_sync_of_a_thread_that_feeds_nothing_is_no_cause() -> None:
    assert "idle_sync" not in parts(step().host(62, 70, "cuStreamSynchronize", "somebody else's"))


def test_reading_back_is_a_sync_though_its_call_has_another_name() -> None:
    made = step().copy(70, 71, launch=65, direction=Direction.D2H)
    assert parts(made)["gpu_copy_d2h"] == 1
    assert parts(made)["idle_sync"] == pytest.approx(0.001)


def test_only_copies_that_no_kernel_hides_count() -> None:
    made = step().copy(35, 50, launch=34).copy(58, 63, launch=57, direction=Direction.D2D)
    found = device(made)
    assert found.ledger_ms["gpu_copy_h2d"] == pytest.approx(5)
    assert found.ledger_ms["gpu_copy_d2d"] == pytest.approx(3)
    assert found.ledger_ms["gpu_compute"] == pytest.approx(25)
    assert found.exposed_copy_fraction == pytest.approx(8 / 65)
    assert found.overlap_fraction == pytest.approx(12 / 20)
    assert {copy.direction: copy.gb_per_s for copy in found.copies}["h2d"] == pytest.approx(0.8)


def test_collectives_are_apart_from_compute() -> None:
    made = step().kernel(55, 75, launch=50, name="ncclDevKernel_AllReduce_Sum_f32_RING_LL")
    assert parts(made)["gpu_collective"] == 15
    assert parts(made)["gpu_compute"] == 25
    assert device(made).kernel_fraction == pytest.approx(40 / 60)


def test_overlapping_streams_count_once() -> None:
    assert parts(step().kernel(45, 65, launch=41))["gpu_compute"] == 30


def test_without_correlation_the_account_says_so() -> None:
    made = Made(correlated=False).host(0, 80, "train_function").kernel(40, 60, launch=30).kernel(95, 100, launch=90)
    found = device(made)
    assert (found.ledger_ms["idle_queue"], found.ledger_ms["idle_launch"]) == (0, 0)
    # Nothing but the function itself was seen for 60 ms.
    assert found.ledger_ms["unattributed"] == pytest.approx(60)
    assert found.joined_fraction == 0
    assert found.confidence == "low"


def test_without_any_event_of_the_host_nothing_is_known_of_the_idle_time() -> None:
    found = device(Made(correlated=False).kernel(0, 10, launch=0).kernel(10.5, 20, launch=0))
    assert found.ledger_ms["unattributed"] == pytest.approx(0.5)


def test_lost_events_lower_the_confidence() -> None:
    timeline = step().timeline()
    assert breakdown_of(timeline).devices[0].confidence == "high"
    lost = replace(timeline, warnings=("the profiler says: Detected GPU events dropped on host",))
    assert breakdown_of(lost).devices[0].confidence == "medium"


@pytest.mark.parametrize("frame", ["train.py(12): step", "<built-in method sleep>", "$loop.py:12 step"])
def test_a_host_that_is_in_a_frame_of_python_before_a_known_launch_works(frame: str) -> None:
    made = Made().kernel(0, 10, launch=-1).kernel(50, 60, launch=49).host(12, 15, "aten::conv2d").host(0, 60, frame)
    found = device(made)
    assert found.ledger_ms["idle_host_work"] == pytest.approx(39, abs=0.01)
    assert found.ledger_ms["idle_queue"] == pytest.approx(1 + 1, abs=0.01)
    assert found.proof["idle_host_work"][0].name == frame
    assert "idle_outside_step_fraction" in found.missing


@pytest.mark.parametrize(("times", "category"), [(4, "idle_between_steps"), (2, "unattributed")])
def test_a_host_that_is_silent_again_and_again_runs_python_of_its_own(times: int, category: str) -> None:
    made = Made()
    for at in range(0, 50 * times, 50):
        made.kernel(at, at + 10, launch=at - 1).host(at - 2, at, "aten::conv2d")
    made.host(50 * times - 2, 50 * times, "aten::relu").kernel(50 * times, 50 * times + 1, launch=50 * times - 1)
    # Once is no habit: it may as well be waiting for something.
    assert device(made).ledger_ms[category] == pytest.approx(38 * times, abs=0.01)


def test_a_silent_host_is_unattributed_where_the_launch_is_not_known() -> None:
    made = Made(correlated=False).kernel(0, 10, launch=-1).kernel(50, 60, launch=49).host(12, 15, "aten::conv2d")
    found = device(made)
    assert found.ledger_ms["unattributed"] == pytest.approx(2 + 35, abs=0.01)
    assert found.confidence == "low"


def test_a_host_of_which_only_launches_are_traced_is_unattributed() -> None:
    found = device(Made().kernel(0, 10, launch=-1).kernel(50, 60, launch=49))
    assert found.ledger_ms["unattributed"] == pytest.approx(39, abs=0.01)


def test_what_lies_over_the_span_of_the_device() -> None:
    found = device(step().line(40, 100))
    assert found.gpu_span_ms == pytest.approx(60)
    assert found.kernel_fraction == pytest.approx(25 / 60)
    assert found.idle_outside_step_fraction == pytest.approx(15 / 60)
    assert found.marker_step_ms == pytest.approx(60)
    assert found.step_ms == pytest.approx(100)


def test_kernels_and_their_efficiency() -> None:
    made = step().kernel(61, 61.005, launch=60.5, name="turing_fp16_s1688gemm").kernel(62, 62.02, launch=61.5)
    made.facts = {"sm_count": 80.0}
    found = device(made)
    assert found.kernels is not None
    assert found.kernels.count == 4
    assert found.kernels.under_10us_count_fraction == 0.25
    assert found.kernels.under_25us_count_fraction == 0.5
    assert found.kernels.tensor_core_count == 1
    assert found.kernels.eligible_time_fraction is None
    # 40 blocks on 80 multiprocessors: half of the time in which kernels run.
    assert found.sm_efficiency == pytest.approx(0.5 * 25.025 / 100)
    assert found.occupancy == pytest.approx(0.5)
    assert found.top_kernels[0].name == "sgemm"


def test_occupancy_is_estimated_from_the_shapes_where_the_trace_gives_none() -> None:
    timeline = step().timeline()
    known = timeline.devices[0]
    kernels = replace(
        known.kernels,
        occupancy_percent=np.full(len(known.kernels), np.nan),
        registers=np.full(len(known.kernels), 32, np.int32),
        shared_bytes=np.zeros(len(known.kernels), np.int64),
    )
    of = replace(known, kernels=kernels, facts={"sm_count": 10.0, "compute_capability": 7.0})
    # 40 blocks of 256 threads on 10 multiprocessors, each of which holds 2048 threads of compute capability 7.0.
    assert breakdown_of(replace(timeline, devices=(of,))).devices[0].occupancy == pytest.approx(4 * 256 / 2048)
    untold = replace(of, facts={"sm_count": 10.0})
    found = breakdown_of(replace(timeline, devices=(untold,))).devices[0]
    assert found.occupancy is None
    assert "occupancy" in found.missing


def test_a_kernel_of_unknown_shape_counts_as_the_others_do() -> None:
    timeline = replace_grid(
        Made(facts={"sm_count": 80.0}).kernel(0, 10, launch=-1).kernel(10, 20, launch=-1).timeline()
    )
    (found,) = breakdown_of(timeline).devices
    assert found.sm_efficiency == pytest.approx(0.5 * 20 / 21)


def test_kernels_that_run_at_once_fill_the_multiprocessors_together_and_exchanges_fill_none() -> None:
    made = Made(facts={"sm_count": 80.0}).host(0, 40, "train", step=0)
    made.kernel(0, 10, launch=-1).kernel(5, 20, launch=-1).kernel(8, 10, launch=-1)
    alone = device(made).sm_efficiency
    # Of 40 ms, 5 and 10 ms with one kernel that fills a half, and 5 ms with two or three.
    assert alone == pytest.approx((0.5 * 5 + 1.0 * 5 + 0.5 * 10) / device(made).step_ms)
    made.kernel(12, 40, launch=-1, name="ncclDevKernel_AllReduce_Sum_f32_RING_LL")
    assert device(made).sm_efficiency == pytest.approx(12.5 / device(made).step_ms)


def replace_grid(timeline: Timeline) -> Timeline:
    (gpu,) = timeline.devices
    grid = np.array([[40, 1, 1], [-1, -1, -1]], np.int32)
    return replace(timeline, devices=(replace(gpu, kernels=replace(gpu.kernels, grid=grid)),))


def test_an_unknown_number_of_multiprocessors_is_said() -> None:
    found = device(step())
    assert found.sm_efficiency is None
    assert "multiprocessors" in found.missing["sm_efficiency"]


def test_the_longest_gap_names_what_the_host_was_in() -> None:
    found = device(step().host(5, 28, "IteratorGetNextOp::DoCompute", "tf_data"))
    assert found.gaps[0].duration_ms == pytest.approx(40)
    assert found.gaps[0].causes_ms["idle_input"] == pytest.approx(23)
    assert ("IteratorGetNextOp::DoCompute", "tf_data") in [(event.name, event.thread) for event in found.gaps[0].host]
    # What is a cause itself comes before what only encloses it.
    assert found.gaps[0].host[0].name == "IteratorGetNextOp::DoCompute"
    assert sum(length.count for length in found.gap_histogram) == 2
    assert found.proof["idle_input"][0].name == "IteratorGetNextOp::DoCompute"


def test_a_launch_call_that_bears_its_kernels_name_is_called_a_launch() -> None:
    timeline = Made().kernel(0, 10, launch=-1).kernel(50, 60, launch=11, name="volta_sgemm").timeline()
    (thread,) = timeline.threads
    bears = thread.events.name.copy()
    bears[1] = timeline.names.index("volta_sgemm")
    events = replace(thread.events, name=bears, duration_ps=np.array([1, 38]) * 10**9)
    (found,) = breakdown_of(replace(timeline, threads=(replace(thread, events=events),))).devices
    assert [event.name for event in found.gaps[0].host] == ["launch of volta_sgemm"]


# --- steps -----------------------------------------------------------------------------------------------------


def marked(count: int, gap: float = 20.0) -> Made:
    """So many steps of 100 ms: a marked call of 80 ms, its kernel from 30 to 70, and then Python."""
    made = Made()
    for number in range(count):
        at = number * (80 + gap)
        made.host(at, at + 80, "train", step=number).kernel(at + 30, at + 70, launch=at + 20)
    return made


def test_steps_from_markers() -> None:
    found = device(marked(5))
    assert (found.steps, found.steps_from) == (5, "step markers")
    assert [each.number for each in found.each_step] == [0, 1, 2, 3, 4]
    # Four whole steps, and a last one that ends with its kernel.
    assert [each.step_ms for each in found.each_step] == pytest.approx([100, 100, 100, 100, 70])
    assert found.step_ms == pytest.approx(94)
    assert found.spread.median_ms == pytest.approx(100)
    assert found.spread.outliers == (4,)


def test_steps_from_the_training_function_come_before_the_steps_line() -> None:
    made = Made().line(30, 70).line(130, 170)
    for at in (0, 100):
        made.host(at, at + 80, "one_step_on_iterator").kernel(at + 30, at + 70, launch=at + 20)
    found = device(made)
    assert (found.steps, found.steps_from) == (2, "the calls of one_step_on_iterator")


def test_a_loop_of_two_functions_is_outside_neither() -> None:
    made = Made()
    for at in (0, 100):
        made.host(at, at + 50, "EagerLocalExecute: __inference_discriminate_3").kernel(at + 40, at + 50, launch=at + 39)
        made.host(at + 50, at + 80, "EagerLocalExecute: __inference_generate_4").kernel(
            at + 70, at + 80, launch=at + 69
        )
    found = device(made)
    assert (found.steps, found.steps_from) == (2, "the calls of discriminate")
    # From the last kernel of the first step to the second step; the second ends with its own.
    assert found.ledger_ms["idle_between_steps"] == pytest.approx(20 / 2)


def test_calls_that_touch_are_steps_of_their_own() -> None:
    made = Made()
    for at in (0, 100, 200):
        made.host(at, at + 100, "one_step_on_iterator").kernel(at + 30, at + 70, launch=at + 20)
    assert device(made).steps == 3


def test_steps_from_the_function_that_takes_longest() -> None:
    made = Made()
    for at in (0, 100):
        made.host(at, at + 80, "EagerLocalExecute: __inference_my_own_step_17").kernel(at + 30, at + 70, launch=at + 20)
    found = device(made)
    assert (found.steps, found.steps_from) == (2, "the calls of my_own_step")
    assert found.ledger_ms["idle_between_steps"] == pytest.approx(10)


def test_a_compiled_function_of_jax_goes_on_after_its_call() -> None:
    made = Made()
    for at in (0, 100):
        made.host(at, at + 10, "PjitFunction(train_step)").host(at + 11, at + 20, "PjitFunction(noise)")
        made.host(at + 12, at + 45, "ThunkExecutor::Execute", "runtime").host(at + 50, at + 98, "$data.py:7 batch")
        made.kernel(at + 46, at + 60, launch=at + 30, thread="runtime")
    found = device(made)
    assert (found.steps, found.steps_from) == (2, "the calls of train_step")
    # Python works from 60 on, and for 1 ms each between the calls and after the execution.
    assert found.each_step[0].ledger_ms["idle_between_steps"] == pytest.approx(42)
    # The execution is seen from 12 on, and launches nothing until 30.
    assert found.each_step[0].ledger_ms["idle_host_work"] == pytest.approx(18)
    assert found.proof["idle_between_steps"][0].name == "$data.py:7 batch"


def test_the_kernels_of_a_cuda_graph_share_one_launch() -> None:
    timeline = Made().kernel(6, 20, launch=5).kernel(21, 35, launch=5).kernel(36, 50, launch=5).timeline()
    (gpu,), (thread,) = timeline.devices, timeline.threads
    one = replace(thread.events, correlation=np.array([7, -1, -1]))
    kernels = replace(gpu.kernels, correlation=np.array([7, 7, 7]))
    graph = replace(timeline, devices=(replace(gpu, kernels=kernels),), threads=(replace(thread, events=one),))
    (found,) = breakdown_of(graph).devices
    # What lies between kernels of the graph was launched long ago.
    assert (found.ledger_ms["idle_queue"], found.ledger_ms["idle_launch"]) == pytest.approx((3, 0))
    assert (found.joined_fraction, found.lost_fraction) == (1, 0)


@pytest.mark.parametrize(
    ("call", "category"),
    [
        ("hipStreamSynchronize", "idle_sync"),
        ("hipMemcpyWithStream", "idle_sync"),
        ("hipMalloc", "idle_memory"),
        ("cudaMallocAsync", "idle_host_work"),
        ("cudaMallocFromPoolAsync", "idle_host_work"),
        ("cudaHostAlloc", "idle_host_work"),
        ("cudaMallocHost", "idle_host_work"),
        ("cudaFreeHost", "idle_host_work"),
        ("cuMemAllocHost_v2", "idle_host_work"),
        ("cuMemHostRegister_v2", "idle_host_work"),
    ],
)
def test_calls_of_other_runtimes_mean_the_same(call: str, category: str) -> None:
    made = step().host(62, 75, call)
    assert device(made).ledger_ms[category] >= 13


@pytest.mark.parametrize(
    ("name", "together"),
    [
        ("ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevKernelArgsStorage<4096ul>)", True),
        ("void vllm::cross_device_reduce_1stage<__nv_bfloat16, 8>()", True),
        ("all-gather-start.1", True),
        ("small_reduce_kernel", False),
    ],
)
def test_a_collective_is_told_by_its_name(name: str, together: bool) -> None:
    found = device(Made().kernel(0, 30, launch=-5).kernel(30, 50, launch=-4, name=name))
    assert (found.ledger_ms["gpu_collective"] > 0) is together


def test_steps_from_the_steps_line() -> None:
    found = device(Made().line(0, 50).line(50, 90).kernel(10, 40, launch=5).kernel(60, 90, launch=55))
    assert (found.steps, found.steps_from) == (2, "the Steps line of the profiler")


def test_steps_from_the_iterator() -> None:
    made = Made()
    for at in (0, 100, 200):
        made.host(at, at + 10, "IteratorGetNextOp::DoCompute", "tf_data").kernel(at + 30, at + 70, launch=at + 20)
    found = device(made)
    assert (found.steps, found.steps_from) == (3, "the calls of the iterator")


def test_no_marker_at_all_is_one_step() -> None:
    found = device(Made().kernel(10, 40, launch=5))
    assert (found.steps, found.step_ms) == pytest.approx((1, 35))
    assert found.steps_from.startswith("no marker")


def test_markers_of_kineto_hold_what_lies_between() -> None:
    made = Made()
    for at in (0, 100):
        made.host(at, at + 100, f"ProfilerStep#{at}", step=at)
        made.host(at + 75, at + 99, "aten::copy_").kernel(at + 30, at + 70, launch=at + 20)
    found = device(made)
    # The copy of the first step; the holes beside it come again, and nothing encloses them but the marker.
    assert found.each_step[0].ledger_ms["idle_host_work"] == pytest.approx(24)
    assert found.each_step[0].ledger_ms["idle_between_steps"] == pytest.approx(20 + 5 + 1, abs=0.01)
    assert found.idle_outside_step_fraction is None


def test_a_slow_first_step_is_warm_up() -> None:
    made = Made().host(0, 400, "train", step=0).kernel(300, 400, launch=290)
    for number in range(1, 6):
        at = 400 + 100 * number
        made.host(at, at + 80, "train", step=number).kernel(at + 30, at + 70, launch=at + 20)
    found = device(made)
    assert (found.warmup, found.counted, found.steps) == (1, 5, 6)
    assert found.step_ms == pytest.approx(94)


def test_a_slow_first_step_that_comes_again_is_a_pattern() -> None:
    made = Made()
    starts = (0, 400, 500, 600, 1000, 1100)
    for number, at in enumerate(starts):
        made.host(at, at + 80, "train", step=number).kernel(at + 30, at + 70, launch=at + 20)
    assert device(made).warmup == 0


# --- the processor as the device --------------------------------------------------------------------------------


def test_the_account_of_a_processor() -> None:
    made = Made()
    for number in range(3):
        at = 100 * number
        made.host(at, at + 80, "train", step=number).host(at + 1, at + 79, "multi_step_on_iterator")
        made.host(at + 5, at + 30, "IteratorGetNextOp::DoCompute", "tf_data_iterator_get_next")
        made.host(at + 30, at + 70, "model/dense/MatMul:MatMul", "tf_Compute")
        made.host(at + 10, at + 95, "map/Resize:ResizeBilinear", "tf_data_private_threadpool")
    found = device(made)
    assert found.kind == "cpu"
    # The last step ends with its marker and is not counted.
    assert (found.steps, found.counted) == (3, 2)
    assert {name: ms for name, ms in found.ledger_ms.items() if ms} == pytest.approx(
        {"cpu_compute": 40, "idle_input": 25, "idle_between_steps": 22, "unattributed": 13}
    )


def called(at: float, step: int) -> Made:
    """A step of 90 ms: 10 of Python, 60 in a compiled function of which one operation takes 20, and 10 of Python."""
    made = Made().host(at, at + 90, "train", step=step).host(at + 1, at + 81, "one_step_on_data")
    made.host(at + 11, at + 71, "EagerLocalExecute: __inference_one_step_on_data_7")
    return made.host(at + 15, at + 70, "ExecutorState::Process", "tf_Compute").host(
        at + 30, at + 50, "model/dense/MatMul:MatMul", "tf_Compute"
    )


def test_calling_a_function_and_its_operations_is_time_of_its_own() -> None:
    made = Made()
    for step in range(3):
        for thread, calls in called(100.0 * step, step).calls.items():
            made.calls.setdefault(thread, []).extend(calls)
    found = device(made)
    assert {name: ms for name, ms in found.ledger_ms.items() if ms} == pytest.approx(
        {"cpu_compute": 20, "cpu_dispatch": 60, "idle_between_steps": 20}
    )
    assert found.overhead_fraction == pytest.approx(3 * 60 / 290)


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("PyFunc:PyFunc", "idle_host_work"),
        ("f/EagerPyFunc:EagerPyFunc", "idle_host_work"),
        ("_Recv:_Recv", UNATTRIBUTED),
    ],
)
def test_an_operation_that_waits_for_others_is_not_the_start_of_one(name: str, category: str) -> None:
    assert parts(called(0, 0).host(52, 68, name, "tf_Compute")) == {
        "cpu_compute": 20,
        "cpu_dispatch": 60 - 16,
        "idle_between_steps": 10,
        category: 16,
    }


def test_python_that_makes_a_tensor_of_a_batch_makes_the_input() -> None:
    made = called(0, 0).host(2, 9, "tf.constant").host(9.5, 9.55, "convert_to_tensor")
    found = device(made)
    # A short one is part of the call.
    assert (found.ledger_ms["idle_input"], found.ledger_ms["cpu_dispatch"]) == pytest.approx((7, 53))
    breakdown = breakdown_of(made.timeline())
    (stage,) = breakdown.hosts[0].iterators
    assert stage.name == "Python"
    assert stage.blocking_ms == pytest.approx(7)
    assert evidence_of(breakdown).text("input_stage") == "python_feed"


def test_a_loop_that_says_when_it_makes_a_batch_makes_the_input() -> None:
    made = called(0, 0).host(82, 88, "NextBatch").host(100, 180, "train", step=1)
    assert device(made).each_step[0].ledger_ms["idle_input"] == pytest.approx(6)
    gpu = step().host(82, 88, "NextBatch")
    assert device(gpu).ledger_ms["idle_input"] == pytest.approx(6)


def test_python_in_a_function_that_is_told_to_run_eagerly_is_the_user_s() -> None:
    made = Made().host(0, 90, "train", step=0).host(1, 81, "one_step_on_data").host(10, 11, "EagerLocalExecute: MatMul")
    assert device(made).ledger_ms["cpu_dispatch"] == pytest.approx(1)


def test_the_account_of_a_processor_under_pytorch() -> None:
    made = Made()
    for number in range(3):
        at = 100 * number
        made.host(at, at + 100, f"ProfilerStep#{number}", step=number)
        made.host(at, at + 20, "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__")
        made.host(at + 5, at + 10, "aten::stack").host(at + 20, at + 50, "aten::linear")
        made.host(at + 50, at + 90, "autograd::engine::evaluate_function: AddmmBackward0")
        made.host(at + 92, at + 97, "Optimizer.step#SGD.step")
    found = device(made)
    assert {name: ms for name, ms in found.ledger_ms.items() if ms} == pytest.approx(
        {"cpu_compute": 75, "idle_input": 20, "unattributed": 5}
    )


def test_building_a_graph_and_what_follows_is_compilation() -> None:
    made = Made().host(0, 90, "train", step=0).host(1, 89, "train_step")
    made.host(5, 20, "tf.function-graph_building").host(22, 80, "EagerLocalExecute: __inference_train_step_5")
    made.host(40, 80, "EagerKernelExecute").host(45, 75, "dense/MatMul:MatMul", "tf_Compute")
    assert device(made).ledger_ms["idle_once"] == pytest.approx(35)


def test_the_first_call_of_a_function_optimises_its_graph_whatever_runs_before_it() -> None:
    made = Made().host(0, 90, "train", step=0)
    made.host(5, 20, "tf.function-graph_building").host(21, 22, "EagerKernelExecute")
    made.host(25, 80, "EagerLocalExecute: __inference_update_5").host(60, 80, "EagerKernelExecute")
    made.host(100, 190, "train", step=1).host(101, 180, "EagerLocalExecute: __inference_update_5")
    made.host(140, 180, "EagerKernelExecute")
    assert [step.ledger_ms["idle_once"] for step in device(made).each_step] == pytest.approx([55, 0])


def test_a_marked_loop_of_ones_own_has_time_between_its_calls() -> None:
    made = Made()
    for step in range(3):
        at = 100.0 * step
        made.host(at, at + 99, "train", step=step).host(at + 1, at + 21, "update")
        made.host(at + 6, at + 20, f"EagerLocalExecute: __inference_update_{step}")
    found = device(made)
    assert found.inside_from == "the calls of update"
    assert found.ledger_ms["idle_between_steps"] == pytest.approx(80)


def test_what_starting_operations_costs_a_processor() -> None:
    made = Made()
    for step in range(3):
        at = 100.0 * step
        made.host(at, at + 90, "train", step=step).host(at + 1, at + 81, "EagerLocalExecute: __inference_train_step_1")
        made.host(at + 2, at + 12, "dense/MatMul:MatMul", "tf_Compute")
        made.host(at + 12, at + 12.02, "dense/Relu:Relu", "tf_Compute")
    # The long operation is work, the short one is not, nor is what lies outside the function.
    assert device(made).overhead_fraction == pytest.approx(3 * 70 / 290)
    assert device(made).dispatch_fraction == 0


def test_python_between_single_operations_is_part_of_starting_them() -> None:
    made = Made().host(0, 100, "train", step=0)
    for start in (10, 12, 14, 50):
        made.host(start, start + 1, "EagerLocalExecute: MatMul")
    assert device(made).dispatch_fraction == pytest.approx((5 + 1) / 100)


def test_a_step_of_many_single_operations_is_python_s_however_long_it_was_held_up() -> None:
    made = Made().host(0, 100, "train", step=0)
    for number in range(30):
        made.host(5 + 3 * number, 5.1 + 3 * number, "EagerLocalExecute: MatMul")
    assert device(made).dispatch_fraction == pytest.approx((87 + 0.1) / 100)


def test_a_stage_is_charged_without_those_that_it_calls_by_number_or_by_part() -> None:
    made = marked(2).host(0, 40, "IteratorGetNextOp::DoCompute", "get_next")
    made.host(1, 40, "Iterator::Root::FlatMap", "get_next").host(
        1, 30, "Iterator::Root::FlatMap[0]::Generator", "get_next"
    )
    made.host(42, 90, "IteratorGetNextOp::DoCompute", "get_next").host(
        42, 90, "Iterator::Root::MemoryCache", "get_next"
    )
    made.host(42, 90, "Iterator::Root::MemoryCacheImpl", "get_next")
    made.host(43, 89, "Iterator::Root::MemoryCacheImpl::Map", "get_next")
    own = {
        stage.name.removeprefix("Iterator::Root::"): stage.self_ms
        for stage in breakdown_of(made.timeline()).hosts[0].iterators
    }
    assert own == pytest.approx(
        {"FlatMap": 10, "FlatMap[0]::Generator": 29, "MemoryCache": 0, "MemoryCacheImpl": 2, "MemoryCacheImpl::Map": 46}
    )


def test_the_iterator_that_works_is_named_and_not_the_one_that_waits_for_it() -> None:
    made = marked(2).host(0, 20, "IteratorGetNextOp::DoCompute", "get_next")
    made.host(1, 20, "Iterator::Root::Prefetch", "get_next").host(1, 19, "Iterator::Root::Prefetch::Map", "worker")
    made.host(2, 4, "Iterator::Root::Prefetch::Map::BatchV2", "worker")
    host = breakdown_of(made.timeline()).hosts[0]
    assert host.slowest_iterator == "Iterator::Root::Prefetch::Map"
    blocking = {stage.name: stage.blocking_ms for stage in host.iterators}
    assert blocking["Iterator::Root::Prefetch::Map"] == pytest.approx(16)
    assert blocking["Iterator::Root::Prefetch"] == pytest.approx(19)


def test_operations_that_python_starts_one_by_one() -> None:
    made = marked(2).host(1, 11, "EagerLocalExecute: MatMul").host(12, 14, "EagerLocalExecute: IteratorGetNext")
    made.host(110, 120, "EagerLocalExecute: Relu").host(121, 150, "EagerLocalExecute: __inference_f_1")
    assert breakdown_of(made.timeline()).hosts[0].eager_ms_per_step == pytest.approx(10)


def test_operations_without_a_launch_ran_on_the_processor() -> None:
    made = step().host(38, 40, "dense/MatMul:MatMul").host(32, 36, "strings/Format:StringFormat")
    assert [op.type for op in breakdown_of(made.timeline()).hosts[0].cpu_ops] == ["GatherV2", "StringFormat"]


# --- whatever comes ---------------------------------------------------------------------------------------------


def test_a_device_that_is_no_gpu_is_not_taken_for_the_processor() -> None:
    breakdown = breakdown_of(replace(marked(2).timeline(), devices=(), others=("/device:TPU:0",)))
    assert breakdown.devices == ()
    assert breakdown.warnings[-1].startswith("the work of /device:TPU:0 is not accounted for")


def test_an_empty_timeline_has_no_account_and_says_why() -> None:
    breakdown = breakdown_of(Timeline("nothing", "xplane", 0, False, ()))
    assert breakdown.devices == ()
    assert breakdown.warnings == ("the trace holds no events",)


times = st.integers(0, 60)
events = st.lists(
    st.tuples(
        times,
        st.integers(0, 30),
        st.sampled_from(
            ["train_function", "train", "cuStreamSynchronize", "Iterator::Root", "a/b:MatMul", "cuMemAlloc"]
        ),
        st.sampled_from(["python", "tf_Compute"]),
    ),
    max_size=8,
)
work = st.lists(st.tuples(times, st.integers(0, 30), st.integers(-10, 60), st.booleans()), max_size=8)


@given(events, work, st.booleans())
def test_every_account_adds_up(
    calls: list[tuple[int, int, str, str]], launched: list[tuple[int, int, int, bool]], correlated: bool
) -> None:
    made = Made(correlated=correlated)
    for number, (start, length, name, thread) in enumerate(calls):
        made.host(start, start + length, name, thread, step=number if name == "train" else -1)
    for start, length, launch, is_copy in launched:
        if is_copy:
            made.copy(start, start + length, launch, Direction.D2H)
        else:
            made.kernel(start, start + length, launch)
    breakdown = breakdown_of(made.timeline())
    for found in breakdown.devices:
        steps = [(one.ledger_ms, one.step_ms) for one in found.each_step]
        for ledger_ms, step_ms in [*steps, (found.ledger_ms, found.step_ms)]:
            assert sum(ledger_ms.values()) == pytest.approx(step_ms, abs=1e-6)
            assert min(ledger_ms.values()) >= 0
    assert msgspec.json.decode(to_json(breakdown), type=TraceBreakdown) == breakdown
