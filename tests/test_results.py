"""What a Python session gets: a study and a diagnosis that show their answer, without TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import gpuprobe
from gpuprobe.diagnosis.records import Diagnosis
from gpuprobe.errors import InputError, UsageError
from gpuprobe.records import to_json
from gpuprobe.simulate import spec_file
from gpuprobe.simulate.sessions import write_session


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("session")
    (folder / "spec.toml").write_text(spec_file.schema())
    write_session(spec_file.read(folder / "spec.toml"), folder / "study")
    return folder / "study"


def test_a_diagnosis_shows_its_cause_and_its_account(session: Path) -> None:
    found = gpuprobe.diagnose(session)
    assert found.primary is not None
    (device,) = found.devices
    for shown in (repr(found), found._repr_markdown_()):
        assert found.primary.cause in shown
        assert device.name in shown
    assert "| `gpu_compute` |" in found._repr_markdown_()
    # What it is made of is what the command prints.
    assert msgspec.json.decode(to_json(found), type=Diagnosis).findings == found.findings


def test_a_study_shows_its_verdict_and_its_ranking(session: Path) -> None:
    found = gpuprobe.load(str(session))
    (row,) = found.ranking.rows
    assert row.strategy in repr(found)
    assert str(found.report) in repr(found)
    assert f"| 1 | **{row.strategy}** |" in found._repr_markdown_()
    assert "**Verdict.**" in found._repr_markdown_()


def test_what_is_no_study_and_no_trace_raises_what_the_command_says(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        gpuprobe.load(tmp_path / "none")
    with pytest.raises(InputError, match="no such file"):
        gpuprobe.diagnose(tmp_path / "none")


def test_a_study_goes_on_from_python_under_the_rules_of_the_command(session: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is simulated, and nothing of it is left to measure"):
        gpuprobe.run(resume=session)
    with pytest.raises(InputError, match="no such folder"):
        gpuprobe.run(resume=tmp_path / "none")
    for workload, resume in ((None, None), ("mlp", session)):
        with pytest.raises(UsageError, match="either a workload or resume="):
            gpuprobe.run(workload, resume=resume)


def test_all_that_is_public_is_there_is_documented_and_is_listed_without_importing_it() -> None:
    program = "import sys, gpuprobe; print(dir(gpuprobe)); print([n for n in sys.modules if n.startswith('gpuprobe.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    listed, imported = done.stdout.splitlines()
    assert imported == "[]"
    for name in gpuprobe.__all__:
        assert repr(name) in listed
        assert f"gpuprobe.{name}" in (gpuprobe.__doc__ or "")
