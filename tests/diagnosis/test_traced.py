"""Traces that are large together are read side by side, and the diagnosis is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.recorded import recorded
from gpuprobe.simulate.job import write_job
from gpuprobe.thresholds import fixed
from tests.lab.jobs import drawn

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_large_job_gets_the_same_diagnosis_without_a_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_job(drawn(2).job, tmp_path)
    at_once = diagnose(recorded(tmp_path, apart=True, what_if=False))
    monkeypatch.setattr(fixed, "TRACES_APART_MIB", 0.0)
    apart = recorded(tmp_path, apart=True, what_if=False)
    assert apart.workings is None
    assert diagnose(apart) == at_once
    refused = recorded(tmp_path, apart=True).replay
    assert refused is not None
    assert "--what-if" in (refused.refused or "")
    assert recorded(tmp_path, apart=True, what_if=True).workings is not None, "a replay needs what was read"
    (one,) = tmp_path.rglob("worker0.xplane.pb")
    assert recorded(one, apart=True).workings is not None, "one file is read as ever"
