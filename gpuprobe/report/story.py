"""The story of a search in words and cells: which change was tried on top of which, and why it was kept or dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report.cells import miss, rate, times
from gpuprobe.report.findings import ratio

if TYPE_CHECKING:
    from gpuprobe.ranking.ranking import Ranking
    from gpuprobe.ranking.search_records import Promise, Search, SearchStep


@dataclass(frozen=True)
class Story:
    """The story of one search: its rules, its steps as a table, its result, and the changes that it did not try."""

    strategy: str
    beginning: str
    table: list[list[str]]
    ending: str
    left: list[str]


def story_of(search: Search, ranking: Ranking) -> Story:
    """Return the story of a search, from its recorded decisions."""
    return Story(search.strategy, beginning(search), table(search, ranking), ending(search, ranking), left(search))


def beginning(search: Search) -> str:
    """Say where the search started, and by which rules it chose."""
    least = wording.times(search.least_gain)
    return (
        f"Starting from `{search.start}`, the change with the largest predicted gain is tried on top of those kept so "
        "far. The prediction replays the trace of these with the change; where that trace cannot tell, it is what the "
        f"change gained in its own runs. A change is kept if it is faster beyond the noise (here one run must be "
        f"{least} as fast) and its loss stays in the band of the others. The next prediction uses the new trace."
    )


def table(search: Search, ranking: Ranking) -> list[list[str]]:
    """Return the head, where the search starts, and one row of cells for each step; an empty cell was not measured."""
    if not search.steps:
        return []
    whole = f"times as fast as {search.start}"
    head = ["step", "change", "predicted", "from", "measured", "miss", "outcome", whole, "samples/s (95 %)"]
    start = ranking.row(search.start)
    first = ["", f"`{search.start}`", "", "", "", "", "the start", "1", rate(start.samples_per_s) if start else ""]
    return [head, first, *(_step_row(number, step) for number, step in enumerate(search.steps, start=1))]


def ending(search: Search, ranking: Ranking) -> str:
    """Say what was kept, what it gained when measured once more, and whether the search has ended."""
    sentences = [_kept(search)]
    row = ranking.row(search.strategy)
    if row is not None and row.gain:
        again = "Measured once more" if search.final else "Measured"
        sentences.append(f"{again} as `{search.strategy}`, that is {times(row.gain)} as fast as `{search.start}`.")
    if search.following is not None:
        following = f"`{search.strategy}` as it was kept"
        if search.following != search.kept:
            following = _names(search.following)
        sentences.append(f"The search has not ended: {following} is to be measured next.")
    return " ".join(sentences)


def left(search: Search) -> list[str]:
    """Return a line for each change that was not tried: its predicted gain, and why it was left out."""
    return [
        f"`{untried.promise.change.partition('=')[0]}`: {_promised(untried.promise)}{untried.reason}."
        for untried in search.left
    ]


def _kept(search: Search) -> str:
    if search.kept:
        return f"Kept: {_names(search.kept)} on top of `{search.start}`."
    if not search.steps:
        return f"No change was tried, since none was predicted to gain more than the noise over `{search.start}`."
    return f"Kept: nothing; no change gained over `{search.start}`."


def _step_row(number: int, step: SearchStep) -> list[str]:
    outcome = "not measured yet" if step.kept is None else f"{'kept' if step.kept else 'dropped'}: {step.reason}"
    where = f", in the runs of `{step.measured_as}`" if step.measured_as and step.kept is not None else ""
    promise = step.promise
    predicted = ratio(promise.foretold) if promise.foretold else times(promise.alone) if promise.alone else ""
    # A gain that its own runs measured is no prediction of the same runs.
    own_gain = step.measured_as and promise.by == "runs"
    return [
        str(number),
        f"`{step.change}`",
        "" if own_gain else predicted,
        "trace" if promise.by == "trace" else "" if own_gain else "own runs",
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
