"""Predictions beside what was measured, right ones and wrong ones, and the reason where there is none."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gpuprobe.ranking.load import load
from gpuprobe.ranking.scorecard import scorecard
from gpuprobe.records import Gain
from gpuprobe.whatif.records import Prediction, Replay, Unpredicted
from tests.helpers.studies import SimulatedStrategy, simulate_study


def prediction(change: str, ratio: float) -> Prediction:
    gain = Gain(ratio=ratio, low=0.9 * ratio, high=1.1 * ratio)
    return Prediction(
        change=change, step_ms=10.0 / ratio, low_ms=9.0 / ratio, high_ms=11.0 / ratio, gain=gain, bound=ratio,
        replay_error_fraction=0.01, assumption="made for a test",
    )  # fmt: skip


def scored(tmp_path: Path, replays: dict[str, Replay]) -> dict[str, object]:
    strategies = [
        SimulatedStrategy(name="plain", step_ms=10.0),
        SimulatedStrategy(name="fused", step_ms=5.0, against="plain"),
        SimulatedStrategy(name="large", step_ms=20.0, against="plain", batch_size=128),
    ]
    study = simulate_study(tmp_path, strategies, rounds=2)
    changes = {"fused": "launches_fused", "large": "batch_times"}
    infos = [msgspec.structs.replace(info, what_if=changes.get(info.name, "")) for info in study.strategies]
    return {one.strategy: one for one in scorecard(infos, load(tmp_path).ranking.rows, replays)}


def test_a_prediction_stands_beside_what_was_measured(tmp_path: Path) -> None:
    replay = Replay(predictions=(prediction("launches_fused_8", 2.5), prediction("batch_times_4", 2.0)))
    found = scored(tmp_path, {"plain": replay})
    assert set(found) == {"fused", "large"}
    fused, large = found["fused"], found["large"]
    assert fused.predicted.ratio == 2.5  # type: ignore[attr-defined]
    # 2.0 times as fast instead of 2.5: the predicted step was a fifth too short.
    assert fused.error == pytest.approx(-0.2, abs=0.03)  # type: ignore[attr-defined]
    assert large.change == "batch_times_4", "the batch is four times as large"  # type: ignore[attr-defined]
    assert large.error == pytest.approx(0.0, abs=0.05)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("replay", "reason"),
    [
        (Replay(refused="the replay misses the step"), "the replay misses the step"),
        (Replay(unpredicted=(Unpredicted(change="launches_fused_8", reason="XLA is on"),)), "XLA is on"),
        (Replay(), "it was not tried"),
        (None, "there is no trace of plain"),
    ],
)
def test_without_a_prediction_there_is_a_reason(tmp_path: Path, replay: Replay | None, reason: str) -> None:
    found = scored(tmp_path, {"plain": replay} if replay else {})["fused"]
    assert found.predicted is None  # type: ignore[attr-defined]
    assert found.missing == reason  # type: ignore[attr-defined]
