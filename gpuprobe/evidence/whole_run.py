"""Where the wall time of a whole run went: its phases as a breakdown that adds up to it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gpuprobe.records import Record, Wall, WallPart
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
# Parts that come once, however long a training goes on.
ONCE: frozenset[RunPart] = frozenset({"imports", "build", "first_call", "held", "gpuprobe", "tail"})
# The part that each phase of a planned run belongs to; its trace comes after the steps that count.
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


class RunRow(Record, frozen=True, kw_only=True):
    """One part of a run: its seconds, its share of the wall time (0 to 1), and how often it came.

    `name` is that of a callback. For `steps` and first calls, `times` counts calls of the train function. `spread` is
    the relative 95 % range in which the total would lie if the part came as often again; None where it is not known.
    """

    part: RunPart
    name: str = ""
    seconds: float
    share: float
    times: int
    spread: float | None = None


class RunBreakdown(Record, frozen=True, kw_only=True):
    """The wall time of a run in exclusive parts that add up to it, in the order in which they come.

    `goodput` is the share of the wall time in which steps ran (0 to 1), `recurring_s` the time without the parts that
    come once. `complete` is false for a run that was cut off or still goes on. A `planned` run is as short as was asked
    for, so its parts that come once say nothing about a training. `plain_s` is the mean call of the train function
    without the first of each epoch; None where there are too few.
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
        """Return how many seconds these parts took together."""
        return sum(row.seconds for row in self.rows if row.part in parts)


def once(trainings: int) -> frozenset[RunPart]:
    """Return the parts that come once, however long a run goes on; `fit` itself is one of them if it is called once."""
    return ONCE if trainings > 1 else ONCE | {"fit"}


def breakdown_of_run(run: Run) -> RunBreakdown | None:
    """Return the breakdown of a run's recorded wall time, else of its planned phases; None where it has neither."""
    if run.wall is not None or run.phases:
        return breakdown_of_wall(run.wall or _wall_of_phases(run), planned=run.wall is None)
    return None


def _wall_of_phases(run: Run) -> Wall:
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
    """Return the breakdown of a recorded wall time; None where its parts took no time."""
    wall_ns = sum(part.total_ns for part in wall.parts)
    if wall_ns <= 0:
        return None
    by_part = _by_part(wall.parts)
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
        for (part, name), took in sorted(by_part.items(), key=lambda item: (order.index(item[0][0]), -item[1].total_ns))
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


@dataclass
class _Took:
    """The time of one part, added up so far."""

    total_ns: int = 0
    times: int = 0
    squares_s2: float = 0.0

    def add(self, total_ns: int, times: int, squares_s2: float = 0.0) -> None:
        self.total_ns, self.times = self.total_ns + total_ns, self.times + times
        self.squares_s2 += squares_s2

    @property
    def spread(self) -> float | None:
        """How far another total of as many times may be off this one (95 %, relative); None where that is not known.

        Both totals have the same error.
        """
        if self.times < fixed.TIMES_TELLING or not self.squares_s2 or self.total_ns <= 0:
            return None
        seconds = self.total_ns / NS_PER_S
        return 2 * math.sqrt(2 * max(0.0, self.squares_s2 - seconds**2 / self.times)) / seconds


def _by_part(parts: Iterable[WallPart]) -> dict[tuple[RunPart, str], _Took]:
    """Return the time of each part, added up by kind and name.

    The first call of an epoch also waits for the first batch, and so for a shuffle buffer that fills. As much of it as
    a usual call takes counts as a step, the rest as the epoch's start. If an epoch has no other call, all of it counts
    as a step. Steps are recorded in stretches of many calls, so their squares say nothing about one call.
    """
    by_part: dict[tuple[RunPart, str], _Took] = {}
    first_calls = _Took()
    for part in parts:
        if part.kind == "epoch_first_call":
            first_calls.add(part.total_ns, part.times, part.squares_s2)
        else:
            squares = 0.0 if part.kind == "steps" else part.squares_s2
            by_part.setdefault((part.kind, part.name), _Took()).add(part.total_ns, part.times, squares)
    steps, epoch_start = (by_part.setdefault((part, ""), _Took()) for part in ("steps", "epoch_start"))
    all_ns = first_calls.total_ns
    usual_ns = first_calls.times * steps.total_ns // steps.times if steps.times > 0 else all_ns
    steps.add(min(all_ns, usual_ns), first_calls.times)
    epoch_start.add(all_ns - min(all_ns, usual_ns), 0)
    return by_part


def _plain_s(parts: Iterable[WallPart]) -> float | None:
    """Return the mean time from one call to the next, the first call of each epoch left out; None for too few calls."""
    steps = [part for part in parts if part.kind == "steps"]
    seconds, times = sum(part.total_ns for part in steps) / NS_PER_S, sum(part.times for part in steps)
    return seconds / times if times >= fixed.CALLS_TELLING and seconds > 0 else None


def _times(parts: Iterable[WallPart], *kinds: PartKind) -> int:
    return sum(part.times for part in parts if part.kind in kinds)
