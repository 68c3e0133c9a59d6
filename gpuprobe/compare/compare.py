"""Compares the two sides strategy by strategy; a pure function of what was read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gpuprobe.compare import differences, sameness
from gpuprobe.compare.records import Comparison, Difference, Ledger, StrategyChange
from gpuprobe.errors import InputError, UsageError
from gpuprobe.ranking import spread
from gpuprobe.ranking.rates import CONFIDENCE, log_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.compare.records import Measured, Side, SpeedChange
    from gpuprobe.compare.sameness import Pair
    from gpuprobe.ranking.rates import Interval

ONE_ROUND_NOTE = (
    "Neither side ran a strategy twice: how much two equal runs differ is an assumption (5 %). Two rounds or more "
    "(--rounds 2) show it, and smaller differences."
)
SPREAD_NOTE = (
    "The intervals cover the spread between rounds of one study. What changed on the machine between A and B (its "
    "clocks, its other load) is part of every ratio too, and shifts all strategies alike."
)
FAMILY_NOTE = "The intervals of the ratios hold at 95 % for all strategies together."
TRACED_STEPS_NOTE = (
    "The breakdowns are of traced steps, which the profiler slows; the rates are of the steps without it."
)


def compare(a: Side, b: Side, *, fail_below: float | None = None, force: bool = False) -> Comparison:
    """Compare B with A. A strategy fails where the whole interval of its ratio B/A is below `fail_below`.

    The intervals of the ratios hold at 95 % for all strategies together, and so does what is said of any of them.
    Raises UsageError where hardware or work differ and `force` is not given, or where the sides have no strategy in
    common; InputError where `fail_below` is given and there is no ratio to check.
    """
    pairs = _pairs(a, b)
    failed = _failed(a, b, pairs)
    if not pairs and not failed:
        raise UsageError(f"{a.path} and {b.path} have no strategy in common: {_names(a)} in A, {_names(b)} in B")
    refusals = sameness.reasons(a, b, pairs)
    if refusals and not force:
        raise UsageError(
            f"{a.path} and {b.path} are not compared: {' and '.join(refusals)}; --force compares them anyway"
        )
    noise, confidence = _spread_of_rounds(pairs), _single_confidence(pairs)
    strategies = tuple(_change(*pair, noise, confidence, fail_below) for pair in pairs)
    if fail_below is not None and not failed and not any(change.ratio for change in strategies):
        reasons = "; ".join(dict.fromkeys(change.why_no_ratio for change in strategies))
        raise InputError(f"{a.path} and {b.path}: no ratio to check against --fail-below, since {reasons}")
    paired = {measured.strategy for pair in pairs for measured in pair}
    return Comparison(
        a=a.path,
        b=b.path,
        a_kind=a.kind,
        b_kind=b.kind,
        simulated=any(side.environment is not None and side.environment.simulated for side in (a, b)),
        fail_below=fail_below,
        strategies=strategies,
        only_a=_without(a, paired | failed.keys()),
        only_b=_without(b, paired),
        failed_in_b=failed,
        environment=differences.environment(a.environment, b.environment),
        forced=refusals,
        not_checked=sameness.not_checked(a, b, pairs),
        notes=(*_notes(pairs, strategies), *(f"A: {note}" for note in a.notes), *(f"B: {note}" for note in b.notes)),
    )


def _pairs(a: Side, b: Side) -> list[Pair]:
    """Pair the strategies by name; where each side has only one, these are a pair whatever their names."""
    pairs = [(measured, measured_b) for measured in a.measured if (measured_b := b.of(measured.strategy))]
    if not pairs and len(a.measured) == len(b.measured) == 1:
        return [(a.measured[0], b.measured[0])]
    return pairs


def _failed(a: Side, b: Side, pairs: Sequence[Pair]) -> dict[str, str]:
    """Return how the strategies that A measured failed in B, by name."""
    paired_strategy = {measured_in_a.strategy: measured_in_b for measured_in_a, measured_in_b in pairs}
    failed_in_b = {}
    for measured in a.measured:
        measured_b = paired_strategy.get(measured.strategy)
        strategy_in_b = measured_b.strategy if measured_b else measured.strategy
        if measured.rates and not (measured_b and measured_b.rates) and strategy_in_b in b.failed:
            failed_in_b[measured.strategy] = b.failed[strategy_in_b]
    return failed_in_b


def _names(side: Side) -> str:
    return ", ".join(measured.strategy for measured in side.measured) or "nothing measured"


def _without(side: Side, names: set[str]) -> tuple[str, ...]:
    return tuple(measured.strategy for measured in side.measured if measured.strategy not in names)


def _spread_of_rounds(pairs: Sequence[Pair]) -> spread.Spread:
    """Pool the spread between rounds over both sides, each around its own means."""
    rates_by_side = {
        f"{side} {measured.strategy}": measured.rates
        for pair in pairs
        for side, measured in zip("AB", pair, strict=True)
    }
    return spread.between_rounds(rates_by_side)


def _single_confidence(pairs: Sequence[Pair]) -> float:
    """Return the confidence that each ratio needs by itself, so that all of them together have 95 %.

    They are judged by one spread, and count as independent, which is on the safe side (Sidak 1967, "Rectangular
    confidence regions").
    """
    ratios = sum(not _why_no_ratio(*pair) for pair in pairs)
    return math.pow(CONFIDENCE, 1 / max(1, ratios))


def _ratio(a: Measured, b: Measured, noise: spread.Spread, confidence: float) -> Interval:
    estimate = spread.unpaired_ratio(b.rates, a.rates, noise)
    blocks = sum(rate.blocks for rate in b.rates.values())
    return log_interval(estimate.log_ratio, estimate.half_width(confidence), blocks, len(b.rates))


def _change(
    a: Measured, b: Measured, noise: spread.Spread, confidence: float, fail_below: float | None
) -> StrategyChange:
    why_no_ratio = _why_no_ratio(a, b)
    ratio = None if why_no_ratio else _ratio(a, b, noise, confidence)
    ledger = differences.ledger(a, b)
    renamed = a.strategy != b.strategy
    name_change = Difference(name="strategy", a=a.strategy, b=b.strategy)
    return StrategyChange(
        strategy=f"{a.strategy} -> {b.strategy}" if renamed else a.strategy,
        outcome=_outcome(ratio),
        rate_unit=a.rate_unit,
        a_rate=spread.rate_interval(a.rates, noise) if a.rates else None,
        b_rate=spread.rate_interval(b.rates, noise) if b.rates and b.rate_unit == a.rate_unit else None,
        ratio=ratio,
        why_no_ratio=why_no_ratio,
        below=ratio.high < fail_below if ratio and fail_below is not None else None,
        ledger=ledger if isinstance(ledger, Ledger) else None,
        why_no_ledger=ledger if isinstance(ledger, str) else "",
        settings=(*((name_change,) if renamed else ()), *differences.settings(a, b)),
        telemetry=differences.telemetry(a, b),
        until_steady=differences.until_steady(a, b),
        a_cause=a.cause,
        b_cause=b.cause,
        gone=a.cause is not None and b.cause is not None and a.cause.cause not in b.causes,
        run=differences.run(a, b),
    )


def _why_no_ratio(a: Measured, b: Measured) -> str:
    if a.rates and b.rates:
        return "" if a.rate_unit == b.rate_unit else f"A counts in {a.rate_unit} and B in {b.rate_unit}"
    reasons = {side: measured.why_no_rate for side, measured in (("A", a), ("B", b)) if not measured.rates}
    if len(set(reasons.values())) == 1 < len(reasons):
        return f"neither has a rate ({a.why_no_rate})"
    return "; ".join(f"{side} has no rate ({reason})" for side, reason in reasons.items())


def _outcome(ratio: Interval | None) -> SpeedChange:
    if ratio is None:
        return "unknown"
    if ratio.low <= 1 <= ratio.high:
        return "tie"
    return "faster" if ratio.low > 1 else "slower"


def _notes(pairs: Sequence[Pair], strategies: Sequence[StrategyChange]) -> list[str]:
    ratios = sum(change.ratio is not None for change in strategies)
    repeated = any(len(measured.rates) > 1 for pair in pairs for measured in pair)
    notes = [SPREAD_NOTE if repeated else ONE_ROUND_NOTE] if ratios else []
    notes += [FAMILY_NOTE] if ratios > 1 else []
    # The rate of a trace alone is of traced steps as well.
    untraced = any(change.ledger and change.rate_unit == "samples/s" for change in strategies)
    return [*notes, TRACED_STEPS_NOTE] if untraced else notes
