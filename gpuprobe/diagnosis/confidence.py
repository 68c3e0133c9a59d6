"""The order of confidences."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpuprobe.records import Confidence

SURE: dict[Confidence, int] = {"high": 2, "medium": 1, "low": 0}
LOWER: dict[Confidence, Confidence] = {"high": "medium", "medium": "low", "low": "low"}
HIGHER: dict[Confidence, Confidence] = {"high": "high", "medium": "high", "low": "medium"}
