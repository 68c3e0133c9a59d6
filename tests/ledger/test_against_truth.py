"""The ledger against the truth: the same breakdown from the trace and from what the simulator knows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.ledger.records import DeviceBreakdown
from gpuprobe.simulate import xplane
from gpuprobe.simulate.engine import simulate
from gpuprobe.simulate.session import Session
from gpuprobe.simulate.spec import Card, Collective, Copies, Host, Input, Kernels, Recording, Spec
from gpuprobe.simulate.truth import TrueDevice, device_truth
from gpuprobe.traces.read import read
from tests.helpers.simulated import SMALL, specs

# What the project asks of the ledger: every category within so much of the step.
CLOSE = 0.02
BASE = Spec(kernels=SMALL, steps=4)
SPECS = {
    "busy": BASE,
    "input ahead": replace(BASE, input=Input(map_ms=40.0, parallel_calls=1, prefetch=2)),
    "input when asked": replace(BASE, input=Input(map_ms=12.0, parallel_calls=1, prefetch=0)),
    "generator": replace(BASE, input=Input(feed="generator", python_ms=12.0, prefetch=1)),
    "Python loop": replace(BASE, input=Input(feed="python", python_ms=12.0), host=Host(sync_every=1)),
    "launches": replace(BASE, kernels=Kernels(count=100, mean_us=5.0), host=Host(dispatch_us=60.0)),
    "WDDM": replace(BASE, kernels=Kernels(count=100, mean_us=5.0), host=Host(wddm_batch=16, wddm_submit_us=300.0)),
    "copies": replace(BASE, copies=Copies(batch_mib=100.0)),
    "pageable": replace(BASE, copies=Copies(batch_mib=60.0, pinned=False)),
    "back": replace(BASE, copies=Copies(back_mib=60.0)),
    "on the card": replace(BASE, copies=Copies(on_card_mib=2000.0)),
    "syncs": replace(BASE, host=Host(syncs_in_step=10, sync_wake_us=1000.0)),
    "callbacks": replace(BASE, host=Host(callback_ms=30.0, sync_every=1)),
    "eager": replace(BASE, host=Host(eager=True, eager_op_us=300.0)),
    "XLA compiles": replace(BASE, host=Host(compile_every=2, compile_ms=60.0, sync_every=1)),
    "retraces": replace(BASE, host=Host(compile_every=2, compile_ms=60.0, compile_kind="retracing", sync_every=1)),
    "allocates": replace(BASE, host=Host(allocations=10, allocation_us=1500.0)),
    "several GPUs": replace(BASE, collective=Collective(gpus=2, allreduce_ms=6.0, straggler=1, straggler_slowdown=2.0)),
    "reads from one GPU after the other": replace(
        BASE,
        kernels=Kernels(count=5, mean_us=2000.0),
        host=Host(dispatch_us=100.0, queue_depth=1, callback_ms=3.0, sync_every=1),
        copies=Copies(back_mib=4.0, pinned=False),
        collective=Collective(gpus=3, straggler=1, straggler_slowdown=2.0),
    ),
    "waits for one GPU in the middle of a call": replace(
        BASE,
        kernels=Kernels(count=20, mean_us=100.0),
        host=Host(dispatch_us=80.0, steps_per_execution=3, syncs_in_step=1),
        collective=Collective(gpus=2, straggler=0, straggler_slowdown=2.0),
    ),
    "several streams": replace(
        BASE, kernels=Kernels(count=120, mean_us=10.0, streams=3), host=Host(wddm_batch=4, wddm_submit_us=126.0)
    ),
    "several steps a call": replace(BASE, host=Host(steps_per_execution=4, callback_ms=20.0, sync_every=1)),
    "works on the host": replace(BASE, host=Host(host_work_ms=24.0, host_work_pieces=4)),
    "loads code": replace(BASE, host=Host(once_ms=250.0)),
    "tries kernels": replace(BASE, host=Host(once_ms=60.0, once_kind="autotuning")),
    "specialises": replace(BASE, host=Host(once_ms=60.0, once_kind="specialising")),
    "another process": replace(BASE, card=Card(other_process_share=0.4)),
    "the form of 2020": replace(
        BASE, recording=Recording(style="2020"), input=Input(map_ms=12.0, parallel_calls=1, prefetch=0)
    ),
}


def both(session: Session, folder: Path) -> list[tuple[DeviceBreakdown, TrueDevice]]:
    found = breakdown_of(read(xplane.write(session, folder, 10**18)))
    truths = [device_truth(session.recorded, index) for index in range(session.devices)]
    return list(zip(found.devices, truths, strict=True))


def compiling_together(ledger_ms: dict[str, float]) -> dict[str, float]:
    """Steps as few as these do not show whether what the first of them compiles is compiled again."""
    once = ledger_ms.get("idle_once", 0.0)
    return ledger_ms | {"idle_compile": ledger_ms.get("idle_compile", 0.0) + once, "idle_once": 0.0}


def check(breakdown: DeviceBreakdown, truth: TrueDevice, allow_ms: float = 0.0) -> None:
    assert len(breakdown.each_step) == len(truth.steps_ms)
    found = [compiling_together(step.ledger_ms) for step in breakdown.each_step]
    for category, true_ms in compiling_together(truth.ledger_ms).items():
        mean_ms = sum(step.get(category, 0.0) for step in found) / len(found)
        assert mean_ms == pytest.approx(true_ms, abs=max(CLOSE * truth.step_ms, allow_ms)), category


@pytest.mark.parametrize("kind", SPECS)
def test_the_ledger_finds_every_category(kind: str, tmp_path: Path) -> None:
    for breakdown, truth in both(simulate(SPECS[kind]), tmp_path):
        check(breakdown, truth)
        assert breakdown.kernel_fraction == pytest.approx(truth.kernel_fraction, abs=0.005)
        assert breakdown.exposed_copy_fraction == pytest.approx(truth.exposed_copy_fraction, abs=0.01)
        assert breakdown.gpu_span_ms == pytest.approx(truth.gpu_span_ms)


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("input when asked", "input_bound"),
        ("copies", "copy_bound"),
        ("callbacks", "host_between_steps"),
        ("syncs", "sync_every_step"),
        ("launches", "launch_bound"),
    ],
)
def test_without_correlation_the_cause_is_told_less_surely(kind: str, cause: str, tmp_path: Path) -> None:
    session = simulate(replace(SPECS[kind], recording=Recording(correlated=False)))
    breakdown = breakdown_of(read(xplane.write(session, tmp_path, 10**18)))
    primary = diagnose(Case(breakdown)).primary
    assert primary is not None
    assert (primary.cause, primary.confidence) == (cause, "medium")
    # Launched or not yet is what nobody can tell; the two together are as they were.
    truth = device_truth(session.recorded, 0)
    found = breakdown.devices[0].ledger_ms
    launch = found["idle_launch"] + found["idle_queue"]
    assert launch == pytest.approx(
        truth.ledger_ms["idle_launch"] + truth.ledger_ms["idle_queue"], abs=0.02 * truth.step_ms
    )


def test_on_the_cpu_too(tmp_path: Path) -> None:
    slow = replace(BASE, card=Card(on_gpu=False), input=Input(map_ms=20.0, parallel_calls=1, prefetch=0))
    ((breakdown, truth),) = both(simulate(slow), tmp_path)
    check(breakdown, truth)


@given(spec=specs())
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_the_mix(spec: Spec, tmp_path: Path) -> None:
    # Steps of a millisecond or less may differ by the few launch calls that remain. The call of the train function that
    # work of its thread follows, before anything is launched, is taken for a part of that work; and a copy that another
    # thread launches meanwhile may leave a rest of a piece that is no longer than a launch on its way.
    host = spec.host
    rests_ms = 3.0 * host.host_work_pieces * host.steps_per_execution
    on_the_way_ms = (host.function_call_us + host.dispatch_us) / 1000
    allow_ms = 0.05 + (on_the_way_ms + rests_ms if host.host_work_ms else 0.0)
    # Work of the host between a launch and its start is not told from a start that is late: so under WDDM. Of so few
    # steps it is not told from work that is done once either.
    host = replace(spec.host, once_ms=0.0, wddm_batch=1 if spec.host.host_work_ms else spec.host.wddm_batch)
    whole = replace(spec, recording=Recording(), host=host)
    for breakdown, truth in both(simulate(whole), tmp_path):
        check(breakdown, truth, allow_ms)
