"""Stretches in which the host launches nothing: work of its own, work done once, and what no trace tells."""

from __future__ import annotations

import ast
from dataclasses import replace

import pytest

from gpuprobe.advice.host_work import BY_KIND
from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.records import Diagnosis, Finding
from gpuprobe.ledger.breakdown import break_down, breakdown_of
from gpuprobe.ledger.host_work import work_kind
from gpuprobe.ledger.names import Kind
from gpuprobe.ledger.records import DeviceBreakdown
from gpuprobe.whatif.predict import predict
from tests.helpers.timelines import Made

# A kernel each 0.2 ms, of 0.1 ms each: so the host launches where nothing holds it.
PACE_MS, KERNEL_MS = 0.2, 0.1


def launches(made: Made, start: float, end: float, thread: str = "python", name: str = "kernel") -> Made:
    """Launch at the pace from start to end (ms)."""
    for number in range(round((end - start) / PACE_MS)):
        at = start + number * PACE_MS
        made.kernel(at + 0.05, at + 0.05 + KERNEL_MS, launch=at + 0.01, thread=thread, name=name)
    return made


def steps(count: int, held_ms: float, event: str = "aten::nonzero", thread: str = "python") -> Made:
    """So many marked steps: 10 ms of launches, and an event of `held_ms` before them in each."""
    made = Made()
    for number in range(count):
        at = number * (10 + held_ms)
        made.host(at, at + 10 + held_ms, f"ProfilerStep#{number}", step=number)
        if held_ms:
            made.host(at, at + held_ms, event, thread)
        made.host(at + held_ms, at + held_ms + 10, "aten::conv2d")
        launches(made, at + held_ms, at + held_ms + 10)
    return made


def told(made: Made) -> tuple[DeviceBreakdown, Finding]:
    diagnosis = judged(made)
    assert diagnosis.primary is not None
    return diagnosis.devices[0], diagnosis.primary


def judged(made: Made) -> Diagnosis:
    return diagnose(Case(breakdown_of(made.timeline())))


def test_launches_at_their_pace_are_launches() -> None:
    device, found = told(steps(3, 0.0))
    assert (found.cause, found.confidence) == ("launch_bound", "high")
    assert (device.ledger_ms["idle_host_work"], device.held) == (0, None)


def test_an_operation_that_holds_the_host_in_each_step_is_host_work() -> None:
    device, found = told(steps(4, 15.0))
    assert (found.cause, found.confidence) == ("host_work", "high")
    assert "aten::nonzero" in found.claim
    assert device.ledger_ms["idle_host_work"] == pytest.approx(15, abs=0.3)
    assert device.held is not None
    assert (device.held.stretches, device.held.steps, device.held.kind) == (4, 4, "operation")


def pausing(pause_ms: float) -> DeviceBreakdown:
    """Steps whose operation goes on to launch after a pause, in which nothing else runs."""
    made = Made()
    for number in range(4):
        at = number * (10 + pause_ms)
        made.host(at, at + 10 + pause_ms, f"ProfilerStep#{number}", step=number)
        launches(made.host(at, at + 10 + pause_ms, "aten::conv2d"), at + pause_ms, at + 10 + pause_ms)
    return told(made)[0]


def test_a_pause_below_the_limit_is_still_a_launch_on_its_way() -> None:
    # Twenty times the pace of 0.2 ms are 4 ms.
    assert pausing(3.5).ledger_ms["idle_host_work"] == 0
    assert pausing(4.5).ledger_ms["idle_host_work"] == pytest.approx(4.5, abs=0.3)


@pytest.mark.parametrize(
    ("event", "least_ms"), [("aten::nonzero", 0.25), ("train.py(9): prepare", 2.0), ("cudaHostFlush", 2.0)]
)
def test_an_event_that_launches_nothing_is_no_launch_however_slowly_these_come(event: str, least_ms: float) -> None:
    """Few launches, 0.9 ms apart: twenty times that pace would be 18 ms."""

    def held(lasts_ms: float) -> DeviceBreakdown:
        made, at = Made(), 0.0
        for number in range(4):
            begin = at
            made.host(at, at + lasts_ms, event)
            at += lasts_ms
            for _ in range(12):
                made.kernel(at + 0.2, at + 0.4, launch=at + 0.1)
                at += 0.9
            made.host(begin, at, f"ProfilerStep#{number}", step=number)
        return told(made)[0]

    assert held(0.9 * least_ms).ledger_ms["idle_host_work"] == 0
    assert held(least_ms + 0.6).ledger_ms["idle_host_work"] == pytest.approx(least_ms + 0.6, abs=0.9)
    assert held(6.0).ledger_ms["idle_host_work"] == pytest.approx(6.0, abs=0.9)


def test_an_operation_that_launches_nothing_need_not_be_long() -> None:
    # Forty pieces of 0.5 ms, each after a few launches at a pace of 20 us: an operation is none of the way to a launch.
    made, at = Made().host(0, 60, "train_function"), 0.0
    for _ in range(40):
        for _ in range(20):
            made.kernel(at + 0.006, at + 0.01, launch=at + 0.004)
            at += 0.02
        made.host(at, at + 0.5, "text/StringFormat:StringFormat", "tf_Compute")
        at += 0.5
    made.kernel(at + 0.006, at + 0.01, launch=at + 0.004)
    _, found = told(made)
    assert found.cause == "host_work"
    # In as many pauses of the same length in which no operation runs, Python is on its way.
    made.calls["tf_Compute"] = []
    assert told(made)[1].cause == "launch_bound"


def test_a_function_that_runs_without_a_trace_of_what_it_does_tells_nothing() -> None:
    made = launches(Made().host(0, 70, "train_function").host(0, 70, "ExecutorState::Process", "tf_Compute"), 0, 10)
    device, found = told(launches(made, 50, 60))
    assert device.ledger_ms["unattributed"] == pytest.approx(40, abs=0.3)
    assert found.cause == "unattributed"


def test_work_that_was_launched_and_does_not_start_is_no_slow_launch() -> None:
    made = launches(Made().host(0, 70, "train_function"), 0, 10).kernel(50, 50.1, launch=10)
    device, found = told(launches(made, 50.2, 60))
    assert device.stalled_ms == pytest.approx(40, abs=0.3)
    assert device.ledger_ms["idle_queue"] >= device.stalled_ms
    assert found.cause == "unattributed"


@pytest.mark.parametrize(("returned", "category"), [(70, "idle_sync"), (11, "idle_between_steps")])
def test_where_the_host_is_does_not_keep_launched_work_from_starting(returned: float, category: str) -> None:
    made = launches(Made().host(0, returned, "train_function"), 0, 10)
    made = made.host(11, 69, "cuStreamSynchronize" if category == "idle_sync" else "on_train_batch_end")
    device, found = told(made.kernel(10, 12, launch=9.9).kernel(52, 60, launch=10))
    assert device.ledger_ms[category] >= device.stalled_in_ms[category] == pytest.approx(40, abs=0.3)
    assert found.cause == "unattributed"


def test_one_step_does_not_show_that_it_comes_again() -> None:
    _, found = told(steps(1, 40.0))
    assert (found.cause, found.confidence) == ("host_work", "medium")
    assert "may be done once" in found.claim


def test_many_short_calls_that_launch_nothing_are_host_work_too() -> None:
    made = launches(Made().host(0, 60, "ProfilerStep#0", step=0), 0, 10)
    for number in range(200):
        made.host(10 + number * 0.2, 10.15 + number * 0.2, "aten::select")
    device, found = told(launches(made, 50, 60))
    assert found.cause == "host_work"
    assert device.proof["idle_host_work"][0].name == "aten::select"
    assert device.ledger_ms["idle_host_work"] == pytest.approx(200 * 0.15, abs=0.5)


def test_a_gap_without_any_event_has_no_cause() -> None:
    made = launches(Made().host(0, 70, "ProfilerStep#0", step=0).host(0, 10, "aten::conv2d"), 0, 10)
    device, found = told(launches(made.host(60, 70, "aten::conv2d"), 60, 70))
    assert device.ledger_ms["unattributed"] == pytest.approx(50, abs=0.3)
    assert found.cause == "unattributed"


def test_a_trace_of_runtime_calls_alone_tells_no_more_than_launches() -> None:
    device, found = told(launches(launches(Made(), 0, 10), 60, 70))
    assert device.ledger_ms["unattributed"] == pytest.approx(50, abs=0.3)
    assert found.cause == "unattributed"


def test_launches_of_another_thread_are_launches_too() -> None:
    # The thread of autograd launches while the other waits for it in a call of its own.
    made = launches(Made().host(0, 40, "ProfilerStep#0", step=0).host(10, 40, "backward.py(1): run_backward"), 0, 10)
    device, found = told(launches(made.host(10, 40, "aten::mm", "autograd"), 10, 40, thread="autograd"))
    assert (found.cause, device.ledger_ms["idle_host_work"]) == ("launch_bound", 0)


def test_few_launches_of_long_kernels_leave_long_pauses_that_are_busy() -> None:
    made = Made()
    for at in range(0, 400, 100):
        made.host(at, at + 100, f"ProfilerStep#{at}", step=at).kernel(at + 1, at + 99, launch=at + 0.5)
    assert told(made)[1].cause == "compute_bound"


def test_a_pause_before_the_only_launch_of_a_step_is_no_launch_on_its_way() -> None:
    made = Made()
    for at in range(0, 400, 100):
        made.host(at, at + 100, f"ProfilerStep#{at}", step=at).host(at, at + 60, "prepare.py(7): batch_of")
        made.kernel(at + 61, at + 99, launch=at + 60.5, name="graph")
    _, found = told(made)
    assert (found.cause, found.confidence) == ("host_work", "high")


# --- once -------------------------------------------------------------------------------------------------------


def test_an_operation_that_holds_only_the_first_step_is_done_once() -> None:
    made = Made().host(0, 150, "ProfilerStep#0", step=0).host(0, 140, "fused_f")
    launches(made, 140, 150)
    for number in range(1, 4):
        at = 140 + 10 * number
        made.host(at, at + 10, f"ProfilerStep#{number}", step=number).host(at, at + 1, "fused_f")
        launches(made, at, at + 10)
    diagnosis = judged(made)
    assert diagnosis.devices[0].ledger_ms["idle_once"] == 0, "a first step that only the start made slow is warm-up"
    assert diagnosis.devices[0].each_step[0].ledger_ms["idle_once"] == pytest.approx(140, abs=0.3)


def test_with_fewer_steps_what_is_done_once_leads() -> None:
    made = Made()
    for number, (at, held_ms) in enumerate(((0, 40), (50, 1), (61, 1))):
        made.host(at, at + 10 + held_ms, f"ProfilerStep#{number}", step=number).host(at, at + held_ms, "aten::conv2d")
        launches(made, at + held_ms, at + held_ms + 10)
    device, found = told(made)
    # The two steps that go on without it make the trace as a whole less sure.
    assert (found.cause, found.confidence) == ("one_time_work", "medium")
    assert "aten::conv2d" in found.claim
    assert device.held is not None
    assert device.held.proven_fraction == pytest.approx(1)


def test_what_holds_in_a_later_step_alone_is_less_sure() -> None:
    made = Made()
    for number, (at, held_ms) in enumerate(((0, 1), (11, 1), (22, 60))):
        made.host(at, at + 10 + held_ms, f"ProfilerStep#{number}", step=number).host(at, at + held_ms, "aten::conv2d")
        launches(made, at + held_ms, at + held_ms + 10)
    _, found = told(made)
    assert (found.cause, found.confidence) == ("one_time_work", "medium")


@pytest.mark.parametrize(("lasts", "confidence"), [(150, "high"), (50, "medium")])
def test_a_call_that_starts_a_kernel_and_takes_long_loads_its_code(lasts: int, confidence: str) -> None:
    made = launches(Made(), 0, 10).kernel(10.5 + lasts, 11 + lasts, launch=10.2)
    timeline = launches(made, 11 + lasts, 21 + lasts).timeline()
    (thread,) = timeline.threads
    durations = thread.events.duration_ps.copy()
    durations[50] = lasts * 10**9
    events = replace(thread.events, duration_ps=durations)
    found = diagnose(Case(breakdown_of(replace(timeline, threads=(replace(thread, events=events),))))).primary
    assert found is not None
    assert (found.cause, found.confidence) == ("one_time_work", confidence)


@pytest.mark.parametrize(
    ("event", "until", "cause"),
    [
        # It goes on to start a kernel, which had to be made or chosen first.
        ("delta", 160, "one_time_work"),
        ("aten::cudnn_convolution", 160, "one_time_work"),
        # It ends before that; a frame of Python may do anything before it starts a kernel.
        ("aten::nonzero", 158, "host_work"),
        ("data.py(3): prepare", 160, "host_work"),
    ],
)
def test_an_operation_that_goes_on_to_start_its_kernel_was_preparing_it(event: str, until: float, cause: str) -> None:
    made = launches(Made(), 0, 10).host(10, until, event).kernel(159, 159.5, launch=158.5)
    _, found = told(launches(made, 160, 170))
    assert (found.cause, found.confidence) == (cause, "medium")


def test_launches_that_are_mostly_off_their_pace_are_not_sure_to_be_slow() -> None:
    made, at = Made().host(0, 100, "train_function").host(0, 100, "ExecutorState::Process", "tf_Compute"), 0.0
    for _ in range(50):
        for _ in range(20):
            made.kernel(at + 0.006, at + 0.01, launch=at + 0.004)
            at += 0.02
        at += 1.5
    _, found = told(made.kernel(at, at + 0.01, launch=at - 0.01))
    assert (found.cause, found.confidence) == ("launch_bound", "medium")


@pytest.mark.parametrize("name", ["Autotuning", "cuModuleLoadData", "nvrtcCompileProgram", "XlaCompile"])
def test_loading_and_compiling_in_the_only_step_may_be_done_once(name: str) -> None:
    made = launches(Made().host(0, 60, "train_function"), 0, 10).host(10, 50, name)
    device, found = told(launches(made, 50, 60))
    assert device.ledger_ms["idle_once"] == pytest.approx(40, abs=0.3)
    assert (found.cause, found.confidence) == ("one_time_work", "medium")


def four_steps(*events: tuple[int, str, float]) -> DeviceBreakdown:
    """Four steps of 10 ms of launches; before these, some steps are in events of so many ms."""
    made, at = Made(), 0.0
    for number in range(4):
        begin = at
        for name, lasts in [(name, lasts) for step, name, lasts in events if step == number]:
            made.host(at, at + lasts, name)
            at += lasts
        launches(made, at, at + 10)
        at += 10
        made.host(begin, at, "train", step=number).host(begin, at - 0.1, "train_function")
    return judged(made).devices[0]


@pytest.mark.parametrize("name", ["Autotuning", "XlaCompile"])
def test_what_only_the_first_of_several_steps_compiles_or_loads_is_done_once(name: str) -> None:
    held = four_steps((0, name, 10)).held
    assert held is not None
    assert held.proven_fraction == pytest.approx(1)


@pytest.mark.parametrize(
    ("compiled", "once_ms"),
    [((), 60), (((0, "XlaCompile", 30),), 60), (((2, "XlaCompile", 30),), 0), (((2, "Grappler", 30),), 0)],
)
def test_loading_in_a_later_step_belongs_to_what_is_compiled_there(
    compiled: tuple[tuple[int, str, float], ...], once_ms: float
) -> None:
    device = four_steps(*compiled, (2, "Autotuning", 40), (2, "cuModuleLoadData", 20))
    spent = {name: sum(step.ledger_ms[name] for step in device.each_step) for name in ("idle_once", "idle_compile")}
    every_ms = 60 + sum(ms for _, _, ms in compiled)
    assert spent == pytest.approx({"idle_once": once_ms, "idle_compile": every_ms - once_ms}, abs=1)
    if once_ms:
        assert device.held is not None
        assert device.held.proven_fraction == 0


def test_compiling_that_comes_again_is_recompiling() -> None:
    made = Made()
    for number in range(3):
        at = number * 60
        made.host(at, at + 60, "train_function").host(at + 10, at + 50, "XlaCompile")
        launches(launches(made, at, at + 10), at + 50, at + 60)
    device, found = told(made)
    assert (found.cause, device.ledger_ms["idle_once"]) == ("recompiling", 0)


# --- what it is, and what it would give -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "what"),
    [
        ("model/f/EagerPyFunc:EagerPyFunc", Kind.OP, "python_function"),
        ("model/lookup/LookupTableFindV2:LookupTableFindV2", Kind.OP, "preprocessing_layer"),
        ("text/StringSplitV2:StringSplitV2", Kind.OP, "preprocessing_layer"),
        ("embed/GatherV2:GatherV2", Kind.OP, "operation"),
        ("MemcpyH2D", 0, "staging"),
        ("pipelines/video.py(129): preprocess", Kind.PYTHON, "preparing"),
        ("loop.py(3): log", Kind.PYTHON, "frame"),
        ("something", 0, "call"),
    ],
)
def test_names_say_what_it_was(name: str, kind: Kind, what: str) -> None:
    assert work_kind(name, kind) == what


def test_fewer_launches_do_not_shorten_work_of_the_host() -> None:
    timeline = steps(4, 15.0).timeline()
    replay = predict(break_down(timeline))
    removed, fused = replay.of("host_work_removed"), replay.of("launches_fused")
    assert removed is not None
    assert fused is not None
    # A step of 25 ms is 10 ms of launches without it; fused launches leave the 15 ms.
    assert removed.step_ms == pytest.approx(10, rel=0.05)
    assert fused.step_ms >= 15


def test_what_is_done_once_does_not_come_again() -> None:
    timeline = launches(
        launches(Made().host(0, 60, "train_function"), 0, 10).host(10, 50, "Autotuning"), 50, 60
    ).timeline()
    removed = predict(break_down(timeline)).of("one_time_work_removed")
    assert removed is not None
    assert removed.step_ms == pytest.approx(20, rel=0.05)


@pytest.mark.parametrize("kind", BY_KIND)
def test_the_code_of_each_kind_is_a_diff_of_python(kind: str) -> None:
    lines = BY_KIND[kind][1].splitlines()
    assert all(line.startswith(("+ ", "- ", "  ")) for line in lines)
    ast.parse("\n".join(line[2:] for line in lines if not line.startswith("- ")))


# --- on a processor ---------------------------------------------------------------------------------------------


def processor(name: str, thread: str = "tf_Compute", lasts: float = 20.0) -> Made:
    """Four steps of 60 ms: a layer of 15 ms, the operation by that name, and a layer of 5 ms."""
    made = Made()
    for number in range(4):
        at = number * 60
        made.host(at, at + 60, "train", step=number).host(at, at + 60, "one_step_on_iterator")
        made.host(at, at + 60, "EagerLocalExecute: __inference_one_step_on_iterator_7")
        made.host(at + 1, at + 16, "model/dense/MatMul:MatMul", "tf_Compute")
        made.host(at + 20, at + 20 + lasts, name, thread)
        made.host(at + 42, at + 57, "model/dense_1/MatMul:MatMul", "tf_Compute")
    return made


@pytest.mark.parametrize(
    ("name", "kind", "fix"),
    [
        ("model/py/EagerPyFunc:EagerPyFunc", "python_function", "Python function"),
        ("model/lookup/LookupTableFindV2:LookupTableFindV2", "preprocessing_layer", "preprocessing layer"),
    ],
)
def test_what_a_step_on_a_processor_could_have_had_done_ahead_is_host_work(name: str, kind: str, fix: str) -> None:
    device, found = told(processor(name))
    assert (found.cause, found.confidence) == ("host_work", "high")
    assert device.held is not None
    assert device.held.kind == kind
    assert device.ledger_ms["idle_host_work"] == pytest.approx(20, rel=0.01)
    assert fix in found.fix
    assert name in found.claim


def test_the_same_in_the_input_pipeline_is_none() -> None:
    assert told(processor("map/EagerPyFunc:EagerPyFunc", thread="tf_data_map"))[0].ledger_ms["idle_host_work"] == 0


def test_a_step_on_a_processor_without_it_is_as_much_shorter() -> None:
    removed = predict(break_down(processor("model/py/EagerPyFunc:EagerPyFunc").timeline())).of("host_work_removed")
    assert removed is not None
    assert removed.step_ms == pytest.approx(40, rel=0.05)


def test_a_little_of_it_is_no_cause() -> None:
    causes = {found.cause for found in judged(processor("model/py/EagerPyFunc:EagerPyFunc", lasts=3)).findings}
    assert "host_work" not in causes


def test_a_layer_that_augments_in_the_model_is_named_and_its_gain_is_not() -> None:
    diagnosis = judged(processor("functional_1/random_rotation_1/transform/ImageProjectiveTransformV3:Transform"))
    found = diagnosis.primary
    assert found is not None
    # Ahead of the step the same processor would do it.
    assert (found.cause, found.confidence) == ("host_work", "medium")
    assert "random_rotation_1" in found.claim
    assert "input pipeline" in found.fix
    assert found.predicted_gain is None


def test_normalizing_between_two_layers_is_no_preparation() -> None:
    for name in ("model/batch_normalization/FusedBatchNormV3:FusedBatchNormV3", "model/my_random_flips/Mul:Mul"):
        assert told(processor(name))[0].ledger_ms["idle_host_work"] == 0


def allocating(count: int) -> Finding:
    """So many steps, in each of which most of the time goes to allocating memory of the device."""
    made = Made()
    for number in range(count):
        at = 100.0 * number
        made.host(at, at + 100, f"ProfilerStep#{number}", step=number)
        for place in range(10):
            begin = at + 10 * place
            made.host(begin, begin + 6, "cudaMalloc").kernel(begin + 6.2, begin + 9.9, launch=begin + 6.1)
    return told(made)[1]


def test_one_step_does_not_show_that_memory_is_taken_again() -> None:
    assert (allocating(3).cause, allocating(3).confidence) == ("gpu_memory_tight", "high")
    assert (allocating(1).cause, allocating(1).confidence) == ("gpu_memory_tight", "medium")


@pytest.mark.parametrize(("pause_ms", "cause"), [(4.0, "launch_bound"), (6.0, "unattributed")])
def test_pauses_beyond_ten_times_the_pace_of_few_launches_are_not_known(pause_ms: float, cause: str) -> None:
    """A dozen launches a step, each second one after a pause: twenty times their pace of 0.5 ms would be 10 ms."""
    made, at = Made(), 0.0
    for number in range(4):
        begin = at
        for _ in range(12):
            for pause in (0.5, pause_ms):
                made.kernel(at + 0.1, at + 0.3, launch=at + 0.05)
                at += pause
        made.host(begin, at, f"ProfilerStep#{number}", step=number).host(begin, at, "aten::forward")
    assert told(made)[1].cause == cause


@pytest.mark.parametrize(("lasts", "cause"), [(0.1, "launch_bound"), (0.9, "one_time_work")])
def test_a_call_far_longer_than_launches_are_loads_something(lasts: float, cause: str) -> None:
    """Sixteen kernels, one of which is started by a call of that length, on a device at rest."""
    made = Made().host(0, 1.2 + lasts, "train_function")
    launches(made, 0, 0.8).kernel(0.85 + lasts, 0.9 + lasts, launch=0.8)
    start, _, name, number, step = made.calls["python"].pop()
    made.calls["python"].append((start, start + lasts, name, number, step))
    _, found = told(launches(made, 0.9 + lasts, 1.1 + lasts))
    assert found.cause == cause
    assert found.confidence != "high"


@pytest.mark.parametrize(("launched_ms", "cause"), [(0.001, "unattributed"), (0.2, "launch_bound")])
def test_work_that_waits_in_the_queue_of_a_device_at_rest_was_not_launched_late(launched_ms: float, cause: str) -> None:
    """A kernel each 0.2 ms, of half that length: launched all at once, as by a host far ahead, or each just in time."""
    made = Made()
    for number in range(4):
        at = 20.0 * number
        made.host(at, at + 20, f"ProfilerStep#{number}", step=number).host(at, at + 19.9, "aten::forward")
        for place in range(99):
            begin = at + 0.1 + PACE_MS * place
            made.kernel(begin, begin + KERNEL_MS, launch=at + 0.05 + launched_ms * place)
    assert told(made)[1].cause == cause
