"""Finds measured gains that the trace rules out by Amdahl's law: they are drift of the machine.

A change of the input, or of the work of `fit` between steps, leaves the computing as it is, so it cannot save more than
the rest of the step. For other changes the trace sets no such limit. Runs that took turns ran under the same
conditions, so their gains are never called drift.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.evidence.breakdown import main_device
from gpuprobe.ranking.ranking import Mark
from gpuprobe.records import chain
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpuprobe.ranking.ranking import Row
    from gpuprobe.ranking.rates import Interval
    from gpuprobe.ranking.traced import Traced
    from gpuprobe.records import StrategyInfo
    from gpuprobe.whatif.records import Replay

COMPUTING_CATEGORIES = ("gpu_compute", "cpu_compute")
# Parts of a training whose changes leave the computing as it is.
PARTS_AROUND_COMPUTING = frozenset({"loop", "feed", "fit"})


def marked_for_drift(
    row: Row, infos: Mapping[str, StrategyInfo], traces: Mapping[str, Traced], baseline: str | None, *, in_turns: bool
) -> Row:
    """Return the row, marked with the reason if its gain is drift; `in_turns` says that its runs took turns."""
    if in_turns:
        return row
    all_changes = row.combines or chain(infos, row.strategy)
    last_changes = row.combines or all_changes[-1:]
    since_baseline = all_changes[all_changes.index(baseline) + 1 :] if baseline in all_changes else row.combines
    comparisons = ((row.against, row.gain, last_changes), (baseline, row.speedup, since_baseline))
    for against, measured, changes in comparisons:
        infos_of_changes = [infos[name.partition("=")[0]] for name in changes if name.partition("=")[0] in infos]
        words = _ruled_out(against, measured, infos_of_changes, traces.get(against or ""))
        if words:
            return msgspec.structs.replace(row, marks=(*row.marks, Mark(kind="drift", words=words)))
    return row


def _ruled_out(
    against: str | None, measured: Interval | None, changes: Sequence[StrategyInfo], traced: Traced | None
) -> str:
    most_allowed = at_most(traced, changes) if traced and changes else None
    if measured is None or most_allowed is None or measured.value <= most_allowed:
        return ""
    return (
        f"drift: measured {wording.times(measured.value, measured.low, measured.high)} as fast as {against}, whose "
        f"trace allows at most {wording.times(most_allowed)}"
    )


def at_most(traced: Traced, changes: Sequence[StrategyInfo]) -> float | None:
    """Return the largest possible speed-up by these changes; None where the trace sets no limit."""
    if any(info.part not in PARTS_AROUND_COMPUTING for info in changes):
        return None
    replayed_changes = {info.what_if for info in changes if info.what_if}
    replay = traced.replay
    replayed_gains = [] if replay is None else [_largest_replayed_gain(replay, name) for name in replayed_changes]
    device = main_device(traced.breakdown)
    computing_ms = sum(device.ledger_ms.get(name, 0.0) for name in COMPUTING_CATEGORIES) if device else 0.0
    return (
        max([(1 + fixed.FINEST) * device.step_ms / computing_ms, *replayed_gains]) if device and computing_ms else None
    )


def _largest_replayed_gain(replay: Replay, change: str) -> float:
    prediction = replay.of(change)
    return 1.0 if prediction is None else max(prediction.bound, prediction.gain.high or 0.0)
