"""Compares predicted and measured gains: each strategy's change, as predicted from the trace of the one it changes."""

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
    """Score every strategy with a predictable change, in the order of the study."""
    by_name = {row.strategy: row for row in rows}
    scored = []
    for info in infos:
        row, before = by_name.get(info.name), by_name.get(info.against or "")
        if info.what_if and row and row.gain and before:
            scored.append(_score(info, row, row.gain, before, replays.get(before.strategy)))
    return tuple(scored)


def _score(info: StrategyInfo, row: Row, measured: Interval, before: Row, replay: Replay | None) -> Scored:
    change = info.what_if
    if change == LARGER_BATCH:
        change = batch_change(before.settings.batch_size, row.settings.batch_size)
    measured_only = Scored(strategy=info.name, against=before.strategy, change=change, measured=measured)
    if replay is None or replay.refused:
        reason = replay.refused if replay and replay.refused else f"there is no trace of {before.strategy}"
        return msgspec.structs.replace(measured_only, missing=reason)
    prediction = replay.of(change)
    if prediction is None:
        reasons = {unpredicted.change: unpredicted.reason for unpredicted in replay.unpredicted}
        reason = next((why for name, why in reasons.items() if name.startswith(change)), "it was not tried")
        return msgspec.structs.replace(measured_only, missing=reason)
    return msgspec.structs.replace(
        measured_only, predicted=prediction.gain, error=measured.value / prediction.gain.ratio - 1
    )
