"""A comparison as text: the verdict first, then the rates, what changed in the step, and what else differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report.whole_run import called

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gpuprobe.compare.records import (
        CategoryChange,
        Cause,
        Comparison,
        Difference,
        Ledger,
        PartChange,
        StrategyChange,
    )
    from gpuprobe.ranking.rates import Interval

SIMULATED = "SIMULATED: at least one of the two was never measured."
# Categories that changed by less than this share of the longer step are left out of the text; --json has all.
WORTH_TELLING = 0.005
MOST_READINGS = 8
FEWEST_ALIKE = 2
# Repeated starts differ by as much, and nobody waits for less; assumptions.
LEAST_LATER_S, LATER_FRACTION = 0.5, 0.10


def text(comparison: Comparison) -> str:
    """Write a comparison as lines for a terminal or a file."""
    everywhere = _everywhere(comparison.strategies)
    details = [_detail(change, everywhere) for change in comparison.strategies]
    parts = [
        _head(comparison),
        _rates(comparison),
        *details,
        _titled("Settings that differ in all of them", _differences(everywhere)),
        _titled("Environment that differs", _differences(comparison.environment)),
        _notes(comparison),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _everywhere(changes: Sequence[StrategyChange]) -> tuple[Difference, ...]:
    """Return the settings that differ in the same way in all of several strategies, and so are printed once."""
    if len(changes) < FEWEST_ALIKE:
        return ()
    return tuple(setting for setting in changes[0].settings if all(setting in change.settings for change in changes))


def _head(comparison: Comparison) -> list[str]:
    lines = [SIMULATED] if comparison.simulated else []
    lines += [f"FORCED: {reason}: the ratios compare unlike things." for reason in comparison.forced]
    lines += [f"A  {comparison.a} ({comparison.a_kind})", f"B  {comparison.b} ({comparison.b_kind})"]
    return [*lines, *_verdict(comparison)]


def _verdict(comparison: Comparison) -> list[str]:
    lines = []
    for outcome, words in (("slower", "B is slower in"), ("faster", "B is faster in"), ("tie", "tie in")):
        names = [change.strategy for change in comparison.strategies if change.outcome == outcome]
        if names:
            lines.append(f"{words} {wording.listing(names)}")
    rates = "; ".join(lines)
    runs = [_over_run(change, change.run) for change in comparison.strategies if change.run]
    if runs:
        # Timed steps leave out what lies between them, so they may be as fast as before in a run that is not.
        verdict = " ".join([*runs, f"In the timed steps alone: {rates}."] if rates else runs)
    else:
        verdict = f"{rates[:1].upper() + rates[1:] or 'No rates to compare'}."
    causes = [words for change in comparison.strategies if (words := _cause(change))]
    return ["", f"Verdict: {verdict}", *causes, *_floor(comparison)]


def _over_run(change: StrategyChange, run: Ledger) -> str:
    """Say what a step costs over the whole run, and which part changed most of those that changed with it."""
    times = [wording.milliseconds(step_ms) for step_ms in (run.a_step_ms, run.b_step_ms)]
    said = f"Over the whole run, one-time parts left out, a step takes {times[0]} in A and {times[1]} in B."
    most = _most_changed(run)
    if most is None:
        return said
    said += f" Most of the difference: {called(most.category)} ({_signed(most.change_ms)})"
    within = _most_changed(change.ledger) if change.ledger and most.category == "steps" else None
    # Few steps are traced, and slowed: if they changed the other way, they tell nothing of this change.
    if within and within.change_ms * most.change_ms > 0:
        said += f"; in the traced step: {within.category} ({_signed(within.change_ms)})"
    return f"{said}."


def _most_changed(ledger: Ledger) -> CategoryChange | None:
    """Return the part that changed most in the direction of the whole; None where none is worth telling."""
    change_ms = ledger.b_step_ms - ledger.a_step_ms
    most = next((part for part in ledger.changes if part.change_ms * change_ms > 0), None)
    return most if most and _worth_telling(most, ledger) else None


def _worth_telling(change: CategoryChange, ledger: Ledger) -> bool:
    return abs(change.change_ms) >= WORTH_TELLING * max(ledger.a_step_ms, ledger.b_step_ms)


def _cause(change: StrategyChange) -> str:
    """Say which cause leads in A and in B, and whether A's is gone; empty where only one was diagnosed."""
    a, b = change.a_cause, change.b_cause
    if a is None or b is None:
        return ""
    if (a.cause, a.stage) == (b.cause, b.stage):
        shares = [f"{wording.share(side.severity)} of the {side.of}" for side in (a, b)]
        in_a, in_b = f"{shares[0]} in A (confidence {a.confidence})", f"{shares[1]} in B (confidence {b.confidence})"
        return f"The same leads in both: {_named(a)}, with {in_a} and {in_b}."
    went = "is gone" if change.gone else "no longer leads"
    return f"{_named(a)} (confidence {a.confidence}), which led in A, {went}; in B {_named(b)} leads ({b.confidence})."


def _named(cause: Cause) -> str:
    return f"{cause.cause}, {cause.stage}" if cause.stage else cause.cause


def _floor(comparison: Comparison) -> list[str]:
    if comparison.fail_below is None:
        return []
    floor = f"{comparison.fail_below:g}"
    below = [change.strategy for change in comparison.strategies if change.below]
    lines = [f"FAILED: B/A is below {floor} beyond the noise in {wording.listing(below)}."] if below else []
    if comparison.failed_in_b:
        lines.append(f"FAILED: {wording.listing(list(comparison.failed_in_b))} did not run to its end in B.")
    unsure = [change.strategy for change in comparison.strategies if _unsure(change, comparison.fail_below)]
    reach = f" The noise leaves open whether that of {wording.listing(unsure)} is." if unsure else ""
    return lines or [f"Passed: no B/A is below {floor} beyond the noise.{reach}"]


def _unsure(change: StrategyChange, floor: float) -> bool:
    return change.ratio is not None and change.ratio.low < floor <= change.ratio.high


def _rates(comparison: Comparison) -> list[str]:
    rows = [["", "A", "B", "unit", "B/A", "95 % interval", "which says"]]
    for change in comparison.strategies:
        ratio = change.ratio
        interval = f"{_ratio(ratio.low)} to {_ratio(ratio.high)}" if ratio else ""
        rates = [_rate(change.a_rate), _rate(change.b_rate), change.rate_unit if change.a_rate or change.b_rate else ""]
        rows.append([change.strategy, *rates, _ratio(ratio.value) if ratio else "-", interval, _ratio_says(change)])
    return _aligned(rows) if comparison.strategies else []


def _ratio_says(change: StrategyChange) -> str:
    if change.ratio is None:
        return change.why_no_ratio
    if change.outcome == "tie":
        return "tie: the interval holds 1"
    less = wording.share(abs(change.ratio.value - 1))
    return f"B is {less} {change.outcome}, beyond the noise"


def _detail(change: StrategyChange, everywhere: Sequence[Difference]) -> list[str]:
    own = [difference for difference in change.settings if difference not in everywhere]
    lines = _ledger(change.run, "Wall time of the run for each step", called) if change.run else []
    lines += _ledger(change.ledger) if change.ledger else []
    lines += _until_steady(change.until_steady)
    lines += _titled("Settings that differ", _differences(own))
    lines += _titled("Readings that differ", _readings(change))
    return [change.strategy, *(f"  {line}" for line in lines)] if lines else []


def _ledger(ledger: Ledger, what: str = "Step in the trace", named: Callable[[str], str] = str) -> list[str]:
    changed = [change for change in ledger.changes if _worth_telling(change, ledger)]
    step = f"{what}: {wording.milliseconds(ledger.a_step_ms)} in A, "
    step += f"{wording.milliseconds(ledger.b_step_ms)} in B ({_signed(ledger.b_step_ms - ledger.a_step_ms)})"
    if not changed:
        return [f"{step}; no part of it changed"]
    rows = [["", "A", "of it", "B", "of it", "change"]]
    for change in changed:
        before = [wording.milliseconds(change.a_ms), wording.share(change.a_fraction)]
        after = [wording.milliseconds(change.b_ms), wording.share(change.b_fraction)]
        rows.append([named(change.category), *before, *after, _signed(change.change_ms)])
    rest = [change for change in ledger.changes if change not in changed]
    if rest:
        # So that what is shown adds up to the step's change.
        small = [sum(change.a_ms for change in rest), sum(change.b_ms for change in rest)]
        shares = [sum(change.a_fraction for change in rest), sum(change.b_fraction for change in rest)]
        cells = [wording.milliseconds(small[0]), wording.share(shares[0])]
        cells += [wording.milliseconds(small[1]), wording.share(shares[1])]
        rows.append(["all else", *cells, _signed(small[1] - small[0])])
    return [step, *(f"  {line}" for line in _aligned(rows))]


def _until_steady(parts: Sequence[PartChange]) -> list[str]:
    """Say where the time before the steady steps went, if it differs by half a second and a tenth of the longer one."""
    before, after = sum(part.a_s for part in parts), sum(part.b_s for part in parts)
    if abs(after - before) < max(LEAST_LATER_S, LATER_FRACTION * max(before, after)):
        return []
    rows = [["", "A", "B", "change"]]
    for part in parts:
        change = f"{part.change_s:+.1f} s"
        rows.append([part.part, f"{part.a_s:.1f} s", f"{part.b_s:.1f} s", change])
    head = f"Until the steps were steady: {before:.1f} s in A, {after:.1f} s in B ({after - before:+.1f} s)"
    return [head, *(f"  {line}" for line in _aligned(rows))]


def _readings(change: StrategyChange) -> list[list[str]]:
    readings = change.telemetry[:MOST_READINGS]
    rows = [
        [reading.name, wording.significant(reading.a), wording.significant(reading.b), reading.unit]
        for reading in readings
    ]
    left = len(change.telemetry) - len(readings)
    return [*rows, *([[f"and {left} more (--json)", "", "", ""]] if left else [])]


def _differences(differences: Sequence[Difference]) -> list[list[str]]:
    return [[difference.name, difference.a, difference.b] for difference in differences]


def _notes(comparison: Comparison) -> list[str]:
    lines = [f"{name} failed in B: {why}." for name, why in comparison.failed_in_b.items()]
    lines += [f"Only A measured {wording.listing(comparison.only_a)}."] if comparison.only_a else []
    lines += [f"Only B measured {wording.listing(comparison.only_b)}."] if comparison.only_b else []
    lines += [f"Where the step of {names} went is not known: {why}." for why, names in _unledgered(comparison).items()]
    unknown = wording.listing(comparison.not_checked)
    lines += [f"Not checked to be the same, since A or B does not record it: {unknown}."] if unknown else []
    return ["Notes", *(f"  {line}" for line in (*lines, *comparison.notes))] if lines or comparison.notes else []


def _unledgered(comparison: Comparison) -> dict[str, str]:
    by_reason: dict[str, list[str]] = {}
    for change in comparison.strategies:
        if change.ledger is None:
            by_reason.setdefault(change.why_no_ledger, []).append(change.strategy)
    return {why: wording.listing(names) for why, names in by_reason.items()}


def _titled(title: str, rows: list[list[str]]) -> list[str]:
    return (
        [title, *(f"  {line}" for line in _aligned([["", "A", "B", *[""] * (len(rows[0]) - 3)], *rows]))]
        if rows
        else []
    )


def _aligned(rows: list[list[str]]) -> list[str]:
    """Pad each column to its widest cell, those of figures to the right; the first row is the heading."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [all(not cell or cell[0].isdigit() or cell[0] in "+-" for cell in column[1:]) for column in columns]
    lines = []
    for row in rows:
        cells = zip(row, widths, right, strict=True)
        lines.append("  ".join(cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in cells))
    return [line.rstrip() for line in lines]


def _rate(rate: Interval | None) -> str:
    # As many digits as the ratio of two of them has.
    return wording.significant(rate.value, 4) if rate else "-"


def _ratio(value: float) -> str:
    return f"{value:.3f}"


def _signed(change_ms: float) -> str:
    return f"{'+' if change_ms >= 0 else '-'}{wording.milliseconds(abs(change_ms))}"
