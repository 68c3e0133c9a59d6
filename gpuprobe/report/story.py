"""The story of a search in words and cells: which change was tried on top of which, and why it was kept or dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report.cells import rate, times

if TYPE_CHECKING:
    from gpuprobe.ranking.ranking import Search, SearchStep

HEAD = ("step", "change", "alone it gained", "samples/s (95 %)", "against the last kept", "outcome")


def table(search: Search) -> list[list[str]]:
    """Return the head and one row of cells for each step; an empty cell was not measured."""
    return [list(HEAD), *(_row(step) for step in search.steps)] if search.steps else []


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


def _row(step: SearchStep) -> list[str]:
    return [
        str(step.step),
        f"`{step.change}`",
        times(step.predicted) if step.predicted else "",
        rate(step.samples_per_s) if step.samples_per_s else "",
        times(step.gain) if step.gain else "",
        f"{'kept' if step.kept else 'dropped'}: {step.reason}",
    ]


def _names(names: tuple[str, ...]) -> str:
    return wording.listing([f"`{name}`" for name in names])


def _steps(search: Search) -> str:
    return wording.count(search.at_most or 0, "step")
