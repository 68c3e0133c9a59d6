"""What is shown while a study runs: how long it will last, and the verdict so far."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from rich.console import Console

from gpuprobe.cli import _live
from gpuprobe.ranking.load import load
from gpuprobe.recording import load_runs, load_study
from gpuprobe.report.verdict import Verdict, verdict
from tests.helpers.studies import STORY, simulate_study


@pytest.mark.parametrize(("budget_s", "left"), [(1000.0, "1 min 20 s"), (50.0, "30 s")])
def test_what_is_left_is_what_the_runs_took_within_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget_s: float, left: str
) -> None:
    simulate_study(tmp_path, STORY)
    study, (run, *_) = load_study(tmp_path), load_runs(tmp_path).values()
    study = msgspec.structs.replace(study, request=msgspec.structs.replace(study.request, budget_s=budget_s))
    now = [100.0]
    monkeypatch.setattr(_live, "time", SimpleNamespace(monotonic=lambda: now[0]))
    shown = io.StringIO()
    view = _live.LiveView(Console(file=shown), study, tmp_path, lambda: "the verdict")
    view.run_started(run.spec, 0, 5)
    now[0] += 20.0
    # It is reported while the next one warms up already.
    view.run_started(run.spec, 1, 5)
    view.run_finished(run)
    assert f"[1/5] {run.spec.strategy}: " in shown.getvalue()
    assert f"about {left} left\n  so far: the verdict\n" in shown.getvalue()


def test_nothing_is_said_of_runs_before_they_are_planned(tmp_path: Path) -> None:
    simulate_study(tmp_path, STORY)
    study, (run, *_) = load_study(tmp_path), load_runs(tmp_path).values()
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=80, height=24)
    with _live.LiveView(console, study, tmp_path, lambda: "the verdict") as view:
        assert "preparing the first run" in shown.getvalue()
        assert "run 1 of" not in shown.getvalue()
        view.run_started(run.spec, 0, 7)
        view.run_finished(run)
    assert "run 2 of 7, about" in shown.getvalue()


def test_the_verdict_so_far_names_a_cause_once_there_is_one(tmp_path: Path) -> None:
    simulate_study(tmp_path, STORY)
    found = verdict(load(tmp_path))
    assert found.cause == "input_bound"
    assert "`" not in found.line
    assert "(input_bound)" in found.line
    undecided = Verdict("", "`xla` is the fastest.", "No cause is known.", "", "", cause="unattributed")
    assert undecided.line == "xla is the fastest."
