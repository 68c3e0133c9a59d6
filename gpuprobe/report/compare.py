"""A comparison as text: the verdict first, then the rates, what changed in the step, and what else differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report.compare_tables import (
    difference_rows,
    rates_table,
    signed_ms,
    strategy_details,
    titled_table,
    worth_telling,
)
from gpuprobe.report.whole_run import part_in_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.compare.records import (
        CategoryChange,
        Cause,
        Comparison,
        Difference,
        Ledger,
        StrategyChange,
    )

SIMULATED = "SIMULATED: at least one of the two was never measured."
FEWEST_STRATEGIES = 2


def comparison_text(comparison: Comparison) -> str:
    """Write a comparison as lines for a terminal or a file."""
    common_settings = _common_settings(comparison.strategies)
    details = [strategy_details(change, common_settings) for change in comparison.strategies]
    text_parts = [
        _comparison_head(comparison),
        rates_table(comparison),
        *details,
        titled_table("Settings that differ in all of them", difference_rows(common_settings)),
        titled_table("Environment that differs", difference_rows(comparison.environment)),
        _notes(comparison),
    ]
    return "\n\n".join("\n".join(part_lines) for part_lines in text_parts if part_lines)


def _common_settings(changes: Sequence[StrategyChange]) -> tuple[Difference, ...]:
    """Return the settings that differ in the same way in all strategies, which are printed once."""
    if len(changes) < FEWEST_STRATEGIES:
        return ()
    return tuple(setting for setting in changes[0].settings if all(setting in change.settings for change in changes))


def _comparison_head(comparison: Comparison) -> list[str]:
    head_lines = [SIMULATED] if comparison.simulated else []
    head_lines += [f"FORCED: {reason}: the ratios compare unlike things." for reason in comparison.forced]
    head_lines += [f"A  {comparison.a} ({comparison.a_kind})", f"B  {comparison.b} ({comparison.b_kind})"]
    return [*head_lines, *_verdict(comparison)]


def _verdict(comparison: Comparison) -> list[str]:
    outcome_phrases = []
    for outcome, outcome_words in (("slower", "B is slower in"), ("faster", "B is faster in"), ("tie", "tie in")):
        strategies = [change.strategy for change in comparison.strategies if change.outcome == outcome]
        if strategies:
            outcome_phrases.append(f"{outcome_words} {wording.listing(strategies)}")
    rates_sentence = "; ".join(outcome_phrases)
    whole_run_sentences = [_whole_run_sentence(change, change.run) for change in comparison.strategies if change.run]
    if whole_run_sentences:
        # The timed steps leave out the time between them, so they may be equally fast while the run is slower.
        verdict = " ".join(
            [*whole_run_sentences, f"In the timed steps alone: {rates_sentence}."]
            if rates_sentence
            else whole_run_sentences
        )
    else:
        verdict = f"{rates_sentence[:1].upper() + rates_sentence[1:] or 'No rates to compare'}."
    cause_sentences = [outcome_words for change in comparison.strategies if (outcome_words := _cause_sentence(change))]
    return ["", f"Verdict: {verdict}", *cause_sentences, *_fail_below_lines(comparison)]


def _whole_run_sentence(change: StrategyChange, run: Ledger) -> str:
    """Say how long a step takes over the whole run, and which part explains most of the difference."""
    step_times = [wording.milliseconds(step_ms) for step_ms in (run.a_step_ms, run.b_step_ms)]
    run_sentence = (
        f"Over the whole run, one-time parts left out, a step takes {step_times[0]} in A and {step_times[1]} in B."
    )
    most_changed = _most_changed(run)
    if most_changed is None:
        return run_sentence
    run_sentence += (
        f" Most of the difference: {part_in_words(most_changed.category)} ({signed_ms(most_changed.change_ms)})"
    )
    most_changed_traced = _most_changed(change.ledger) if change.ledger and most_changed.category == "steps" else None
    # Only few steps are traced, and tracing slows them: where they changed the other way, they explain nothing.
    if most_changed_traced and most_changed_traced.change_ms * most_changed.change_ms > 0:
        run_sentence += (
            f"; in the traced step: {most_changed_traced.category} ({signed_ms(most_changed_traced.change_ms)})"
        )
    return f"{run_sentence}."


def _most_changed(ledger: Ledger) -> CategoryChange | None:
    """Return the part that changed most in the direction of the total; None where that change is too small."""
    change_ms = ledger.b_step_ms - ledger.a_step_ms
    most_changed = next((part for part in ledger.changes if part.change_ms * change_ms > 0), None)
    return most_changed if most_changed and worth_telling(most_changed, ledger) else None


def _cause_sentence(change: StrategyChange) -> str:
    """Say which cause leads in A and in B, and whether A's is gone; empty where only one was diagnosed."""
    cause_a, cause_b = change.a_cause, change.b_cause
    if cause_a is None or cause_b is None:
        return ""
    if (cause_a.cause, cause_a.stage) == (cause_b.cause, cause_b.stage):
        cause_shares = [f"{wording.share(side.severity)} of the {side.of}" for side in (cause_a, cause_b)]
        in_a, in_b = (
            f"{cause_shares[0]} in A (confidence {cause_a.confidence})",
            f"{cause_shares[1]} in B (confidence {cause_b.confidence})",
        )
        return f"The same cause leads in both: {_cause_and_stage(cause_a)}, with {in_a} and {in_b}."
    fate = "is gone" if change.gone else "no longer leads"
    led_in_a = f"{_cause_and_stage(cause_a)} (confidence {cause_a.confidence}), which led in A, {fate}"
    return f"{led_in_a}; in B {_cause_and_stage(cause_b)} leads ({cause_b.confidence})."


def _cause_and_stage(cause: Cause) -> str:
    return f"{cause.cause}, {cause.stage}" if cause.stage else cause.cause


def _fail_below_lines(comparison: Comparison) -> list[str]:
    if comparison.fail_below is None:
        return []
    least_ratio = f"{comparison.fail_below:g}"
    below_least = [change.strategy for change in comparison.strategies if change.below]
    failed_lines = (
        [f"FAILED: B/A is below {least_ratio} beyond the noise in {wording.listing(below_least)}."]
        if below_least
        else []
    )
    if comparison.failed_in_b:
        failed_lines.append(f"FAILED: {wording.listing(list(comparison.failed_in_b))} did not run to its end in B.")
    unsure = [change.strategy for change in comparison.strategies if _may_be_below(change, comparison.fail_below)]
    unsure_sentence = f" The noise is too large to tell for {wording.listing(unsure)}." if unsure else ""
    return failed_lines or [f"Passed: no B/A is below {least_ratio} beyond the noise.{unsure_sentence}"]


def _may_be_below(change: StrategyChange, floor: float) -> bool:
    return change.ratio is not None and change.ratio.low < floor <= change.ratio.high


def _notes(comparison: Comparison) -> list[str]:
    note_lines = [f"{strategy} failed in B: {reason}." for strategy, reason in comparison.failed_in_b.items()]
    note_lines += [f"Only A measured {wording.listing(comparison.only_a)}."] if comparison.only_a else []
    note_lines += [f"Only B measured {wording.listing(comparison.only_b)}."] if comparison.only_b else []
    note_lines += [
        f"Where the step of {strategies} went is not known: {reason}."
        for reason, strategies in _without_breakdown(comparison).items()
    ]
    unchecked_facts = wording.listing(comparison.not_checked)
    note_lines += (
        [f"Not checked to be the same, since A or B does not record it: {unchecked_facts}."] if unchecked_facts else []
    )
    return (
        ["Notes", *(f"  {line}" for line in (*note_lines, *comparison.notes))] if note_lines or comparison.notes else []
    )


def _without_breakdown(comparison: Comparison) -> dict[str, str]:
    by_reason: dict[str, list[str]] = {}
    for change in comparison.strategies:
        if change.ledger is None:
            by_reason.setdefault(change.why_no_ledger, []).append(change.strategy)
    return {reason: wording.listing(strategies) for reason, strategies in by_reason.items()}
