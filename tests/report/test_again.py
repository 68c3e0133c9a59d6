"""The command that measures a strategy again asks for the same backend."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gpuprobe.recording import STUDY_FILE
from gpuprobe.records import StrategyInfo, Study, load
from gpuprobe.report.again import measured_again
from tests.helpers.studies import SimulatedStrategy, simulate_study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A study of two strategies, as if it had been measured here."""
    simulate_study(tmp_path, (SimulatedStrategy(name="numpy", step_ms=50.0),))
    made = load(Study, tmp_path / STUDY_FILE)
    environment = msgspec.structs.replace(made.environment, simulated=False)
    infos = (StrategyInfo(name="numpy", sentence=""), StrategyInfo(name="xla", sentence="", against="numpy"))
    return msgspec.structs.replace(made, environment=environment, strategies=infos)


def test_the_usual_backend_need_not_be_named(study: Study) -> None:
    told = measured_again(study, "xla")
    assert told.startswith("gpuprobe run --strategies numpy,xla ")
    assert "--backend" not in told


def test_another_backend_is_named(study: Study) -> None:
    under_torch = msgspec.structs.replace(study, request=msgspec.structs.replace(study.request, backend="torch"))
    assert "--strategies numpy,xla --batch-size" in measured_again(under_torch, "xla")
    assert "--backend torch " in measured_again(under_torch, "xla")


def test_a_backend_as_a_strategy_is_compared_with_all(study: Study) -> None:
    jax = StrategyInfo(name="jax", sentence="", against="numpy", backend="jax")
    compared = msgspec.structs.replace(study, strategies=(*study.strategies, jax))
    assert "--backend all " in measured_again(compared, "jax")
    assert "--backend" not in measured_again(compared, "xla")
