"""Replays whose answer arithmetic knows, and changes to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe.diagnosis.advised import advised
from gpuprobe.diagnosis.gains import cure
from gpuprobe.diagnosis.records import Finding
from gpuprobe.ledger.breakdown import break_down
from gpuprobe.records import Evidence, Gain
from gpuprobe.thresholds import DEFAULTS, fixed
from gpuprobe.traces.read import read
from gpuprobe.traces.timeline import Copies, Device, Direction, Events, Kernels, Thread, Timeline
from gpuprobe.whatif import device_changes as device
from gpuprobe.whatif import host_changes as host
from gpuprobe.whatif import input_changes
from gpuprobe.whatif.between_changes import callbacks_removed
from gpuprobe.whatif.change import Change, mixture_ms
from gpuprobe.whatif.graph import FIRST_STREAM, HOST, PRODUCER, BatchSupply, Edge, Graph, Work
from gpuprobe.whatif.predict import predict
from gpuprobe.whatif.records import Prediction, Replay
from gpuprobe.whatif.replay import run, steady_ms, traced_ms
from gpuprobe.whatif.run_facts import Known, repeats
from tests.helpers.timelines import Made

Node = tuple[int, Work, float]
Wait = tuple[int, int, Edge, int]
US = 1_000_000
lengths = st.floats(1.0, 1e4, allow_nan=False)


def graph(nodes: list[Node], waits: list[Wait], *, feed: BatchSupply | None = None, **facts: object) -> Graph:
    """Make a graph of one step from (resource, work, us) and (target, source, why, passes back)."""
    count = len(nodes)
    resource = np.array([node[0] for node in nodes])
    edges = np.array([[target, source, int(why), back] for target, source, why, back in waits], np.int64)
    edges = edges.reshape(-1, 4)
    plain = {
        "resource": resource,
        "work": np.array([int(node[1]) for node in nodes]),
        "us": np.array([float(node[2]) for node in nodes]),
        "target": edges[:, 0],
        "source": edges[:, 1],
        "back": edges[:, 3],
        "lag_us": np.zeros(len(edges)),
        "reason": edges[:, 2],
        "fill": np.full(count, np.nan),
        "matrix": np.zeros(count, bool),
        "sized": np.ones(count, bool),
        "ours": resource >= FIRST_STREAM,
        "carried_us": np.zeros(max(resource.max() + 1, FIRST_STREAM)),
        "steps": 1,
        "measured_ms": 1.0,
        "feed": feed or BatchSupply(),
    }
    return Graph(**{**plain, **facts})  # type: ignore[arg-type]


def launching(call_us: float, launch_us: float, kernel_us: float, between_us: float = 0.0, **facts: Any) -> Graph:
    """One step: a call, one launch, one kernel; then Python."""
    nodes = [
        (HOST, Work.CALL, call_us),
        (HOST, Work.LAUNCH, launch_us),
        (FIRST_STREAM, Work.KERNEL, kernel_us),
        (HOST, Work.BETWEEN, between_us),
    ]
    return graph(nodes, [(2, 1, Edge.LAUNCHED, 0)], **facts)


def reading(call_us: float, launch_us: float, kernel_us: float, between_us: float = 0.0) -> Graph:
    """The same, and the host waits for the kernel before Python goes on."""
    nodes = [
        (HOST, Work.CALL, call_us),
        (HOST, Work.LAUNCH, launch_us),
        (FIRST_STREAM, Work.KERNEL, kernel_us),
        (HOST, Work.SYNC, 0.0),
        (HOST, Work.BETWEEN, between_us),
    ]
    return graph(nodes, [(2, 1, Edge.LAUNCHED, 0), (3, 2, Edge.READ, 0)])


def feeding(making_us: float, training_us: float, *, ahead: int | None) -> Graph:
    """A step that trains for so long on a batch that takes so long to make, ahead or when asked."""
    train = (HOST, Work.DISPATCH, training_us)
    if ahead is None:
        return graph(
            [(HOST, Work.INPUT, making_us), train], [], feed=BatchSupply("inline", np.array([0]), map_share=0.8)
        )
    nodes = [(PRODUCER, Work.PRODUCE, making_us), (HOST, Work.INPUT, 0.0), train]
    waits = [(1, 0, Edge.BATCH, 0), (0, 1, Edge.SLOT, ahead)]
    return graph(nodes, waits, feed=BatchSupply("prefetch", np.array([1]), buffer=ahead, map_share=0.8))


def after(change: Change, before: Graph) -> float:
    return mixture_ms(change.alter(before)) * 1e3


@settings(deadline=None)
@given(lengths, lengths, lengths, lengths)
def test_host_and_device_run_beside_each_other_until_one_reads(
    call: float, launch: float, kernel: float, between: float
) -> None:
    apart, joined = launching(call, launch, kernel, between), reading(call, launch, kernel, between)
    assert traced_ms(apart) * 1e3 == pytest.approx(call + launch + kernel)
    assert steady_ms(apart) * 1e3 == pytest.approx(max(call + launch + between, kernel))
    assert steady_ms(joined) * 1e3 == pytest.approx(call + launch + kernel + between)


@settings(deadline=None)
@given(st.lists(lengths, min_size=1, max_size=30), lengths)
def test_a_step_is_never_shorter_than_its_busiest_resource(kernels: list[float], launch: float) -> None:
    nodes: list[tuple[int, Work, float]] = []
    waits = []
    for kernel in kernels:
        waits.append((len(nodes) + 1, len(nodes), Edge.LAUNCHED, 0))
        nodes += [(HOST, Work.LAUNCH, launch), (FIRST_STREAM, Work.KERNEL, kernel)]
    step_us = steady_ms(graph(nodes, waits)) * 1e3
    assert step_us == pytest.approx(max(sum(kernels), launch * len(kernels)))


@settings(deadline=None)
@given(lengths, st.integers(1, 5))
def test_a_full_queue_holds_the_host_back(kernel: float, depth: int) -> None:
    # A launch waits for the begin of the kernel that was launched `depth` before it.
    nodes = [(HOST, Work.LAUNCH, 0.5), (FIRST_STREAM, Work.KERNEL, kernel)]
    ends = run(graph(nodes, [(1, 0, Edge.LAUNCHED, 0), (0, 1, Edge.QUEUE, depth)]), 20)
    ahead = ends[:, 1] - ends[:, 0]
    assert ahead[-1] == pytest.approx((depth + 1) * kernel - 0.5)


@settings(deadline=None)
@given(lengths, lengths, st.integers(1, 4))
def test_batches_made_ahead_hide_behind_the_training(making: float, training: float, ahead: int) -> None:
    inline, made_ahead = feeding(making, training, ahead=None), feeding(making, training, ahead=ahead)
    assert steady_ms(inline) * 1e3 == pytest.approx(making + training)
    assert steady_ms(made_ahead) * 1e3 == pytest.approx(max(making, training))
    assert after(input_changes.prefetch(ahead), inline) == pytest.approx(max(making, training))
    assert after(input_changes.input_free(), inline) == pytest.approx(training)
    assert after(input_changes.input_free(), made_ahead) == pytest.approx(training)
    assert after(input_changes.parallel_map(4), inline) == pytest.approx(making * 0.4 + training)


@settings(deadline=None)
@given(lengths, lengths, lengths, lengths)
def test_what_comes_once_a_call_is_shared_by_its_steps(
    call: float, launch: float, kernel: float, between: float
) -> None:
    apart, joined = launching(call, launch, kernel, between), reading(call, launch, kernel, between)
    change = host.steps_per_execution(8, now=1)
    assert after(change, apart) == pytest.approx(max((call + between) / 8 + launch, kernel))
    once, seldom = call + launch + kernel + between, max(launch, kernel)
    assert after(change, joined) == pytest.approx(once / 8 + seldom * 7 / 8)
    assert change.hindrance(apart, Known(steps_per_call=8)) is None
    assert host.steps_per_execution(8, now=8).hindrance(apart, Known()) is not None


def test_a_step_of_a_processor_that_follows_no_pause_may_start_sooner() -> None:
    change = callbacks_removed(computing=0.5)
    assert change.most is not None
    for gpu, between, expected in ((False, 100.0, 0.75 * 3 + 1), (False, 1.0, 5.0), (True, 100.0, 5.0)):
        graph = replace(launching(2.0, 3.0, 4.0, between), gpu=gpu)
        work = graph.work.copy()
        work[graph.does(Work.LAUNCH)] = Work.DISPATCH
        altered = change.most(replace(graph, work=work))
        assert isinstance(altered, Graph)
        taken = altered.us[altered.does(Work.CALL, Work.DISPATCH)].sum() / graph.steps
        assert taken == pytest.approx(expected)


@settings(deadline=None)
@given(lengths, lengths, lengths, lengths)
def test_what_is_taken_away_is_gone(call: float, launch: float, kernel: float, between: float) -> None:
    joined = reading(call, launch, kernel, between)
    assert after(callbacks_removed(), joined) == pytest.approx(call + launch + kernel)
    assert after(host.syncs_removed(), joined) == pytest.approx(max(call + launch + between, kernel))
    assert after(host.launches_fused(4), joined) == pytest.approx(call + launch / 4 + kernel + between)
    assert after(device.faster_card(2), joined) == pytest.approx(call + launch + kernel / 2 + between)


@settings(deadline=None)
@given(lengths, st.floats(0.05, 4), st.floats(1, 8))
def test_kernels_grow_once_they_fill_the_card(kernel: float, fill: float, factor: float) -> None:
    step = launching(0.0, 0.1, kernel, fill=np.full(4, fill))
    assert after(device.batch_times(factor), step) == pytest.approx(kernel * max(1, fill * factor) / max(1, fill))
    fixed = replace(step, sized=np.zeros(4, bool))
    assert after(device.batch_times(factor), fixed) == pytest.approx(kernel), "optimisers do not grow with the batch"


def test_only_kernels_that_can_use_tensor_cores_gain_from_them() -> None:
    nodes = [(HOST, Work.LAUNCH, 1.0), (FIRST_STREAM, Work.KERNEL, 300.0), (FIRST_STREAM, Work.KERNEL, 100.0)]
    waits = [(1, 0, Edge.LAUNCHED, 0)]
    eligible = np.array([False, True, False])
    step = graph(nodes, waits, matrix=eligible, compute_capability=7.0)
    assert after(device.fp16(), step) == pytest.approx(200.0)
    assert device.fp16().hindrance(step, Known()) is None
    pascal = replace(step, compute_capability=6.1)
    assert "6.1 has no Tensor Cores" in (device.fp16().hindrance(pascal, Known()) or "")
    assert device.fp16().hindrance(replace(step, matrix=~eligible & False), Known()) is not None


def test_a_function_in_place_of_python_is_promised_only_where_the_work_is_not_in_the_dispatch() -> None:
    nodes = [(HOST, Work.DISPATCH, 500.0), (HOST, Work.LAUNCH, 5.0), (FIRST_STREAM, Work.KERNEL, 20.0)]
    step = graph(nodes, [(2, 1, Edge.LAUNCHED, 0)], eager=True, gpu=True)
    change = host.eager_removed()
    assert change.hindrance(step, Known()) is None
    assert after(change, step) < 500
    assert "on the processor" in (change.hindrance(replace(step, gpu=False), Known()) or "")
    assert change.hindrance(replace(step, eager=False), Known()) == "the training function is compiled already"


def test_what_a_step_takes_beside_python_is_shorter_by_itself_by_the_lock_and_as_any_time_that_comes_again() -> None:
    plain = feeding(50.0, 40.0, ahead=2)
    beside = replace(plain, feed=replace(plain.feed, unknown=1.0))
    most = input_changes.input_free(computing=0.0).most
    assert most is not None
    assert mixture_ms(most(plain)) * 1e3 == pytest.approx(40.0)
    assert mixture_ms(most(beside)) * 1e3 == pytest.approx(40.0 / 2 / (1 + fixed.LEFT_APART))


def copying(copy_us: float, kernel_us: float) -> Graph:
    """A step that takes a batch, copies it after the last kernel, and computes."""
    nodes = [
        (HOST, Work.INPUT, 1.0),
        (HOST, Work.LAUNCH, 1.0),
        (FIRST_STREAM, Work.H2D, copy_us),
        (FIRST_STREAM + 1, Work.KERNEL, kernel_us),
    ]
    waits = [(2, 1, Edge.LAUNCHED, 0), (2, 3, Edge.STREAM, 1), (3, 1, Edge.LAUNCHED, 0), (3, 2, Edge.STREAM, 0)]
    return graph(nodes, waits, feed=BatchSupply("hidden", np.array([0])))


@settings(deadline=None)
@given(st.floats(10, 1e4), st.floats(10, 1e4))
def test_copies_shrink_and_hide(copy: float, kernel: float) -> None:
    step = copying(copy, kernel)
    assert steady_ms(step) * 1e3 == pytest.approx(copy + kernel)
    assert after(device.copies_hidden(), step) == pytest.approx(max(copy, kernel))
    # Five microseconds of a copy are latency.
    assert after(device.uint8_feed(), step) == pytest.approx(5 + (copy - 5) / 4 + kernel)
    assert device.uint8_feed().hindrance(step, Known(feed_dtype="uint8")) == "uint8 is fed already"


# --- whole timelines ---------------------------------------------------------------------------------------------


def timeline(steps: int, *, kernels: int, launch_us: int, kernel_us: int, between_us: int, read_back: bool) -> Timeline:
    """A trace as TensorFlow writes it: markers, a training function, launches every 10 us, and Python after it."""
    names = (
        "train",
        "train_function",
        "cuLaunchKernel",
        "kernel",
        "layer/Conv2D:Conv2D",
        "MemcpyD2H",
        "cuMemcpyDtoHAsync",
    )
    host_rows: list[tuple[int, int, int, int, int]] = []
    kernel_rows: list[tuple[int, int, int]] = []
    copy_rows: list[tuple[int, int, int]] = []
    now, free, number = 0, 0, 0
    for step in range(steps):
        begin = now
        for _ in range(kernels):
            host_rows.append((now, launch_us, 2, number, -1))
            free = max(free, now + launch_us) + kernel_us
            kernel_rows.append((free - kernel_us, kernel_us, number))
            now, number = now + 10, number + 1
        if read_back:
            host_rows.append((now, launch_us, 6, number, -1))
            free = max(free, now + launch_us) + 2
            copy_rows.append((free - 2, 2, number))
            now, number = free, number + 1
        host_rows += [(begin, now - begin, 0, -1, step), (begin, now - begin, 1, -1, -1)]
        now += between_us
    host_rows.sort(key=lambda row: (row[0], -row[1]))
    start, lasts, name, correlation, marked = (np.array(column) for column in zip(*host_rows, strict=True))
    thread = Thread("python3", "h", Events(start * US, lasts * US, name.astype(np.int32), correlation), step=marked)
    return Timeline(
        source="made by hand",
        format="xplane",
        origin_ns=0,
        unix=True,
        names=names,
        devices=(Device("/device:GPU:0", "h", _kernels(kernel_rows), _copies(copy_rows), facts={"sm_count": 10.0}),),
        threads=(thread,),
    )


def _kernels(rows: list[tuple[int, int, int]]) -> Kernels:
    start, lasts, correlation = np.array(rows).T
    whole = np.full(len(rows), 3, np.int32)
    return Kernels(
        start * US, lasts * US, whole, correlation, stream=np.full(len(rows), 13), op=whole + 1,
        grid=np.full((len(rows), 3), (5, 1, 1), np.int32), block=np.full((len(rows), 3), (64, 1, 1), np.int32),
    )  # fmt: skip


def _copies(rows: list[tuple[int, int, int]]) -> Copies:
    start, lasts, correlation = np.array(rows).reshape(-1, 3).T
    return Copies(
        start * US, lasts * US, np.full(len(rows), 5, np.int32), correlation, stream=np.full(len(rows), 15),
        direction=np.full(len(rows), int(Direction.D2H), np.int8), bytes=np.full(len(rows), 4),
    )  # fmt: skip


@settings(deadline=None)
@given(st.integers(3, 6), st.integers(1, 20), st.integers(1, 60), st.integers(0, 500), st.booleans())
def test_a_trace_replays_as_it_was(steps: int, kernels: int, kernel_us: int, between_us: int, read_back: bool) -> None:
    trace = timeline(
        steps, kernels=kernels, launch_us=5, kernel_us=kernel_us, between_us=between_us, read_back=read_back
    )
    replay = predict(break_down(trace))
    assert replay.refused is None
    assert replay.error_fraction == pytest.approx(0.0, abs=0.02)
    dispatched = 10 * kernels + between_us
    busy = kernels * kernel_us
    if not read_back:
        assert replay.steady_ms == pytest.approx(max(dispatched, busy) / 1e3, rel=0.02)
    for made in replay.predictions:
        assert made.low_ms <= made.step_ms <= made.high_ms
        assert made.gain.ratio <= made.bound * 1.0001
        assert made.assumption


def test_callbacks_and_batch_of_a_whole_trace() -> None:
    trace = timeline(4, kernels=10, launch_us=5, kernel_us=4, between_us=900, read_back=True)
    replay = predict(break_down(trace), Known(feed_dtype="float32"))
    assert replay.steady_ms == pytest.approx(1.007, rel=0.02)
    without = replay.of("callbacks_removed")
    assert without is not None
    assert without.step_ms == pytest.approx(0.107, rel=0.05)
    assert without.gain.ratio == pytest.approx(1.007 / 0.107, rel=0.06)
    # Half a block a multiprocessor: twice the batch would still fit, four times does not.
    larger = replay.of("batch_times")
    assert larger is not None
    assert larger.gain.ratio == pytest.approx(4.0, rel=0.05)
    assert {found.change for found in replay.unpredicted} >= {"input_free", "compiling_removed", "uint8_feed", "fp16"}


def test_the_untraced_step_is_what_gains_count_from() -> None:
    trace = timeline(4, kernels=50, launch_us=5, kernel_us=4, between_us=100, read_back=False)
    made = break_down(trace)
    quicker = predict(made, Known(untraced_step_ms=0.5))
    assert quicker.steady_ms == pytest.approx(0.5)
    without = quicker.of("callbacks_removed")
    assert without is not None
    assert without.step_ms == pytest.approx(0.4, rel=0.02), "the launches are quicker without the profiler, not Python"
    slower = predict(made, Known(untraced_step_ms=1.2))
    unseen = slower.of("callbacks_removed")
    assert unseen is not None
    assert unseen.step_ms == pytest.approx(1.1, rel=0.02), "what the trace does not show stays"
    usual = predict(made, Known(untraced_step_ms=2.0, usual_step_ms=1.5)).of("callbacks_removed")
    assert usual is not None
    assert usual.step_ms == pytest.approx(0.5 / 0.6 * 1.5 + 0.5, rel=0.02), "what the usual step has of it shrinks too"


def test_a_range_is_no_finer_than_the_step_repeats() -> None:
    trace = timeline(4, kernels=50, launch_us=5, kernel_us=4, between_us=100, read_back=False)
    calm, noisy, useless = (
        predict(break_down(trace), Known(repeats_within=part)).predictions for part in (0.0, 0.2, 3.0)
    )
    assert [found.change for found in useless] == [found.change for found in calm]
    assert all(0 < found.low_ms <= max(0.2 * found.step_ms, 1.001 * utmost_ms(found)) for found in useless)
    assert calm
    for narrow, wide in zip(calm, noisy, strict=True):
        assert wide.step_ms == narrow.step_ms
        utmost = utmost_ms(wide)
        assert utmost <= wide.low_ms <= max(min(0.8 * wide.step_ms, 0.9 * narrow.low_ms), 1.001 * utmost)
        assert wide.high_ms >= max(1.2 * wide.step_ms, 1.1 * narrow.high_ms)


def utmost_ms(made: Prediction) -> float:
    """The step, of as many samples, if what the change makes less of went altogether."""
    return made.step_ms * made.gain.ratio / made.bound * (1 - 1e-9)


@pytest.mark.parametrize("drifts", [False, True])
def test_how_far_a_step_repeats_is_told_from_its_own_window(drifts: bool) -> None:
    random = np.random.default_rng(0)

    def window() -> np.ndarray:
        # A machine that has two speeds keeps each for a while.
        speeds = np.repeat(random.choice([1.0, 1.4], 16), 4) if drifts else np.ones(64)
        return random.normal(20.0, 2.0, 64) * speeds

    pairs = [(window(), window()) for _ in range(400)]
    held = [abs(again.mean() / first.mean() - 1) <= repeats(first) for first, again in pairs]
    assert np.mean(held) > 0.9
    assert np.mean([repeats(first) for first, _ in pairs]) < (0.35 if drifts else 0.08)
    assert repeats(np.full(64, 20.0)) == repeats([20.0, 30.0]) == 0.0


def test_nothing_is_predicted_from_what_cannot_be_replayed() -> None:
    trace = timeline(4, kernels=10, launch_us=5, kernel_us=4, between_us=100, read_back=True)
    alone = replace(trace, threads=())
    replay = predict(break_down(alone))
    assert not replay.predictions
    assert replay.refused
    nothing = replace(trace, threads=(), devices=())
    assert predict(break_down(nothing)) == Replay(refused="there is no step to replay")


def test_findings_get_the_gain_of_their_cure() -> None:
    made = Prediction(
        change="prefetch_2", step_ms=5.0, low_ms=4.0, high_ms=6.0, gain=Gain(ratio=2.0), bound=3.0,
        replay_error_fraction=0.0, assumption="so",
    )  # fmt: skip
    replay = Replay(predictions=(made,))
    finding = Finding(
        cause="input_bound", stage="no_prefetch", primary=True, severity=0.5, confidence="high", claim="c",
        evidence=(), fix="f",
    )  # fmt: skip
    assert advised([finding], Evidence(), DEFAULTS, replay)[0].predicted_gain == made.gain
    assert cure(replay, "input_bound") is None
    assert cure(replay, "wrong_meter") is None


def test_recorded_traces_replay_within_five_percent(real_traces: Path) -> None:
    errors = []
    for path in sorted((real_traces / "tensorflow").glob("*-0[1-4].xplane.pb")):
        trace = read(path)
        replay = predict(break_down(trace), changes=())
        assert replay.error_fraction is not None, path.name
        errors.append(abs(replay.error_fraction))
    assert errors
    assert float(np.mean(np.array(errors) <= 0.05)) >= 0.9
    assert float(np.median(errors)) <= 0.02


def test_a_quarter_of_a_copy_takes_a_quarter_of_its_time_on_recorded_traces(real_traces: Path) -> None:
    gains = []
    for path in sorted((real_traces / "tensorflow").glob("*-0[1-6].xplane.pb")):
        trace = read(path)
        workings = break_down(trace)
        first = workings.breakdown.devices[0]
        share = first.ledger_ms["gpu_copy_h2d"] / first.step_ms
        if share > 0.1:
            made = predict(workings, changes=[device.uint8_feed()]).predictions
            gains.append(made[0].gain.ratio * (1 - 0.75 * share))
    assert gains
    assert gains == pytest.approx([1.0] * len(gains), abs=0.05)


@pytest.mark.parametrize("early_ms", [0.0, 0.06, 0.12])
def test_a_copy_from_pageable_memory_holds_the_host_until_it_is_staged(early_ms: float) -> None:
    made = Made()
    for at in (0, 100, 200):
        made.host(at, at + 90, "train_function").copy(at + 10, at + 50, launch=at + 9, direction=Direction.H2D)
        start, _, name, number, step = made.calls["python"].pop()
        made.calls["python"].append((start, at + 50 - early_ms, name, number, step))
        made.kernel(at + 51, at + 90, launch=at + 50)
    trace = made.timeline()
    (prediction,) = predict(break_down(trace), changes=[device.uint8_feed()]).predictions
    assert prediction.gain.ratio == pytest.approx(100 / 70, abs=0.02)
