"""The verdict names a strategy only where the ranking's tests hold for it, and the same one as the title."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec

from gpuprobe.ranking.load import Loaded, load
from gpuprobe.ranking.ranking import Mark
from gpuprobe.report.study_answer import of_study
from gpuprobe.report.verdict import verdict
from tests.helpers.studies import SimulatedStrategy, simulate_study

BASE = SimulatedStrategy(name="python_feed", step_ms=60.0)


def ranked(folder: Path, step_ms: dict[str, float], **row_changes: dict[str, object]) -> Loaded:
    """A study of these strategies whose rows are changed, as those of runs that died after a few laps are."""
    others = [SimulatedStrategy(name=name, step_ms=ms, against=BASE.name) for name, ms in step_ms.items()]
    simulate_study(folder, [BASE, *others])
    loaded = load(folder)
    rows = tuple(
        msgspec.structs.replace(row, **row_changes[row.strategy]) if row.strategy in row_changes else row
        for row in loaded.ranking.rows
    )
    return replace(loaded, ranking=msgspec.structs.replace(loaded.ranking, rows=rows))


def test_a_strategy_of_a_wide_interval_before_it_does_not_hide_one_that_is_faster(tmp_path: Path) -> None:
    loaded = ranked(
        tmp_path,
        {"wide": 40.0, "sure": 46.0},
        wide={"rank": 1, "beyond_baseline": "", "ties_with": ("sure", BASE.name)},
        sure={"rank": 1, "ties_with": ("wide",)},
    )
    said = verdict(loaded).verdict
    assert "`sure` is faster beyond the noise: " in said
    assert " as fast as `python_feed`. `wide` ties with it within the noise." in said
    assert "No strategy" not in said
    assert "fastest" not in said, "one that is ahead of it may be faster"
    assert " `sure`: " in of_study(loaded).title


def test_the_fastest_is_faster_than_each_outside_its_rank(tmp_path: Path) -> None:
    step_ms = {"wide": 40.0, "second": 41.0, "third": 48.0}
    ties = ("second", "third")
    loaded = ranked(tmp_path, step_ms, wide={"ties_with": ties}, second={"rank": 1, "ties_with": ("wide",)})
    said = verdict(loaded).verdict
    assert "`wide` is faster beyond the noise: " in said
    assert "`second` and `third` tie with it within the noise." in said
    assert "fastest" not in said
    (tmp_path / "sure").mkdir()
    sure = ranked(tmp_path / "sure", step_ms)
    assert "`wide` is the fastest of 4 strategies: " in verdict(sure).verdict


def test_what_learns_otherwise_is_told_wherever_it_stands(tmp_path: Path) -> None:
    loaded = ranked(
        tmp_path,
        {"wide": 40.0, "other": 46.0},
        wide={"rank": 1, "beyond_baseline": "", "ties_with": ("other", BASE.name)},
        other={"rank": 1, "marks": (Mark(kind="loss", words="loss"),)},
    )
    said = verdict(loaded).verdict
    assert "No strategy with the same loss curve is faster than `python_feed` beyond the noise" in said
    assert "`other` is " in said
    assert said.endswith("as fast, but its loss curve differs.")
