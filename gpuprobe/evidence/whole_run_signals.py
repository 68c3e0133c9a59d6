"""The breakdown of a whole run as named signals.

- Of the run: `run_wall_s`, `run_goodput` (the share of the wall time in which steps ran), `run_complete`,
  `run_trainings`, `run_epochs`, `run_calls`, `run_calls_per_training`, `run_calls_per_epoch`; `run_recurring_s`, the
  time without the parts that come once; `run_step_s`, the mean call without the first of each epoch.
- Of each part: `run_s.<part>` in seconds, `run_times.<part>`; `run_share.<part>`, its share of `run_recurring_s`;
  `run_spread.<part>`, the relative 95 % range of its total if it came as often again. `run_share.startup` is a share of
  the whole wall time.
- `run_name.callback` and `run_name.checkpoint` name the callback that took longest, `run_times_of_named.<part>` how
  often that one came.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gpuprobe.evidence.whole_run import once
from gpuprobe.records import Evidence, Signal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpuprobe.evidence.whole_run import RunBreakdown, RunPart, RunRow

    # Name, unit, value, and the reason where there is no value.
    Figure = tuple[str, str, float | str | bool | None, str]

STARTUP: tuple[RunPart, ...] = ("imports", "build")
SOURCE = "clock, Keras's own calls"


def whole_run_signals(breakdown: RunBreakdown) -> Evidence:
    """Return the breakdown of a run as signals."""
    figures = _figures_of_run(breakdown)
    for part in dict.fromkeys(row.part for row in breakdown.rows):
        figures += _figures_of_part(breakdown, part)
    return Evidence(
        signals=tuple(
            Signal(name=name, unit=unit, source=SOURCE, value=value, missing=missing if value is None else None)
            for name, unit, value, missing in figures
        )
    )


def _figures_of_run(breakdown: RunBreakdown) -> list[Figure]:
    startup_share = breakdown.seconds(*STARTUP) / breakdown.wall_s
    return [
        ("run_wall_s", "s", breakdown.wall_s, ""),
        ("run_goodput", "of the run", breakdown.goodput, ""),
        ("run_complete", "", breakdown.complete, ""),
        ("run_trainings", "", float(breakdown.trainings), ""),
        ("run_epochs", "", float(breakdown.epochs), ""),
        ("run_calls", "", float(breakdown.calls), ""),
        ("run_recurring_s", "s", breakdown.recurring_s, ""),
        ("run_step_s", "s", breakdown.plain_s, "nearly every step is the first of its epoch"),
        ("run_calls_per_training", "", _ratio(breakdown.calls, breakdown.trainings), "no call of `fit` was seen"),
        ("run_calls_per_epoch", "", _ratio(breakdown.calls, breakdown.epochs), "no epoch was seen"),
        (
            "run_share.startup",
            "of the run",
            None if breakdown.planned else startup_share,
            "the run was planned, and is short",
        ),
    ]


def _figures_of_part(breakdown: RunBreakdown, part: RunPart) -> list[Figure]:
    rows = [row for row in breakdown.rows if row.part == part]
    seconds = sum(row.seconds for row in rows)
    figures: list[Figure] = [
        (f"run_s.{part}", "s", seconds, ""),
        (f"run_times.{part}", "", float(sum(row.times for row in rows)), ""),
    ]
    if (spread := _spread_of_sum(rows)) is not None:
        figures.append((f"run_spread.{part}", "of its time", spread, ""))
    if part not in once(breakdown.trainings):
        share = seconds / breakdown.recurring_s
        figures.append((f"run_share.{part}", "of the time without what comes once", share, ""))
    if rows[0].name:
        figures.append((f"run_name.{part}", "", rows[0].name, ""))
        figures.append((f"run_times_of_named.{part}", "", float(rows[0].times), ""))
    return figures


def _spread_of_sum(rows: Iterable[RunRow]) -> float | None:
    """Return the spread of a part's total over its rows; None where the spread of its largest row is not known."""
    rows = sorted(rows, key=lambda row: -row.seconds)
    if rows[0].spread is None:
        return None
    return math.hypot(*(row.seconds * (row.spread or 0.0) for row in rows)) / sum(row.seconds for row in rows)


def _ratio(count: int, of: int) -> float | None:
    return count / of if of else None
