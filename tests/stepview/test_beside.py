"""The pages beside the traces of a recording: the report links to them, and never waits for their room on a disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuprobe.errors import OutputError
from gpuprobe.report.write import write
from gpuprobe.simulate.sessions import write_session
from gpuprobe.simulate.spec import Recording, Spec
from gpuprobe.stepview.beside import write_pages


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("beside") / "a study"
    write_session(Spec(name="one", recording=Recording(window_s=1.0)), folder)
    return folder


def test_the_report_links_to_each_page(study: Path) -> None:
    write(study)
    assert "step.html" not in (study / "report.md").read_text()
    (page,) = write_pages(study)
    assert page == study / "runs" / "1-one" / "step.html"
    write(study)
    assert "[1-one](runs/1-one/step.html)" in (study / "report.md").read_text()
    assert '<a href="runs/1-one/step.html">1-one</a>' in (study / "report.html").read_text()


def test_a_disk_without_room_keeps_no_page(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_given: object) -> None:
        raise OutputError("no room")

    monkeypatch.setattr("gpuprobe.stepview.beside.write_whole", full)
    assert write_pages(study) == []


def test_a_trace_that_is_damaged_costs_its_own_page_alone(study: Path) -> None:
    (trace,) = study.glob("runs/*/trace/**/*.xplane.pb")
    whole = trace.read_bytes()
    trace.write_bytes(whole[:500])
    assert write_pages(study) == []
    trace.write_bytes(whole)
    assert len(write_pages(study)) == 1
