"""What the remedy of a cause outside the steps gains over the whole run.

The formula is Amdahl's, R / (R - saved), where R is the run without the parts that come once. The range follows from
three things: how much of its part the remedy saves (`run_savings`), how far the parts differ from time to time, and how
far the remaining steps differ when they are measured again. `most` is what no remedy exceeds: the part is gone, and a
step takes no longer than its operations compute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.records import Gain
from gpuprobe.thresholds import fixed
from gpuprobe.whatif.run_savings import SAVINGS, seconds_of

if TYPE_CHECKING:
    from gpuprobe.records import Evidence

# Parts that come with each epoch, call or save, and not with each step.
NOT_EACH_STEP = frozenset(
    (
        "epoch_start",
        "between_epochs",
        "validation",
        "evaluate",
        "callback",
        "checkpoint",
        "predict",
        "first_call_again",
        "between_trainings",
    )
)
OVER = "the run without what comes once"
ONCE_ONLY = "it comes once, so it weighs less in a longer training, and nothing shows how much of it can be saved"
NOTHING_LEFT = "the run consists only of what this takes away"


def gain(evidence: Evidence, cause: str) -> Gain | str:
    """Return what the remedy of a cause gains over the whole run, or the reason why that cannot be told.

    `evidence` holds the signals of `evidence.whole_run_signals`, and `call_alone_ms` where a trace shows it.
    """
    recurring_s = evidence.number("run_recurring_s") or 0.0
    if cause not in SAVINGS or not recurring_s:
        return ONCE_ONLY
    parts, saved_of = SAVINGS[cause]
    saved = saved_of(evidence)
    if isinstance(saved, str):
        return saved
    if recurring_s <= saved.most:
        return NOTHING_LEFT
    spread_s = _spread_s(evidence, parts)
    # Other parts that came seldom and took long may not come again: neither time to compare includes them then.
    others_s = min(
        _spread_s(evidence, tuple(NOT_EACH_STEP - {*parts})), (1 - fixed.STAYS_LEAST) * (recurring_s - saved.most)
    )
    remeasured = 1 + fixed.LEFT_APART
    most = (recurring_s + spread_s - others_s) / (recurring_s - saved.most - others_s) * remeasured
    return Gain(
        ratio=recurring_s / (recurring_s - saved.expected),
        low=max(1 / remeasured, (recurring_s - spread_s) / ((recurring_s - saved.low) * remeasured)),
        high=min(most, (recurring_s + spread_s - others_s) / (recurring_s - saved.high - others_s) * remeasured),
        over=OVER,
        most=most,
    )


def _spread_s(evidence: Evidence, parts: tuple[str, ...]) -> float:
    """Return by how many seconds these parts together may differ when they come again."""
    squares = 0.0
    for part in parts:
        spread = evidence.number(f"run_spread.{part}")
        # No part can take less than no time.
        squares += (seconds_of(evidence, part) * min(1.0, fixed.TIMES_UNKNOWN if spread is None else spread)) ** 2
    return float(squares**0.5)
