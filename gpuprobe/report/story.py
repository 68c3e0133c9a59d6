"""The story of a search in words and cells: which change was tried on top of which, and why it was kept or dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report.breakdown import ratio
from gpuprobe.report.cells import miss, rate, times

if TYPE_CHECKING:
    from gpuprobe.ranking.ranking import Promise, Ranking, Search, SearchStep


@dataclass(frozen=True)
class Story:
    """The story of one search: how it goes about, its steps as a table, what came of it, and what it left alone."""

    strategy: str
    beginning: str
    table: list[list[str]]
    ending: str
    left: list[str]


def told(search: Search, ranking: Ranking) -> Story:
    """Tell it from what the search decided."""
    return Story(search.strategy, beginning(search), table(search, ranking), ending(search, ranking), left(search))


def beginning(search: Search) -> str:
    """Say from where the search set out, and by which rules."""
    least = wording.times(search.least_gain)
    return (
        f"From `{search.start}` on, the change that promises most is tried on top of what is kept so far. What it "
        "promises is read from the trace of that, replayed with the change; where the trace cannot tell, what the "
        "change gained in its own runs stands for it. It is kept where it is faster beyond the noise (here one run "
        f"must be {least} as fast) and its loss stays in the band of the others. Then the new trace is asked again."
    )


def table(search: Search, ranking: Ranking) -> list[list[str]]:
    """Return the head, where the search starts, and one row of cells for each step; an empty cell was not measured."""
    if not search.steps:
        return []
    whole = f"times as fast as {search.start}"
    head = ["step", "change", "predicted", "from", "measured", "miss", "outcome", whole, "samples/s (95 %)"]
    start = ranking.row(search.start)
    first = ["", f"`{search.start}`", "", "", "", "", "the start", "1", rate(start.samples_per_s) if start else ""]
    return [head, first, *(_row(number, step) for number, step in enumerate(search.steps, start=1))]


def ending(search: Search, ranking: Ranking) -> str:
    """Say what was kept, what that gives when it is measured once more, and whether the search has ended."""
    said = [_kept(search)]
    row = ranking.row(search.strategy)
    if row is not None and row.gain:
        again = "Measured once more" if search.final else "Measured"
        said.append(f"{again} as `{search.strategy}`, that is {times(row.gain)} as fast as `{search.start}`.")
    if search.following is not None:
        waits = f"`{search.strategy}` as it was kept"
        if search.following != search.kept:
            waits = _names(search.following)
        said.append(f"The search has not ended: {waits} is to be measured next.")
    return " ".join(said)


def left(search: Search) -> list[str]:
    """Say, a line each, what was not tried on top of what was kept, what it promised, and why it was left."""
    return [f"`{one.promise.change.partition('=')[0]}`: {_promised(one.promise)}{one.reason}." for one in search.left]


def _kept(search: Search) -> str:
    if search.kept:
        return f"Kept: {_names(search.kept)} on top of `{search.start}`."
    if not search.steps:
        return f"No change was tried, since none promised more than the noise on top of `{search.start}`."
    return f"Kept: nothing; no change gained on top of `{search.start}`."


def _row(number: int, step: SearchStep) -> list[str]:
    outcome = "not measured yet" if step.kept is None else f"{'kept' if step.kept else 'dropped'}: {step.reason}"
    where = f", in the runs of `{step.measured_as}`" if step.measured_as and step.kept is not None else ""
    promise = step.promise
    predicted = ratio(promise.foretold) if promise.foretold else times(promise.alone) if promise.alone else ""
    # What its own runs gained foretells nothing of themselves.
    known = step.measured_as and promise.by == "runs"
    return [
        str(number),
        f"`{step.change}`",
        "" if known else predicted,
        "trace" if promise.by == "trace" else "" if known else "own runs",
        times(step.gain) if step.gain else "",
        miss(step.error),
        outcome + where,
        times(step.speedup) if step.speedup else "",
        rate(step.samples_per_s) if step.samples_per_s else "",
    ]


def _promised(promise: Promise) -> str:
    if promise.foretold:
        return f"predicted {ratio(promise.foretold)}; "
    return f"{times(promise.alone)} in its own runs; " if promise.alone else ""


def _names(names: tuple[str, ...]) -> str:
    return wording.listing([f"`{name}`" for name in names])
