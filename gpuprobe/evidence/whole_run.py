"""Where the wall time of a whole run went: its phases as a breakdown that adds up, and as signals.

The signals: `run_wall_s`, `run_goodput` (steps over all), `run_complete`, `run_trainings`, `run_epochs`, `run_calls`,
`run_calls_per_training`, `run_calls_per_epoch`, `run_s.<part>` in seconds, `run_times.<part>`, and `run_share.<part>`:
of what comes again and again, `run_share.startup` of all; `run_recurring_s` is what comes again and again. The 95 %
range by which a part's total may differ when it comes as often again is `run_spread.<part>`, of that total.
`run_step_s` is a step that no first call of an epoch was. `run_name.callback` and `run_name.checkpoint` name the one
that took longest, which came `run_times_of_named.<part>` times.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gpuprobe.records import Evidence, Record, Signal, Wall, WallPart
from gpuprobe.thresholds import fixed
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpuprobe.records import PartKind, PhaseName, Run

RunPart = Literal[
    "imports",
    "build",
    "first_call",
    "first_call_again",
    "retracing",
    "steps",
    "input",
    "epoch_start",
    "between_epochs",
    "validation",
    "callback",
    "checkpoint",
    "fit",
    "predict",
    "evaluate",
    "between_trainings",
    "held",
    "gpuprobe",
    "tail",
]
# What comes once, however long a training goes on.
ONCE: frozenset[RunPart] = frozenset({"imports", "build", "first_call", "held", "gpuprobe", "tail"})
STARTUP: frozenset[RunPart] = frozenset({"imports", "build"})
# What the phases of a planned run are; its trace comes after the steps that count.
PLANNED: dict[PhaseName, PartKind] = {
    "start": "imports",
    "build": "build",
    "warmup": "first_call",
    "held": "held",
    "settle": "steps",
    "window": "steps",
    "rest": "steps",
    "trace": "gpuprobe",
    "paused": "held",
    "refill": "steps",
    "turn": "steps",
}
SOURCE = "clock, Keras's own calls"


class RunRow(Record, frozen=True, kw_only=True):
    """One part of a run: its seconds, its share of the wall time (0 to 1), and how often it came.

    `name` is that of a callback; of `steps` and first calls, `times` counts calls of the train function. `spread` is
    by how much of itself the total may differ when as many come again, at 95 %; None where nothing tells.
    """

    part: RunPart
    name: str = ""
    seconds: float
    share: float
    times: int
    spread: float | None = None


class RunBreakdown(Record, frozen=True, kw_only=True):
    """The wall time of a run in exclusive parts that add up to it, in the order in which a run has them.

    `goodput` is the share of the wall time in which steps ran, `recurring_s` the time without what comes once.
    `complete` is false for a run that was cut off, or still goes on. One that was `planned` is as short as was asked
    for: what comes once is no measure of a training. `plain_s` is the mean of a call that is none of the first of an
    epoch, None where there are too few of them.
    """

    wall_s: float
    rows: tuple[RunRow, ...]
    goodput: float
    recurring_s: float
    complete: bool
    trainings: int
    epochs: int
    calls: int
    planned: bool = False
    plain_s: float | None = None

    def seconds(self, *parts: RunPart) -> float:
        """Return how long these parts took together."""
        return sum(row.seconds for row in self.rows if row.part in parts)


def once(trainings: int) -> frozenset[RunPart]:
    """Return the parts that come once, however long a run goes on: where `fit` is called once, what it does around."""
    return ONCE if trainings > 1 else ONCE | {"fit"}


def breakdown_of_run(run: Run) -> RunBreakdown | None:
    """Return the breakdown of a run's own wall time, or of its planned phases; None where it has neither."""
    if run.wall is not None or run.phases:
        return breakdown_of_wall(run.wall or _planned(run), planned=run.wall is None)
    return None


def _planned(run: Run) -> Wall:
    parts = [
        WallPart(
            kind=PLANNED[phase.name],
            total_ns=phase.end_ns - phase.start_ns,
            times=max(1, len(phase.call_ends_ns)) if PLANNED[phase.name] != "steps" else len(phase.call_ends_ns),
        )
        for phase in run.phases
    ]
    return Wall(
        started_ns=run.phases[0].start_ns,
        ended_ns=run.phases[-1].end_ns,
        parts=tuple(parts),
        complete=run.outcome.state == "done",
        steps_per_call=run.phases[0].steps_per_call,
    )


def breakdown_of_wall(wall: Wall, *, planned: bool = False) -> RunBreakdown | None:
    """Return the breakdown of a wall time; None of one that holds no time."""
    wall_ns = sum(part.total_ns for part in wall.parts)
    if wall_ns <= 0:
        return None
    told = _told(wall.parts)
    order = list(RunPart.__args__)  # type: ignore[attr-defined]
    rows = [
        RunRow(
            part=part,
            name=name,
            seconds=took.total_ns / NS_PER_S,
            share=took.total_ns / wall_ns,
            times=took.times,
            spread=took.spread,
        )
        for (part, name), took in sorted(told.items(), key=lambda item: (order.index(item[0][0]), -item[1].total_ns))
        if took.total_ns > 0
    ]
    return RunBreakdown(
        wall_s=wall_ns / NS_PER_S,
        rows=tuple(rows),
        goodput=sum(row.share for row in rows if row.part == "steps"),
        recurring_s=sum(row.seconds for row in rows if row.part not in once(_times(wall.parts, "fit"))),
        complete=wall.complete,
        trainings=_times(wall.parts, "fit"),
        epochs=_times(wall.parts, "epoch_start"),
        calls=_times(wall.parts, "steps", "epoch_first_call", "first_call", "first_call_again", "retracing"),
        planned=planned,
        plain_s=_plain_s(wall.parts),
    )


def signals(breakdown: RunBreakdown) -> Evidence:
    """Return a breakdown as signals."""
    startup = breakdown.seconds(*STARTUP) / breakdown.wall_s
    said: list[tuple[str, str, float | str | bool | None, str]] = [
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
            None if breakdown.planned else startup,
            "the run was planned, and is short",
        ),
    ]
    for part in dict.fromkeys(row.part for row in breakdown.rows):
        rows = [row for row in breakdown.rows if row.part == part]
        seconds = sum(row.seconds for row in rows)
        said += [
            (f"run_s.{part}", "s", seconds, ""),
            (f"run_times.{part}", "", float(sum(row.times for row in rows)), ""),
        ]
        if (spread := _together(rows)) is not None:
            said.append((f"run_spread.{part}", "of its time", spread, ""))
        if part not in once(breakdown.trainings):
            said.append(
                (f"run_share.{part}", "of the time without what comes once", seconds / breakdown.recurring_s, "")
            )
        if rows[0].name:
            said.append((f"run_name.{part}", "", rows[0].name, ""))
            said.append((f"run_times_of_named.{part}", "", float(rows[0].times), ""))
    return Evidence(
        signals=tuple(
            Signal(name=name, unit=unit, source=SOURCE, value=value, missing=missing if value is None else None)
            for name, unit, value, missing in said
        )
    )


@dataclass
class _Took:
    """What a part took so far."""

    total_ns: int = 0
    times: int = 0
    squares_s2: float = 0.0

    def add(self, total_ns: int, times: int, squares_s2: float = 0.0) -> None:
        self.total_ns, self.times = self.total_ns + total_ns, self.times + times
        self.squares_s2 += squares_s2

    @property
    def spread(self) -> float | None:
        """By how much of itself another total of as many times may differ at 95 %: both have that error."""
        if self.times < fixed.TIMES_TELLING or not self.squares_s2 or self.total_ns <= 0:
            return None
        seconds = self.total_ns / NS_PER_S
        return 2 * math.sqrt(2 * max(0.0, self.squares_s2 - seconds**2 / self.times)) / seconds


def _told(parts: Iterable[WallPart]) -> dict[tuple[RunPart, str], _Took]:
    """Add the parts up by kind and name; the first call of an epoch is a step, and what it takes longer is its start.

    It waits for the first batch, and so for a shuffle buffer that fills. Where an epoch has no other call, nothing says
    how long a call takes. Steps pass in stretches of many calls, whose squares tell nothing of a call.
    """
    told: dict[tuple[RunPart, str], _Took] = {}
    first = _Took()
    for part in parts:
        if part.kind == "epoch_first_call":
            first.add(part.total_ns, part.times, part.squares_s2)
        else:
            squares = 0.0 if part.kind == "steps" else part.squares_s2
            told.setdefault((part.kind, part.name), _Took()).add(part.total_ns, part.times, squares)
    steps, start = (told.setdefault((part, ""), _Took()) for part in ("steps", "epoch_start"))
    usual_ns = first.times * steps.total_ns // steps.times if steps.times > 0 else first.total_ns
    steps.add(min(first.total_ns, usual_ns), first.times)
    start.add(first.total_ns - min(first.total_ns, usual_ns), 0)
    return told


def _plain_s(parts: Iterable[WallPart]) -> float | None:
    """Return the mean of the calls that are none of the first of an epoch, with what lies between two of them."""
    took = [part for part in parts if part.kind == "steps"]
    seconds, times = sum(part.total_ns for part in took) / NS_PER_S, sum(part.times for part in took)
    return seconds / times if times >= fixed.CALLS_TELLING and seconds > 0 else None


def _together(rows: Iterable[RunRow]) -> float | None:
    """Return the spread of a part's total over its rows; None where that of its largest is not known."""
    rows = sorted(rows, key=lambda row: -row.seconds)
    if rows[0].spread is None:
        return None
    return math.hypot(*(row.seconds * (row.spread or 0.0) for row in rows)) / sum(row.seconds for row in rows)


def _times(parts: Iterable[WallPart], *kinds: PartKind) -> int:
    return sum(part.times for part in parts if part.kind in kinds)


def _ratio(count: int, of: int) -> float | None:
    return count / of if of else None
