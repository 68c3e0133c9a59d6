"""The search for `tuned` as a user has it: real training of a small network with few steps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from conftest import Cli

NAMES = "tfdata_cache_prefetch,steps_per_execution,large_batch,tuned"
FEW = ("--model", "mlp", "--rounds", 1, "--batch-size", 8, "--steps", 1600, "--no-trace")


def told(study: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    report = json.loads((study / "report.json").read_text())
    (search,) = report["searches"]
    return search, next(row for row in report["rows"] if row["strategy"] == "tuned")


def test_the_path_is_measured_told_and_taken_up_again(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "--strategies", NAMES, *FEW, "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (study,) = tmp_path.iterdir()
    search, row = told(study)
    kept: list[str] = []
    for step in search["steps"]:
        assert step["combines"] == [*kept, step["change"]]
        kept += [step["change"]] if step["kept"] else []
    assert search["following"] is None
    assert row["combines"] == search["kept"] == kept
    steps = {int(path.name.rpartition("-")[2]): path for path in (study / "runs").glob("1-tuned-*")}
    assert sorted(steps) == list(range(1, len(steps) + 1))
    assert json.loads((steps[search["measured"]] / "run.json").read_text())["spec"]["combines"] == kept
    assert "## How tuned was found" in (study / "report.md").read_text()
    assert "tuned, step 1" in done.stdout
    shutil.rmtree(steps[len(steps)])
    again = cli("run", "--resume", study)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"tuned, step {len(steps)}" in again.stdout
    assert "tfdata_cache_prefetch, round" not in again.stdout
    finished = cli("run", "--resume", study)
    assert finished.returncode == 0
    assert ": starting" not in finished.stdout
