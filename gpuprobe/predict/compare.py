"""Compares a measured epoch with the predicted one, and explains the difference as far as possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gpuprobe.records import Record

if TYPE_CHECKING:
    from gpuprobe.predict.card import CardPrediction
    from gpuprobe.predict.study import StudyPrediction

Answer = Literal["as expected", "slower", "slower than the card explains", "faster"]


class Comparison(Record, frozen=True, kw_only=True):
    """A measured epoch over the predicted one.

    For a card: `unexplained_s` is the part of the epoch beyond the upper end of both predictions; `launch_us` is the
    time between starts of operations if launches took all of the time.
    """

    measured_epoch_s: float
    times_expected: float
    answer: Answer
    share_of_peak: float | None = None
    unexplained_s: float = 0.0
    launch_us: float | None = None


def compare_card(predicted: CardPrediction, measured_epoch_s: float) -> Comparison:
    """Compare a measured epoch in seconds, above zero, with what a card should take."""
    most_s = max(predicted.epoch_s.high, predicted.card_bound_epoch_s.high)
    step_ms = 1e3 * measured_epoch_s / predicted.steps_per_epoch
    answer: Answer = _answer(measured_epoch_s, predicted.epoch_s.low, predicted.epoch_s.high)
    return Comparison(
        measured_epoch_s=measured_epoch_s,
        times_expected=measured_epoch_s / predicted.epoch_s.value,
        answer="slower than the card explains" if measured_epoch_s > most_s else answer,
        share_of_peak=predicted.share_of_peak(measured_epoch_s),
        unexplained_s=max(0.0, measured_epoch_s - most_s),
        launch_us=max(0.0, 1e3 * (step_ms - predicted.host_ms.value) / predicted.operations),
    )


def compare_study(predicted: StudyPrediction, measured_epoch_s: float) -> Comparison:
    """Compare a measured epoch in seconds, above zero, with a prediction from a study."""
    return Comparison(
        measured_epoch_s=measured_epoch_s,
        times_expected=measured_epoch_s / predicted.epoch_s.value,
        answer=_answer(measured_epoch_s, predicted.epoch_s.low, predicted.epoch_s.high),
    )


def _answer(measured: float, low: float, high: float) -> Answer:
    if low <= measured <= high:
        return "as expected"
    return "slower" if measured > high else "faster"
