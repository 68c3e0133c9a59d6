"""The breakdown of a whole run in words: its parts and figures, for terminal and report alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpuprobe.evidence.whole_run import RunBreakdown, RunPart, RunRow
    from gpuprobe.records import Signal

PART_WORDS: dict[RunPart, str] = {
    "imports": "start-up: Python and imports",
    "build": "start-up: data and model",
    "first_call": "first call (tracing, compiling)",
    "first_call_again": "first calls of further models",
    "retracing": "calls that built their graph again",
    "steps": "steps",
    "input": "the loop waits for tf.data",
    "epoch_start": "epochs: the iterator starts, buffers fill",
    "between_epochs": "between epochs: metrics, Keras itself",
    "validation": "validation",
    "callback": "callback",
    "checkpoint": "checkpoint",
    "fit": "fit, before and after its epochs",
    "predict": "predict",
    "evaluate": "evaluate",
    "between_trainings": "the script's own code between trainings",
    "held": "waiting for its turn",
    "gpuprobe": "gpuprobe itself, tracing",
    "tail": "after the last training",
}
COUNTED: frozenset[RunPart] = frozenset({"steps", "first_call_again", "retracing", "validation", "predict", "evaluate"})
# The other figures of a run as sentences.
FIGURES = {"run_wall_s": "the run took {duration}", "run_goodput": "its steps {share} of that"}
# The counts of a run, each as a noun and the words after it.
COUNTS = {
    "run_trainings": ("call", " of fit"),
    "run_epochs": ("epoch", ""),
    "run_calls_per_epoch": ("step", " an epoch"),
    "run_calls_per_training": ("step", " a call of fit"),
}
# Smaller shares are added up in one row.
WORTH_A_ROW = 0.005
SMALL_PARTS = "everything else"


@dataclass(frozen=True)
class RunPartLine:
    """One part of a run: its name, its time, its share of the wall time, and how often it occurred (may be empty)."""

    what: str
    time: str
    share: str
    times: str


def run_part_lines(breakdown: RunBreakdown) -> list[RunPartLine]:
    """Return a row for each larger part, and one for the rest, so that they add up to the wall time."""
    larger_parts = [run_part for run_part in breakdown.rows if run_part.share >= WORTH_A_ROW]
    part_lines = [
        RunPartLine(
            _part_name(run_part), wording.duration(run_part.seconds), wording.share(run_part.share), _times(run_part)
        )
        for run_part in larger_parts
    ]
    small_parts = [run_part for run_part in breakdown.rows if run_part.share < WORTH_A_ROW]
    if small_parts:
        seconds, share = (
            sum(run_part.seconds for run_part in small_parts),
            sum(run_part.share for run_part in small_parts),
        )
        part_lines.append(RunPartLine(SMALL_PARTS, wording.duration(seconds), wording.share(share), ""))
    return part_lines


def run_parts_table(runs: Mapping[str, RunBreakdown]) -> list[list[str]]:
    """Return a heading and one row a run, by its name: its wall time, and the share of each part that took any."""
    parts = [part for part in PART_WORDS if any(run.seconds(part) for run in runs.values())]
    heading = ["run", "wall time", *(PART_WORDS[part] for part in parts)]
    run_rows = [
        [run_name, wording.duration(run.wall_s), *(wording.share(run.seconds(part) / run.wall_s) for part in parts)]
        for run_name, run in runs.items()
    ]
    return [heading, *run_rows] if run_rows else []


def run_headline(breakdown: RunBreakdown) -> str:
    """Say how long the run took, and how much of it were steps."""
    where_cut = "" if breakdown.complete else ", up to where it was cut off"
    return (
        f"Where the wall time went{where_cut}: {wording.duration(breakdown.wall_s)}, of which steps took "
        f"{wording.share(breakdown.goodput)} (goodput)"
    )


def _part_name(row: RunRow) -> str:
    return part_in_words(f"{row.part} {row.name}".rstrip())


def part_in_words(part: str) -> str:
    """Return a part of a run in words. The name of a callback may follow the part: `callback History`."""
    part_kind, _, part_name = part.partition(" ")
    part_words = next(
        (part_words for known_part, part_words in PART_WORDS.items() if known_part == part_kind), part_kind
    )
    return f"{part_words} {part_name}".rstrip()


def _times(row: RunRow) -> str:
    return f"{row.times:,}" if row.part in COUNTED and row.times else ""


def run_figure_label(name: str) -> str:
    """Return the name of a figure of a whole run in words; empty where the signal is no such figure."""
    figure_kind, _, part = name.partition(".")
    part_words = next(
        (words_of_part for known_part, words_of_part in PART_WORDS.items() if known_part == part), "start-up"
    )
    if figure_kind in COUNTS:
        noun, noun_after = COUNTS[figure_kind]
        return f"{noun}s{noun_after}"
    label_by_kind = {
        "run_s": f"{part_words}, its time",
        "run_share": f"{part_words}, its share",
        "run_times": f"{part_words}, how often",
        "run_name": f"{part_words}, its name",
    }
    return label_by_kind.get(figure_kind, "")


def run_figure(signal: Signal) -> str | None:
    """Return a figure of a whole run in words.

    It is empty where the claim states it already, and None where the signal is no figure of a whole run.
    """
    figure_kind, _, part = signal.name.partition(".")
    figure_value = signal.value
    if figure_kind == "run_name":
        return ""
    part_words = next((words for known_part, words in PART_WORDS.items() if known_part == part), "start-up")
    words = {
        "run_s": f"{part_words}: {{duration}}",
        "run_share": f"{part_words}: {{share}} {signal.unit}",
        "run_times": f"{part_words}: {{number}} times",
    }.get(figure_kind, FIGURES.get(figure_kind))
    if not isinstance(figure_value, float):
        return None
    # A mean of counts may be no whole number: 12.5 steps an epoch.
    figure_number = f"{figure_value:,.0f}" if figure_value == round(figure_value) else wording.significant(figure_value)
    if figure_kind in COUNTS:
        noun, noun_after = COUNTS[figure_kind]
        return f"{figure_number} {noun}{'' if figure_value == 1 else 's'}{noun_after}"
    return words and words.format(
        duration=wording.duration(figure_value), share=wording.share(figure_value), number=figure_number
    )
