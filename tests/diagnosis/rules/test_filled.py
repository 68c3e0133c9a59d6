"""How much of the card kernels fill: an exchange beside them, or another stream, is no sign of too small a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.records import Signal
from gpuprobe.simulate import xplane
from gpuprobe.simulate.engine import simulate
from gpuprobe.simulate.spec import Collective, Kernels, Spec
from gpuprobe.traces.read import read

if TYPE_CHECKING:
    from pathlib import Path

OVERLAPPED = Collective(gpus=2, allreduce_ms=20, buckets=4, overlap=True)


@pytest.mark.parametrize(
    ("spec", "small"),
    [
        (Spec(collective=OVERLAPPED), False),
        (Spec(collective=OVERLAPPED, kernels=Kernels(sm_fill=0.3)), True),
        (Spec(kernels=Kernels(sm_fill=0.3)), True),
        (Spec(), False),
    ],
)
def test_an_exchange_under_computing_makes_no_batch_too_small(spec: Spec, small: bool, tmp_path: Path) -> None:
    breakdown = breakdown_of(read(xplane.write(simulate(spec), tmp_path, 10**18)))
    batch = Signal(name="batch_size", unit="samples", source="test", value=64.0)
    causes = {finding.cause for finding in diagnose(Case(breakdown, settings=(batch,))).findings}
    assert ("batch_too_small" in causes) is small
