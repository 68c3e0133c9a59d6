"""The public table of the Keras example, and the time per launch that follows from one of its rows.

Table: docstring of Keras's `examples/cifar10_resnet.py` (v1 on a GTX 1080 Ti, batch 32). Its times are rounded to 5 s.
Only the ResNet20 row is used for calibration; the others are for comparison.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gpuprobe.cards import find
from gpuprobe.errors import UsageError
from gpuprobe.predict.roofline import USUAL, device_time
from gpuprobe.predict.work import train_step
from gpuprobe.records import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

EPOCH_SAMPLES = 50_000
TABLE_CARD = "GeForce GTX 1080 Ti"
TABLE_BATCH = 32
SOURCE = "the table of Keras's cifar10_resnet.py, batch 32"
TABLE_EPOCH_S = {20: 35.0, 32: 50.0, 44: 70.0, 56: 90.0, 110: 165.0}
CALIBRATION_DEPTH = 20
ROUNDED_BY_S = 2.5
# The time of each step outside the train function: the GPU's idle time between the steps of nine launch-bound Keras
# trainings, traced with TensorFlow 2.3 to 2.5 on one card, with the profiler's overhead: 1.67 to 3.49 ms, median 2.18.
# The table's host and Keras version were different.
FIXED_MS, FIXED_LOW_MS, FIXED_HIGH_MS = 2.18, 1.67, 3.49


class HostCost(Record, frozen=True, kw_only=True):
    """The host's time: a fixed time for each step, and the time between the starts of two operations."""

    fixed_ms: float
    launch_us: float


def steps_per_epoch(batch_size: int, samples: int = EPOCH_SAMPLES) -> int:
    """Return the steps of an epoch, a last incomplete batch included."""
    return math.ceil(samples / batch_size)


def published_epoch_s(cards: Sequence[str], depth: int, samples: int) -> float | None:
    """Return the published epoch time, scaled to so many samples, if the table has this depth and card; else None."""
    published = TABLE_EPOCH_S.get(depth)
    if published is None or not any(TABLE_CARD in card for card in cards):
        return None
    return published * samples / EPOCH_SAMPLES


def table_host() -> tuple[HostCost, ...]:
    """Return the host costs that fit the table's ResNet20 row: the middle estimate, then each end of the unknowns.

    Raises UsageError where the card's peaks alone explain the row: then no launch time follows from it.
    """
    fixed = (FIXED_MS, FIXED_LOW_MS, FIXED_HIGH_MS)
    rounding = (0.0, -ROUNDED_BY_S, ROUNDED_BY_S)
    return tuple(_host(fixed_ms, TABLE_EPOCH_S[CALIBRATION_DEPTH] + by_s) for fixed_ms in fixed for by_s in rounding)


def _host(fixed_ms: float, epoch_s: float) -> HostCost:
    work = train_step(CALIBRATION_DEPTH)
    rest_ms = 1e3 * epoch_s / steps_per_epoch(TABLE_BATCH) - fixed_ms
    if rest_ms <= device_time(find(TABLE_CARD), work, TABLE_BATCH, USUAL).total_ms:
        raise UsageError("the calibration row is bound by its card: it says nothing of launches")
    return HostCost(fixed_ms=fixed_ms, launch_us=1e3 * rest_ms / work.operation_count)
