"""Compares measured gains with those predicted from the trace of the strategy that was changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.ranking.ranking import Scored
from gpuprobe.ranking.traced import LARGER_BATCH, batch_change

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpuprobe.ranking.ranking import Row
    from gpuprobe.ranking.rates import Interval
    from gpuprobe.records import StrategyInfo
    from gpuprobe.whatif.records import Replay


def scorecard(infos: Sequence[StrategyInfo], rows: Sequence[Row], replays: Mapping[str, Replay]) -> tuple[Scored, ...]:
    """Return predicted and measured gain of each strategy whose change has a replay, in the order of the study."""
    by_name = {row.strategy: row for row in rows}
    scored = []
    for info in infos:
        row, reference = by_name.get(info.name), by_name.get(info.against or "")
        if info.what_if and row and row.gain and reference:
            scored.append(_score(info, row, row.gain, reference, replays.get(reference.strategy)))
    return tuple(scored)


def _score(info: StrategyInfo, row: Row, measured: Interval, reference: Row, replay: Replay | None) -> Scored:
    change = info.what_if
    if change == LARGER_BATCH:
        change = batch_change(reference.settings.batch_size, row.settings.batch_size)
    without_prediction = Scored(strategy=info.name, against=reference.strategy, change=change, measured=measured)
    if replay is None or replay.refused:
        reason = replay.refused if replay and replay.refused else f"there is no trace of {reference.strategy}"
        return msgspec.structs.replace(without_prediction, missing=reason)
    prediction = replay.of(change)
    if prediction is None:
        reasons = {unpredicted.change: unpredicted.reason for unpredicted in replay.unpredicted}
        reason = next(
            (reason_of_change for name, reason_of_change in reasons.items() if name.startswith(change)),
            "it was not tried",
        )
        return msgspec.structs.replace(without_prediction, missing=reason)
    return msgspec.structs.replace(
        without_prediction, predicted=prediction.gain, error=measured.value / prediction.gain.ratio - 1
    )
