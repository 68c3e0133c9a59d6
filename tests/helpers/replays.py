"""Predictions of a replay, as a diagnosis reads them."""

from __future__ import annotations

from gpuprobe.records import Gain
from gpuprobe.whatif.records import Prediction


def saves(change: str, share: float) -> Prediction:
    """Return the prediction that a change saves a share of the step (0 to 1)."""
    gain = Gain(ratio=1 / (1 - share))
    return Prediction(
        change=change,
        step_ms=1 - share,
        low_ms=1 - share,
        high_ms=1 - share,
        gain=gain,
        bound=gain.ratio,
        replay_error_fraction=0.0,
        assumption="",
    )
