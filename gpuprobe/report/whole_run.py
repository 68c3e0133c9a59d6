"""How the breakdown of a whole run reads: its rows in words, for terminal and report alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpuprobe.evidence.whole_run import RunBreakdown, RunPart, RunRow
    from gpuprobe.records import Signal

PARTS: dict[RunPart, str] = {
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
    "fit": "fit around its epochs",
    "predict": "predict",
    "evaluate": "evaluate",
    "between_trainings": "the script's own code between trainings",
    "held": "waiting for a quiet machine",
    "gpuprobe": "gpuprobe itself, tracing",
    "tail": "after the last training",
}
COUNTED: frozenset[RunPart] = frozenset({"steps", "first_call_again", "retracing", "validation", "predict", "evaluate"})
# The other figures of a run as sentences; and the counts, each as a noun and what follows it.
FIGURES = {"run_wall_s": "the run took {duration}", "run_goodput": "its steps {share} of that"}
COUNTS = {
    "run_trainings": ("call", " of fit"),
    "run_epochs": ("epoch", ""),
    "run_calls_per_epoch": ("step", " an epoch"),
    "run_calls_per_training": ("step", " a call of fit"),
}
# Smaller shares are added up in one row.
WORTH_A_ROW = 0.005
REST = "everything else"


@dataclass(frozen=True)
class Line:
    """One part of a run: its name, its time, its share of the wall time, and how often it occurred (may be empty)."""

    what: str
    time: str
    share: str
    times: str


def lines(breakdown: RunBreakdown) -> list[Line]:
    """Return a row for each larger part, and one for the rest, so that they add up to the wall time."""
    larger = [row for row in breakdown.rows if row.share >= WORTH_A_ROW]
    parts = [
        Line(_part_name(row), wording.duration(row.seconds), wording.share(row.share), _times(row)) for row in larger
    ]
    rest = [row for row in breakdown.rows if row.share < WORTH_A_ROW]
    if rest:
        seconds, share = sum(row.seconds for row in rest), sum(row.share for row in rest)
        parts.append(Line(REST, wording.duration(seconds), wording.share(share), ""))
    return parts


def table(runs: Mapping[str, RunBreakdown]) -> list[list[str]]:
    """Return a heading and one row a run, by its name: its wall time, and the share of each part that took any."""
    parts = [part for part in PARTS if any(run.seconds(part) for run in runs.values())]
    head = ["run", "wall time", *(PARTS[part] for part in parts)]
    rows = [
        [name, wording.duration(run.wall_s), *(wording.share(run.seconds(part) / run.wall_s) for part in parts)]
        for name, run in runs.items()
    ]
    return [head, *rows] if rows else []


def headline(breakdown: RunBreakdown) -> str:
    """Say how long the run took, and how much of it were steps."""
    cut = "" if breakdown.complete else ", up to where it was cut off"
    return (
        f"Where the wall time went{cut}: {wording.duration(breakdown.wall_s)}, of which steps took "
        f"{wording.share(breakdown.goodput)} (goodput)"
    )


def _part_name(row: RunRow) -> str:
    return called(f"{row.part} {row.name}".rstrip())


def called(part: str) -> str:
    """Return a part of a run in words; a name may follow it, as of a callback: `callback History`."""
    kind, _, name = part.partition(" ")
    words = next((words for one, words in PARTS.items() if one == kind), kind)
    return f"{words} {name}".rstrip()


def _times(row: RunRow) -> str:
    return f"{row.times:,}" if row.part in COUNTED and row.times else ""


def figure_label(name: str) -> str:
    """Return the name of a figure of a whole run in words; empty where the signal is no such figure."""
    kind, _, part = name.partition(".")
    called = next((words for known_part, words in PARTS.items() if known_part == part), "start-up")
    if kind in COUNTS:
        noun, after = COUNTS[kind]
        return f"{noun}s{after}"
    kinds = {
        "run_s": f"{called}, its time",
        "run_share": f"{called}, its share",
        "run_times": f"{called}, how often",
        "run_name": f"{called}, its name",
    }
    return kinds.get(kind, "")


def figure(signal: Signal) -> str | None:
    """Return a figure of a whole run in words; empty where the claim states it, None where it is no such figure."""
    kind, _, part = signal.name.partition(".")
    value = signal.value
    if kind == "run_name":
        return ""
    called = next((words for name, words in PARTS.items() if name == part), "start-up")
    words = {
        "run_s": f"{called}: {{duration}}",
        "run_share": f"{called}: {{share}} {signal.unit}",
        "run_times": f"{called}: {{number}} times",
    }.get(kind, FIGURES.get(kind))
    if not isinstance(value, float):
        return None
    # A mean of counts may be none: 12.5 steps an epoch.
    number = f"{value:,.0f}" if value == round(value) else wording.significant(value)
    if kind in COUNTS:
        noun, after = COUNTS[kind]
        return f"{number} {noun}{'' if value == 1 else 's'}{after}"
    return words and words.format(duration=wording.duration(value), share=wording.share(value), number=number)
