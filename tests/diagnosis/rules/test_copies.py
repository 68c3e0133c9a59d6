"""Copies that no kernel hides: which way the longest go decides what is said and advised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.rules.gpu_state import pcie_degraded
from gpuprobe.ledger.breakdown import break_down
from gpuprobe.records import Evidence, Signal
from gpuprobe.simulate import xplane
from gpuprobe.simulate.engine import simulate
from gpuprobe.simulate.spec import Copies, Spec
from gpuprobe.thresholds import DEFAULTS
from gpuprobe.traces.read import read
from gpuprobe.whatif.predict import predict
from tests.helpers.simulated import SMALL

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.diagnosis.records import Finding


def copying(copies: Copies, folder: Path, framework: str = "") -> Finding:
    """Return what is found of a training with little computing and these copies, as one of copies."""
    broken = break_down(read(xplane.write(simulate(Spec(kernels=SMALL, copies=copies)), folder, 10**18)))
    breakdown = replace(broken.breakdown, framework=framework) if framework else broken.breakdown
    found = diagnose(Case(breakdown, predict(broken)))
    return next(finding for finding in found.findings if finding.cause == "copy_bound")


@pytest.mark.parametrize(
    ("copies", "stage", "said"),
    [
        (Copies(batch_mib=60.0), "to_gpu", "from the host to the GPU"),
        (Copies(batch_mib=0.1, back_mib=200.0), "to_host", "from the GPU to the host"),
        (Copies(batch_mib=0.1, on_card_mib=4000.0), "on_gpu", "stay on the GPU"),
    ],
)
def test_the_longest_copies_decide_what_is_advised(copies: Copies, stage: str, said: str, tmp_path: Path) -> None:
    found = copying(copies, tmp_path)
    assert found.stage == stage
    assert said in found.claim
    of_batches = "uint8" in found.fix + found.code or "prefetch" in found.fix + found.code
    assert of_batches == (stage == "to_gpu")
    assert (found.predicted_gain is not None) == (stage == "to_gpu")


@pytest.mark.parametrize(
    ("framework", "copies", "code"),
    [
        ("jax", Copies(batch_mib=0.1, on_card_mib=4000.0), "donate_argnums"),
        ("pytorch", Copies(batch_mib=0.1, back_mib=200.0), 'argmax(-1).to("cpu"'),
        ("pytorch", Copies(batch_mib=60.0), 'batch.to("cuda"'),
    ],
)
def test_other_frameworks_are_advised_by_the_direction_too(
    framework: str, copies: Copies, code: str, tmp_path: Path
) -> None:
    assert code in copying(copies, tmp_path, framework).code


@pytest.mark.parametrize(("on_gpu", "found"), [(0.0, True), (0.4, False)])
def test_a_slow_link_slows_no_copies_on_the_gpu(on_gpu: float, found: bool) -> None:
    values = {
        "pcie_generation_fraction": 1.0,
        "pcie_width_fraction": 0.5,
        "share.copy": 0.4,
        "share.gpu_copy_d2d": on_gpu,
    }
    signals = tuple(Signal(name=name, unit="", source="test", value=value) for name, value in values.items())
    assert (pcie_degraded(Evidence(signals=signals), DEFAULTS) is not None) is found
