"""The tables of a comparison as aligned text: rates, breakdowns, start-up, settings and readings in A and in B."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report.whole_run import part_in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gpuprobe.compare.records import CategoryChange, Comparison, Difference, Ledger, PartChange, StrategyChange
    from gpuprobe.ranking.rates import Interval

# Categories that changed by less than this share of the longer step are left out of the text; --json has all.
WORTH_TELLING = 0.005
MOST_READINGS = 8
# A smaller difference of the time before the steady steps is not told: repeated starts differ as much. Assumptions.
LEAST_CHANGE_S, LEAST_CHANGE_FRACTION = 0.5, 0.10


def worth_telling(change: CategoryChange, ledger: Ledger) -> bool:
    """Whether a part changed by enough of the longer step to be shown."""
    return abs(change.change_ms) >= WORTH_TELLING * max(ledger.a_step_ms, ledger.b_step_ms)


def rates_table(comparison: Comparison) -> list[str]:
    """Return the lines of the table of rates: A, B, their ratio with its interval, and what that says."""
    rate_rows = [["", "A", "B", "unit", "B/A", "95 % interval", "which says"]]
    for change in comparison.strategies:
        ratio = change.ratio
        ratio_interval = f"{_ratio_cell(ratio.low)} to {_ratio_cell(ratio.high)}" if ratio else ""
        rate_cells = [
            _rate_cell(change.a_rate),
            _rate_cell(change.b_rate),
            change.rate_unit if change.a_rate or change.b_rate else "",
        ]
        rate_rows.append(
            [
                change.strategy,
                *rate_cells,
                _ratio_cell(ratio.value) if ratio else "-",
                ratio_interval,
                _ratio_in_words(change),
            ]
        )
    return _aligned_columns(rate_rows) if comparison.strategies else []


def _ratio_in_words(change: StrategyChange) -> str:
    if change.ratio is None:
        return change.why_no_ratio
    if change.outcome == "tie":
        return "tie: the interval contains 1"
    difference_share = wording.share(abs(change.ratio.value - 1))
    return f"B is {difference_share} {change.outcome}, beyond the noise"


def strategy_details(change: StrategyChange, common_settings: Sequence[Difference]) -> list[str]:
    """Return the lines on one strategy: its breakdown, start-up, settings and readings in A and in B."""
    own_settings = [difference for difference in change.settings if difference not in common_settings]
    detail_lines = (
        _breakdown_table(change.run, "Wall time of the run for each step", part_in_words) if change.run else []
    )
    detail_lines += _breakdown_table(change.ledger) if change.ledger else []
    detail_lines += _until_steady_table(change.until_steady)
    detail_lines += titled_table("Settings that differ", difference_rows(own_settings))
    detail_lines += titled_table("Readings that differ", _reading_rows(change))
    return [change.strategy, *(f"  {line}" for line in detail_lines)] if detail_lines else []


def _breakdown_table(
    ledger: Ledger, what_step: str = "Step in the trace", category_name: Callable[[str], str] = str
) -> list[str]:
    shown_changes = [change for change in ledger.changes if worth_telling(change, ledger)]
    step_sentence = f"{what_step}: {wording.milliseconds(ledger.a_step_ms)} in A, "
    step_sentence += f"{wording.milliseconds(ledger.b_step_ms)} in B ({signed_ms(ledger.b_step_ms - ledger.a_step_ms)})"
    if not shown_changes:
        return [f"{step_sentence}; no part of it changed"]
    ledger_rows = [["", "A", "of it", "B", "of it", "change"]]
    for change in shown_changes:
        a_cells = [wording.milliseconds(change.a_ms), wording.share(change.a_fraction)]
        b_cells = [wording.milliseconds(change.b_ms), wording.share(change.b_fraction)]
        ledger_rows.append([category_name(change.category), *a_cells, *b_cells, signed_ms(change.change_ms)])
    small_changes = [change for change in ledger.changes if change not in shown_changes]
    if small_changes:
        # One row for all small parts, so that the rows add up to the step's change.
        small_ms = [sum(change.a_ms for change in small_changes), sum(change.b_ms for change in small_changes)]
        small_fractions = [
            sum(change.a_fraction for change in small_changes),
            sum(change.b_fraction for change in small_changes),
        ]
        small_cells = [wording.milliseconds(small_ms[0]), wording.share(small_fractions[0])]
        small_cells += [wording.milliseconds(small_ms[1]), wording.share(small_fractions[1])]
        ledger_rows.append(["all else", *small_cells, signed_ms(small_ms[1] - small_ms[0])])
    return [step_sentence, *(f"  {line}" for line in _aligned_columns(ledger_rows))]


def _until_steady_table(parts: Sequence[PartChange]) -> list[str]:
    """Say where the time before the steady steps went, if it differs by half a second and by a tenth of the longer."""
    a_seconds, b_seconds = sum(part.a_s for part in parts), sum(part.b_s for part in parts)
    if abs(b_seconds - a_seconds) < max(LEAST_CHANGE_S, LEAST_CHANGE_FRACTION * max(a_seconds, b_seconds)):
        return []
    part_rows = [["", "A", "B", "change"]]
    for part in parts:
        change_words = f"{part.change_s:+.1f} s"
        part_rows.append([part.part, f"{part.a_s:.1f} s", f"{part.b_s:.1f} s", change_words])
    until_steady_sentence = (
        f"Until the steps were steady: {a_seconds:.1f} s in A, {b_seconds:.1f} s in B ({b_seconds - a_seconds:+.1f} s)"
    )
    return [until_steady_sentence, *(f"  {line}" for line in _aligned_columns(part_rows))]


def _reading_rows(change: StrategyChange) -> list[list[str]]:
    readings = change.telemetry[:MOST_READINGS]
    reading_rows = [
        [reading.name, wording.significant(reading.a), wording.significant(reading.b), reading.unit]
        for reading in readings
    ]
    readings_left = len(change.telemetry) - len(readings)
    return [*reading_rows, *([[f"and {readings_left} more (--json)", "", "", ""]] if readings_left else [])]


def difference_rows(differences: Sequence[Difference]) -> list[list[str]]:
    """Return a row (name, A, B) for each difference."""
    return [[difference.name, difference.a, difference.b] for difference in differences]


def titled_table(title: str, rows: list[list[str]]) -> list[str]:
    """Return a title and the indented rows below it; nothing without rows."""
    return (
        [title, *(f"  {line}" for line in _aligned_columns([["", "A", "B", *[""] * (len(rows[0]) - 3)], *rows]))]
        if rows
        else []
    )


def _aligned_columns(rows: list[list[str]]) -> list[str]:
    """Pad each column to its widest cell, those of figures to the right; the first row is the heading."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right_aligned = [all(not cell or cell[0].isdigit() or cell[0] in "+-" for cell in column[1:]) for column in columns]
    padded_lines = []
    for row in rows:
        padded_cells = zip(row, widths, right_aligned, strict=True)
        padded_lines.append(
            "  ".join(cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in padded_cells)
        )
    return [line.rstrip() for line in padded_lines]


def _rate_cell(rate: Interval | None) -> str:
    # As many digits as the ratio of two of them has.
    return wording.significant(rate.value, 4) if rate else "-"


def _ratio_cell(value: float) -> str:
    return f"{value:.3f}"


def signed_ms(change_ms: float) -> str:
    """Write a change in ms with its sign: `+1.20 ms`."""
    return f"{'+' if change_ms >= 0 else '-'}{wording.milliseconds(abs(change_ms))}"
