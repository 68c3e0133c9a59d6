"""The simulated session: what must hold of every one, whatever its knobs, and what each knob does."""

from __future__ import annotations

import itertools
from bisect import bisect_right

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpuprobe.simulate import ledger, truth, xplane
from gpuprobe.simulate.engine import simulate, steady
from gpuprobe.simulate.session import DeviceOp, Kind, Session
from gpuprobe.simulate.spec import Card, Collective, Copies, Host, Input, Kernels, Spec, WholeRun
from tests.helpers.simulated import SMALL, floats, specs

HEALTHY = Spec(kernels=SMALL, steps=4)

# Reads the loss every step, so that nothing of one step hides behind another.
READING = replace(HEALTHY, host=Host(sync_every=1))


def ledger_ms(spec: Spec) -> dict[str, float]:
    steps = ledger.breakdown(simulate(spec), 0)
    return {name: sum(step[name] for step in steps) / 1e6 / len(steps) for name in steps[0]}


@given(specs())
@settings(max_examples=150, deadline=None)
def test_the_account_of_every_step_sums_to_its_length(spec: Spec) -> None:
    session = simulate(spec)
    for device in range(session.devices):
        steps = ledger.breakdown(session, device)
        for step, (begin, end) in zip(steps, ledger.windows(session, device), strict=True):
            assert sum(step.values()) == end - begin
            assert all(value >= 0 for value in step.values())


@given(specs())
@settings(max_examples=150, deadline=None)
def test_a_stream_runs_one_operation_at_a_time_and_after_its_launch(spec: Spec) -> None:
    session = simulate(spec)
    streams: dict[tuple[int, int], list[DeviceOp]] = {}
    for op in session.ops:
        assert op.call[0] <= op.call[1]
        assert op.call[0] <= op.start_ns <= op.end_ns
        streams.setdefault((op.device, op.stream), []).append(op)
    for ops in streams.values():
        ops.sort(key=lambda op: (op.start_ns, op.end_ns))
        assert all(first.end_ns <= second.start_ns for first, second in itertools.pairwise(ops))


@given(specs())
@settings(max_examples=150, deadline=None)
def test_the_launch_queue_never_holds_more_than_it_can(spec: Spec) -> None:
    session = simulate(replace(spec, copies=replace(spec.copies, ahead=False)))
    for device in range(session.devices):
        ops = [op for op in session.ops if op.device == device]
        starts = sorted(op.start_ns for op in ops)
        for number, op in enumerate(sorted(ops, key=lambda op: op.call), start=1):
            # All up to this one were launched when its call returned; those that started by then have left.
            # Rounding to nanoseconds may place a start just after the return that it allowed.
            assert number - bisect_right(starts, op.call[1] + 1) <= spec.host.queue_depth


@given(specs())
@settings(max_examples=15, deadline=None)
def test_the_same_spec_gives_the_same_bytes(spec: Spec) -> None:
    first, second = (xplane.encode(simulate(spec), 10**18).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_another_seed_gives_another_session() -> None:
    assert simulate(HEALTHY).ops != simulate(replace(HEALTHY, seed=1)).ops


@given(st.integers(0, 3), floats(0.0, 20.0), floats(0.0, 20.0))
@settings(max_examples=30, deadline=None)
def test_slower_input_never_waits_less(prefetch: int, map_ms: float, more_ms: float) -> None:
    # The loss is read every step, so that no step's wait hides behind the kernels of the one before.
    def waited_ms(given_ms: float) -> float:
        given = Input(map_ms=given_ms, parallel_calls=1, prefetch=prefetch)
        return ledger_ms(replace(HEALTHY, input=given, host=Host(sync_every=1)))["idle_input"]

    assert waited_ms(map_ms + more_ms) >= waited_ms(map_ms) - 1e-6


@pytest.mark.parametrize(
    ("spec", "category", "expected_ms"),
    [
        (replace(HEALTHY, input=Input(map_ms=30.0, parallel_calls=1, prefetch=0)), "idle_input", 30.0),
        (replace(HEALTHY, host=Host(callback_ms=20.0, sync_every=1)), "idle_between_steps", 15.0),
        (replace(HEALTHY, kernels=Kernels(count=100, mean_us=3.0), host=Host(dispatch_us=90.0)), "idle_launch", 8.7),
        (replace(HEALTHY, host=Host(syncs_in_step=10, sync_wake_us=1000.0)), "idle_sync", 10.0),
        (replace(HEALTHY, host=Host(compile_every=1, compile_ms=40.0, sync_every=1)), "idle_compile", 40.0),
        (replace(HEALTHY, host=Host(allocations=5, allocation_us=2000.0, sync_every=1)), "idle_memory", 10.0),
        (replace(READING, copies=Copies(batch_mib=60.0, link_gb_per_s=6.0)), "gpu_copy_h2d", 10.5),
        (replace(HEALTHY, copies=Copies(back_mib=60.0, link_gb_per_s=6.0)), "gpu_copy_d2h", 10.5),
        (replace(HEALTHY, copies=Copies(on_card_mib=3000.0)), "gpu_copy_d2d", 10.2),
        (replace(HEALTHY, collective=Collective(gpus=2, allreduce_ms=9.0)), "gpu_collective", 9.0),
        (replace(READING, host=Host(host_work_ms=12.0, host_work_pieces=3, sync_every=1)), "idle_host_work", 9.9),
        (replace(READING, host=Host(once_ms=40.0, once_call=2, sync_every=1)), "idle_once", 10.0),
    ],
)
def test_a_trouble_is_found_in_its_category(spec: Spec, category: str, expected_ms: float) -> None:
    spent = ledger_ms(replace(spec, noise=0.0))
    assert spent[category] == pytest.approx(expected_ms, rel=0.08)
    assert ledger_ms(replace(HEALTHY, noise=0.0))[category] < 0.1 * expected_ms


def test_wddm_batches_wait_in_the_queue() -> None:
    tiny = replace(HEALTHY, kernels=Kernels(count=100, mean_us=3.0))
    wddm = replace(tiny, host=Host(wddm_batch=50, wddm_submit_us=500.0))
    assert ledger_ms(wddm)["idle_queue"] > 3 * ledger_ms(tiny)["idle_queue"]


def test_prefetch_hides_input_that_is_faster_than_the_step() -> None:
    slow = Input(map_ms=2.0, parallel_calls=1, prefetch=0)
    sequential = replace(HEALTHY, input=slow, host=Host(sync_every=1))
    ahead = replace(sequential, input=replace(slow, prefetch=2))
    assert steady(sequential).step_ms - steady(ahead).step_ms == pytest.approx(2.4, rel=0.1)


def test_another_process_stretches_the_kernels() -> None:
    shared = replace(HEALTHY, card=Card(other_process_share=0.5))
    assert steady(shared).step_ms == pytest.approx(2 * steady(HEALTHY).step_ms, rel=0.05)


def test_a_straggler_holds_all_up() -> None:
    pair = replace(HEALTHY, collective=Collective(gpus=2, allreduce_ms=1.0))
    held = replace(pair, collective=Collective(gpus=2, allreduce_ms=1.0, straggler=1, straggler_slowdown=2.0))
    assert steady(held).step_ms > 1.6 * steady(pair).step_ms
    assert ledger_ms(held)["gpu_collective"] > ledger_ms(pair)["gpu_collective"]


def test_on_the_cpu_the_account_is_the_cpus() -> None:
    spent = ledger_ms(replace(HEALTHY, card=Card(on_gpu=False)))
    assert set(spent) == set(ledger.CPU_CATEGORIES)
    assert spent["cpu_compute"] > 0.9 * sum(spent.values())


CAUSES = {
    "compute_bound": HEALTHY,
    "input_bound": replace(HEALTHY, input=Input(map_ms=40.0, parallel_calls=1, prefetch=2)),
    "launch_bound": replace(HEALTHY, kernels=Kernels(count=100, mean_us=5.0), host=Host(dispatch_us=60.0)),
    "batch_too_small": replace(HEALTHY, kernels=replace(SMALL, sm_fill=0.2)),
    "copy_bound": replace(HEALTHY, copies=Copies(batch_mib=100.0)),
    "sync_every_step": replace(HEALTHY, host=Host(syncs_in_step=10, sync_wake_us=1000.0)),
    "host_between_steps": replace(HEALTHY, host=Host(callback_ms=30.0)),
    "eager_or_retracing": replace(HEALTHY, host=Host(eager=True, eager_op_us=400.0)),
    "recompiling": replace(HEALTHY, host=Host(compile_every=2, compile_ms=60.0)),
    "tensor_cores_unused": replace(HEALTHY, kernels=replace(SMALL, dtype="float32", matmul_share=0.8)),
    "fp16_without_tensor_cores": replace(
        HEALTHY, card=Card(compute_capability="6.1"), kernels=replace(SMALL, matmul_share=0.8, fp16_slowdown=2.0)
    ),
    "throttled": replace(HEALTHY, card=Card(clock_fraction=0.6)),
    "pcie_degraded": replace(HEALTHY, card=Card(pcie_fraction=0.1), copies=Copies(batch_mib=20.0)),
    "gpu_shared": replace(HEALTHY, card=Card(other_process_share=0.5)),
    "gpu_memory_tight": replace(HEALTHY, host=Host(allocations=10, allocation_us=1500.0)),
    "collective_bound": replace(HEALTHY, collective=Collective(gpus=2, allreduce_ms=10.0)),
    "straggler": replace(HEALTHY, collective=Collective(gpus=2, allreduce_ms=0.5, straggler=1, straggler_slowdown=3.0)),
    "not_on_gpu": replace(HEALTHY, card=Card(on_gpu=False)),
    "host_work": replace(HEALTHY, host=Host(host_work_ms=12.0, host_work_pieces=2)),
    "one_time_work": replace(HEALTHY, host=Host(once_ms=60.0, once_kind="autotuning")),
    "epoch_start": replace(HEALTHY, run=WholeRun(steps_per_epoch=100, epoch_start_ms=300.0)),
    "validation": replace(HEALTHY, run=WholeRun(steps_per_epoch=100, validation_ms=300.0)),
    "checkpointing": replace(HEALTHY, run=WholeRun(steps_per_epoch=100, checkpoint_ms=300.0)),
    "startup": replace(HEALTHY, run=WholeRun(steps_per_epoch=100, epochs=1, startup_s=1.0)),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_the_primary_cause_is_what_was_put_in(cause: str) -> None:
    told = truth.tell(CAUSES[cause])
    assert told.primary == cause
    assert told.healthy is (cause == "compute_bound")
    assert told.answerable


@pytest.mark.parametrize(
    ("given", "stage"),
    [
        (Input(map_ms=60.0, parallel_calls=1), "slow_map"),
        (Input(read_ms=60.0, cache="cold"), "cold_cache"),
        (Input(shuffle_fill_ms=300.0, shuffle_fill_every=4), "shuffle_fill"),
        (Input(map_ms=3.0, parallel_calls=1, prefetch=0), "no_prefetch"),
        (Input(feed="generator", python_ms=30.0), "python_feed"),
    ],
)
def test_the_stage_of_the_input_is_the_one_to_mend(given: Input, stage: str) -> None:
    told = truth.tell(replace(HEALTHY, input=given, host=Host(sync_every=1)))
    assert (told.primary, told.stage) == ("input_bound", stage)


def test_a_fix_is_the_session_simulated_again() -> None:
    spec = CAUSES["input_bound"]
    told = truth.tell(spec)
    free = replace(spec.input, read_ms=0.0, map_ms=0.0, batch_ms=0.0, python_ms=0.0, get_next_us=0.0)
    again = steady(replace(spec, input=free))
    assert told.fixes["input_free"].step_ms == pytest.approx(again.step_ms)
    assert told.fixes["input_free"].ratio == pytest.approx(told.step_ms / again.step_ms)
    assert told.fixes["callbacks_removed"].ratio == pytest.approx(1.0, abs=0.05)


def test_without_host_events_nobody_can_tell_why_it_is_idle() -> None:
    for cause, answerable in (("input_bound", False), ("compute_bound", True)):
        spec = CAUSES[cause]
        blind = replace(spec, recording=replace(spec.recording, host_events=False))
        assert truth.tell(blind).answerable is answerable


def exposed(session: Session) -> int:
    kernels = ledger.union((op.start_ns, op.end_ns) for op in session.ops if op.kind is Kind.KERNEL)
    return sum(end - begin for begin, end in kernels)


def test_truth_and_session_agree_on_the_kernels() -> None:
    session = simulate(HEALTHY)
    device = truth.tell(HEALTHY, session).devices[0]
    assert device.gpu_span_ms is not None
    assert device.kernel_fraction == pytest.approx(exposed(session) / 1e6 / device.gpu_span_ms)
    assert sum(device.ledger_ms.values()) == pytest.approx(device.step_ms)
