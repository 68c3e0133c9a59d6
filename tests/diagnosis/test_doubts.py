"""A trace that may not speak for its training is less sure of the cause, and says why."""

from __future__ import annotations

import pytest

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.records import Finding
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.records import Signal
from tests.helpers.timelines import Made


def stepped(*waits: float, between: tuple[float, ...] = ()) -> Made:
    """Steps of a GPU of 100 ms: each waits so long for its input, and is so long outside the training function."""
    made = Made()
    for step, (wait, outside) in enumerate(zip(waits, between or [0.0] * len(waits), strict=True)):
        at, until = 100.0 * step, 100.0 * step + 98 - outside
        made.host(at, at + 99.9, "train", step=step).host(at, until, "train_function")
        made.host(at, at + wait, "IteratorGetNext")
        made.kernel(at + wait, until, launch=at + max(wait - 1, 0.0))
    return made


def verdict(made: Made, window_ms: float = 0.0, **known: float) -> Finding:
    settings = tuple(Signal(name=name, unit="", source="test", value=value) for name, value in known.items())
    if window_ms:
        clock = Signal(name="window_call_ms", unit="ms", source="test", value=window_ms, low=window_ms, high=window_ms)
        settings = (*settings, clock)
    found = diagnose(Case(breakdown_of(made.timeline()), settings=settings)).primary
    assert found is not None
    return found


def test_steps_that_agree_are_believed() -> None:
    found = verdict(stepped(60, 62, 58, 61))
    assert (found.cause, found.confidence) == ("input_bound", "high")
    assert "Less sure" not in found.claim


@pytest.mark.parametrize(("slowdown", "confidence"), [(1.5, "high"), (6.0, "medium")])
def test_a_trace_that_slowed_its_steps_is_less_sure_and_says_so(slowdown: float, confidence: str) -> None:
    found = verdict(stepped(60, 62, 58, 61), profiler_slowdown=slowdown)
    assert (found.cause, found.confidence) == ("input_bound", confidence)
    assert ("tracing slowed the steps 6x" in found.claim) == (confidence == "medium")


@pytest.mark.parametrize(("window_ms", "said"), [(80.0, "tracing slowed the steps 6x"), (20.0, "made it slower")])
def test_a_slowed_trace_is_doubted_once_whether_or_not_the_clock_is_sure_of_it(window_ms: float, said: str) -> None:
    found = verdict(stepped(60, 62, 58, 61), window_ms, profiler_slowdown=6.0)
    assert (found.confidence, said in found.claim) == ("medium", True)


@pytest.mark.parametrize(("others", "confidence"), [(0.4, "high"), (1.8, "medium")])
def test_starting_operations_takes_longer_where_other_programs_hold_the_cores(others: float, confidence: str) -> None:
    made = Made()
    for step in range(5):
        at = 10.0 * step
        made.host(at, at + 10, "train", step=step).host(at, at + 9.9, "train_function")
        made.host(at, at + 9.8, "EagerLocalExecute: __inference_train_function_1")
        made.host(at + 1, at + 1.5, "dense/MatMul:MatMul", "tf_Compute")
    found = verdict(made, other_cpu_cores=others, cpu_limit=2.0)
    assert (found.cause, found.confidence) == ("batch_too_small", confidence)
    assert ("other programs took 1.8 of 2.0 cores" in found.claim) == (confidence == "medium")


def test_captures_of_one_job_whose_steps_differ_are_never_both_sure() -> None:
    """Steps of two kinds come in turns: what leads in a capture is how many of each it happened to catch."""
    first = verdict(stepped(85, 5, 85, 5, 85, 85, between=(5, 85, 5, 85, 5, 5)))
    second = verdict(stepped(5, 85, 5, 85, 5, 5, between=(85, 5, 85, 5, 85, 85)))
    assert (first.cause, second.cause) == ("input_bound", "host_between_steps")
    for found in (first, second):
        assert found.confidence != "high"
        assert "another cause leads" in found.claim


def test_steps_without_the_cause_are_no_steps_with_another() -> None:
    found = verdict(stepped(0, 0, 0, 0, 0, between=(90, 5, 90, 5, 90)))
    assert (found.cause, found.confidence) == ("host_between_steps", "high")


def test_kernels_are_no_longer_for_being_traced() -> None:
    found = verdict(stepped(1, 1, 1, 1), profiler_slowdown=6.0)
    assert (found.cause, found.confidence) == ("compute_bound", "high")


def full(idle: float, first: float = 0.0, window_ms: float = 0.0, **known: float) -> Finding:
    """Steps of 100 ms, in which a GPU waits `idle` ms for a batch and computes the rest; the first waits longer."""
    made, at = Made(facts={"sm_count": 40.0}), 0.0
    for step in range(5):
        wait = idle + (first if step == 0 else 0.0)
        until = at + wait + 100 - idle
        made.host(at, until, "train", step=step).host(at, until, "train_function").host(
            at, at + wait, "IteratorGetNext"
        )
        made.kernel(at, at + 0.01, launch=at).kernel(at + wait, until, launch=at + wait)
        at = until
    return verdict(made, window_ms, batch_size=64.0, **known)


def test_a_full_device_is_sure_only_where_nothing_else_is_worth_a_twentieth() -> None:
    assert (full(4).cause, full(4).confidence) == ("compute_bound", "high")
    found = full(8)
    assert (found.cause, found.confidence) == ("compute_bound", "medium")
    assert "input_bound may be worth 8.0 % of the step" in found.claim


def test_another_program_on_a_full_device_may_be_worth_what_it_computes() -> None:
    assert full(1, other_sm_percent=3.0).confidence == "high"
    found = full(1, other_sm_percent=9.0)
    assert (found.cause, found.confidence) == ("compute_bound", "medium")
    assert "gpu_shared may be worth 9.0 % of the step" in found.claim


def test_another_program_costs_nothing_sure_while_the_gpu_waits_in_the_timed_calls() -> None:
    found = full(1, window_ms=101, other_sm_percent=35.0)
    assert (found.cause, found.confidence) == ("gpu_shared", "high")
    waiting = full(1, window_ms=130, other_sm_percent=35.0)
    assert (waiting.cause, waiting.confidence) == ("gpu_shared", "medium")
    assert "fill 76 % of a call of the timed window" in waiting.claim


def test_a_slow_first_step_says_nothing_of_how_the_kernels_of_the_others_fill_the_card() -> None:
    found = full(0, first=5000.0)
    assert (found.cause, found.confidence) == ("compute_bound", "high")
    assert "Kernels fill 100 % of the step" in found.claim


def test_what_only_one_of_several_steps_shows_is_no_habit() -> None:
    found = verdict(stepped(90, 5, 5))
    assert (found.cause, found.confidence) == ("input_bound", "medium")
    assert "only one of the 3 traced steps shows it" in found.claim
    assert verdict(stepped(90, 40, 5)).confidence == "high"


@pytest.mark.parametrize(("built_in", "confidence"), [((3,), "medium"), ((1, 3, 4), "high")])
def test_a_graph_that_is_built_in_one_of_several_steps_may_be_built_once(
    built_in: tuple[int, ...], confidence: str
) -> None:
    """The rule for graphs, and not the largest share, names the cause here; a last partial batch looks so."""
    made, at = Made(), 0.0
    for step in range(6):
        building = 400.0 if step in built_in else 0.0
        until = at + building + 45
        made.host(at, until - 0.1, "train", step=step).host(at, until - 1, "train_function")
        if building:
            made.host(at + 0.1, at + building, "tf.function-graph_building")
        made.kernel(at + building + 1, until - 2, launch=at + building + 0.5)
        at = until
    found = verdict(made)
    assert (found.cause, found.confidence) == ("eager_or_retracing", confidence)
    assert ("only one of the 6 traced steps shows it" in found.claim) == (confidence == "medium")


def test_a_wait_that_begins_the_trace_is_not_that_of_the_training() -> None:
    made, at = Made(), 0.0
    for step, wait in enumerate((5000, 2, 2)):
        made.host(at, at + wait + 100, f"ProfilerStep#{step}", step=step)
        made.host(at, at + wait, "enumerate(DataLoader)#_MultiProcessingDataLoaderIter.__next__")
        made.kernel(at + wait, at + wait + 99, launch=at + wait)
        at += wait + 100
    assert verdict(made).confidence != "high"


def test_kernels_of_a_graph_are_not_launched_one_by_one() -> None:
    def of_calls(kernels: int) -> Finding:
        made = Made()
        for step in range(4):
            at = 20.0 * step
            made.host(at, at + 20, "train", step=step).host(at, at + 19.9, "train_function")
            for place in range(200):
                begin = at + 0.3 + 0.09 * place
                made.kernel(begin, begin + 0.05, launch=at + 0.1 if place % kernels else begin - 0.01)
                if place % kernels:
                    # One call starts it together with those before it.
                    start, end, name, _, what = made.work.pop()
                    made.calls["python"].pop()
                    made.work.append((start, end, name, made.work[-1][3], what))
        return verdict(made)

    assert (of_calls(1).cause, of_calls(1).confidence) == ("launch_bound", "high")
    assert of_calls(50).confidence != "high"
