"""The breakdown of simulated sessions, read back from the XPlane files they leave, against what is true of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.simulate import ledger, xplane
from gpuprobe.simulate.engine import simulate
from gpuprobe.simulate.spec import Card, Collective, Copies, Host, Input, Kernels, Spec
from gpuprobe.traces.read import read
from tests.helpers.simulated import SMALL

START_NS = 1_700_000_000_000_000_000
# Of the step's wall time, for each category.
CLOSE = 0.02
TINY = Kernels(count=60, mean_us=6.0)

SESSIONS = {
    "healthy": Spec(steps=4, kernels=SMALL),
    "slow_map": Spec(steps=4, kernels=SMALL, input=Input(map_ms=60.0)),
    "no_prefetch": Spec(steps=4, kernels=SMALL, input=Input(map_ms=10.0, prefetch=0)),
    "launches": Spec(steps=4, kernels=TINY, host=Host(dispatch_us=25.0)),
    "wddm": Spec(steps=4, kernels=TINY, host=Host(wddm_batch=10, wddm_submit_us=100.0)),
    "eager": Spec(steps=4, kernels=TINY, host=Host(eager=True)),
    "callbacks": Spec(steps=4, kernels=SMALL, host=Host(callback_ms=12.0)),
    "reads": Spec(steps=4, kernels=SMALL, host=Host(sync_every=1, syncs_in_step=5)),
    "copies": Spec(steps=4, kernels=SMALL, copies=Copies(batch_mib=40.0, pinned=False, on_card_mib=64.0)),
    "compiles": Spec(steps=4, kernels=SMALL, host=Host(compile_every=2, compile_ms=20.0)),
    "allocates": Spec(steps=4, kernels=SMALL, host=Host(allocations=3, allocation_us=900.0)),
    "exchange": Spec(steps=4, kernels=SMALL, collective=Collective(gpus=2, allreduce_ms=4.0, straggler_slowdown=1.5)),
    "streams": Spec(steps=4, kernels=Kernels(count=40, mean_us=60.0, streams=3)),
    "processor": Spec(steps=4, kernels=SMALL, card=Card(on_gpu=False)),
}


@pytest.mark.parametrize("name", SESSIONS)
def test_every_category_of_a_session(name: str, tmp_path: Path) -> None:
    session = simulate(SESSIONS[name])
    xplane.write(session, tmp_path, START_NS)
    breakdown = breakdown_of(read(tmp_path))
    assert len(breakdown.devices) == session.devices
    for place, device in enumerate(breakdown.devices):
        true = ledger.breakdown(session, place)
        assert device.steps == len(true)
        total_ms = sum(step.step_ms for step in device.each_step)
        assert total_ms == pytest.approx(sum(sum(step.values()) for step in true) / 1e6, rel=1e-6)
        for category in device.ledger_ms:
            ours = sum(step.ledger_ms[category] for step in device.each_step)
            theirs = sum(step[category] for step in true) / 1e6
            assert abs(ours - theirs) <= CLOSE * total_ms, f"{category}: {ours} and not {theirs} of {total_ms} ms"
