"""The story of a search in words and cells: which change was tried on top of which, and why it was kept or dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report.account import ratio
from gpuprobe.report.cells import rate, times

if TYPE_CHECKING:
    from gpuprobe.ranking.ranking import Ranking, Search, SearchStep


def table(search: Search, ranking: Ranking) -> list[list[str]]:
    """Return the head, where the search starts, and one row of cells for each step; an empty cell was not measured."""
    if not search.steps:
        return []
    whole = f"times as fast as {ranking.baseline}"
    head = ["step", "change", "outcome", "predicted here", "gained here", "gained alone", whole, "samples/s (95 %)"]
    return [head, *_start(search, ranking), *(_row(step, ranking) for step in search.steps)]


def ending(search: Search) -> str:
    """Say what was kept, and what was not tried and why."""
    kept = f"{_names(search.kept)} on top of `{search.start}`" if search.kept else f"no change of `{search.start}`"
    said = [f"Kept: {kept}."]
    if not search.steps and not search.left:
        said.insert(0, "No change had gained by itself beyond the noise, so that none was tried.")
    if search.left and search.following is None:
        said.append(
            f"Not tried: {_names(search.left)}; the search of this study has {_steps(search)} at most after the first."
        )
    elif search.following is not None:
        waits = _names(search.left) if search.left else f"`{search.strategy}` as it was kept"
        said.append(f"Not measured yet: {waits}.")
    return " ".join(said)


def _start(search: Search, ranking: Ranking) -> list[list[str]]:
    """The baseline, and the strategy that the search builds on where that is another."""
    rows = []
    for name, outcome in ((ranking.baseline, "the baseline"), (search.start, "where the search starts")):
        row = ranking.row(name)
        if row is not None and (name != ranking.baseline or outcome == "the baseline"):
            speedup = wording.times(row.speedup.value) if row.speedup else "1"
            rows.append(["", f"`{row.strategy}`", outcome, "", "", "", speedup, rate(row.samples_per_s)])
    return rows


def _row(step: SearchStep, ranking: Ranking) -> list[str]:
    baseline = ranking.row(ranking.baseline)
    reached = step.samples_per_s.value / baseline.samples_per_s.value if step.samples_per_s and baseline else None
    return [
        str(step.step),
        f"`{step.change}`",
        f"{'kept' if step.kept else 'dropped'}: {step.reason}",
        ratio(step.foretold) if step.foretold else "",
        times(step.gain) if step.gain else "",
        times(step.predicted) if step.predicted else "",
        wording.times(reached) if reached else "",
        rate(step.samples_per_s) if step.samples_per_s else "",
    ]


def _names(names: tuple[str, ...]) -> str:
    return wording.listing([f"`{name}`" for name in names])


def _steps(search: Search) -> str:
    return wording.count(search.at_most or 0, "step")
