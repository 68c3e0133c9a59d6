"""Which stage of the input is to blame, against simulated sessions whose truth is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.recorded import recorded
from gpuprobe.simulate.sessions import write_session
from gpuprobe.simulate.spec import Input, Kernels, Recording, Spec


@pytest.mark.parametrize(
    "given",
    [
        Input(map_ms=60, parallel_calls=1),
        Input(map_ms=60, parallel_calls=1, prefetch=0),
        Input(map_ms=200, parallel_calls=4),
        Input(read_ms=60, map_ms=1),
        Input(shuffle_fill_ms=300, map_ms=1),
        Input(feed="generator", python_ms=60, prefetch=1),
    ],
    ids=["map", "map, no prefetch", "parallel map", "reading", "shuffling", "generator"],
)
def test_a_simulated_input_is_blamed_for_what_is_true(tmp_path: Path, given: Input) -> None:
    plain = Spec(kernels=Kernels(count=20), recording=Recording(window_s=0.5))
    truth = write_session(replace(plain, input=given), tmp_path / "study")
    (run,) = (tmp_path / "study" / "runs").iterdir()
    found = recorded(run, what_if=False)
    primary = diagnose(found).primary
    assert primary is not None
    assert (primary.cause, primary.stage) == (truth.primary, truth.stage)
