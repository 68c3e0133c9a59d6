"""The story of a search in words and cells: which change was tried on top of which, and why it was kept or dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report.cells import rate, times
from gpuprobe.report.findings import gain_ratio
from gpuprobe.report.prediction_cells import miss

if TYPE_CHECKING:
    from gpuprobe.ranking.ranking import Ranking
    from gpuprobe.ranking.search_records import ExpectedGain, Search, SearchStep


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
    return Story(
        search.strategy,
        search_rules(search),
        search_table(search, ranking),
        search_result(search, ranking),
        not_tried(search),
    )


def search_rules(search: Search) -> str:
    """Say where the search started, and by which rules it chose."""
    least = wording.times(search.least_gain)
    return (
        f"Starting from `{search.start}`, the change with the largest predicted gain is tried on top of those kept so "
        "far. The prediction replays the trace of these with the change; where that trace cannot tell, it is what the "
        f"change gained in its own runs. A change is kept if it is faster beyond the noise of all tries together (here "
        f"one more run must be {least} as fast) and its loss stays in the band of the others. The next prediction uses "
        "the new trace."
    )


def search_table(search: Search, ranking: Ranking) -> list[list[str]]:
    """Return a heading, a row for the start and a row for each step of the search; an empty cell was not measured."""
    if not search.steps:
        return []
    speedup_title = f"times as fast as {search.start}"
    heading = ["step", "change", "predicted", "from", "measured", "miss", "outcome", speedup_title, "samples/s (95 %)"]
    start_row = ranking.row(search.start)
    start_cells = [
        "",
        f"`{search.start}`",
        "",
        "",
        "",
        "",
        "the start",
        "1",
        rate(start_row.samples_per_s) if start_row else "",
    ]
    return [heading, start_cells, *(_step_row(number, step) for number, step in enumerate(search.steps, start=1))]


def search_result(search: Search, ranking: Ranking) -> str:
    """Say what was kept, what it gained when measured once more, and whether the search has ended."""
    ending_sentences = [_kept(search)]
    search_row = ranking.row(search.strategy)
    if search_row is not None and search_row.gain:
        measured_words = "Measured once more" if search.final else "Measured"
        ending_sentences.append(
            f"{measured_words} as `{search.strategy}`, that is {times(search_row.gain)} as fast as `{search.start}`."
        )
    if search.following is not None:
        next_measured = f"`{search.strategy}` as it was kept"
        if search.following != search.kept:
            next_measured = _names(search.following)
        ending_sentences.append(f"The search has not ended: {next_measured} is to be measured next.")
    return " ".join(ending_sentences)


def not_tried(search: Search) -> list[str]:
    """Return a line for each change that was not tried: its predicted gain, and why it was left out."""
    return [
        f"`{untried.expected.change.partition('=')[0]}`: {_promised(untried.expected)}{untried.reason}."
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
    in_runs_of = f", in the runs of `{step.measured_as}`" if step.measured_as and step.kept is not None else ""
    expected = step.expected
    predicted = (
        gain_ratio(expected.predicted)
        if expected.predicted
        else times(expected.measured_alone)
        if expected.measured_alone
        else ""
    )
    # A gain that was measured in the change's own runs does not predict these same runs.
    by_own_runs = step.measured_as and expected.by == "runs"
    return [
        str(number),
        f"`{step.change}`",
        "" if by_own_runs else predicted,
        "trace" if expected.by == "trace" else "" if by_own_runs else "own runs",
        times(step.gain) if step.gain else "",
        miss(step.error),
        outcome + in_runs_of,
        times(step.speedup) if step.speedup else "",
        rate(step.samples_per_s) if step.samples_per_s else "",
    ]


def _promised(expected: ExpectedGain) -> str:
    if expected.predicted:
        return f"predicted {gain_ratio(expected.predicted)}; "
    return f"{times(expected.measured_alone)} in its own runs; " if expected.measured_alone else ""


def _names(names: tuple[str, ...]) -> str:
    return wording.listing([f"`{name}`" for name in names])
