"""The search for `tuned` as a user has it: real training of a small network with few steps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.helpers.program import Cli

NAMES = "tfdata_cache_prefetch,steps_per_execution,large_batch,tuned"
FEW = ("--model", "mlp", "--rounds", 1, "--batch-size", 8, "--steps", 400, "--no-trace")


def told(study: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    report = json.loads((study / "report.json").read_text())
    (search,) = report["searches"]
    return search, next((row for row in report["rows"] if row["strategy"] == "tuned"), None)


def test_the_path_is_measured_told_and_taken_up_again(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "--strategies", NAMES, *FEW, "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (study,) = tmp_path.iterdir()
    search, row = told(study)
    kept: list[str] = []
    for step in search["steps"]:
        assert step["combines"] == [*kept, step["change"]]
        kept += [step["change"]] if step["kept"] else []
    assert (search["start"], search["following"]) == ("tfdata_cache_prefetch", None)
    assert "large_batch" not in kept
    text = (study / "report.md").read_text()
    assert "## How tuned was found" in text
    runs = sorted(path.name for path in (study / "runs").glob("1-tuned-*"))
    assert row is not None
    assert (row["combines"], row["against"]) == (kept, "tfdata_cache_prefetch")
    assert len(runs) == search["final"]
    final = study / "runs" / f"1-tuned-{search['final']}"
    assert json.loads((final / "run.json").read_text())["spec"]["combines"] == kept
    shutil.rmtree(final)
    again = cli("run", "--resume", study)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"tuned, step {search['final']}" in again.stdout
    assert "tfdata_cache_prefetch, round" not in again.stdout
    assert told(study)[0]["steps"] == search["steps"]
    finished = cli("run", "--resume", study)
    assert finished.returncode == 0
    assert ": starting" not in finished.stdout
