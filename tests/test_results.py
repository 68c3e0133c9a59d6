"""What a Python session gets: a study and a diagnosis that show their answer, without TensorFlow."""

from __future__ import annotations

import re
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
from tests.helpers.pages import Page, assert_harmless_part
from tests.helpers.studies import SimulatedStrategy, simulate_study


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
    with pytest.raises(UsageError, match="is simulated, so there is nothing left to measure"):
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


@pytest.mark.parametrize("of", ["study", "diagnosis"])
def test_a_cell_of_a_notebook_begins_with_the_finding_and_folds_the_rest(session: Path, of: str) -> None:
    shown = (gpuprobe.load(session) if of == "study" else gpuprobe.diagnose(session))._repr_html_()
    page = Page(shown)
    assert_harmless_part(page, shown)
    assert page.tags.count("details") == page.tags.count("summary") == 2
    assert page.tags.index("h1") < page.tags.index("figure") < page.tags.index("details")
    assert "id" not in {name for _, name, _ in page.attributes}, "an anchor of one cell would be that of another"
    # What it sets it sets for its own cell alone.
    depth, selector, outermost = 0, "", set()
    for letter in re.sub(r"/\*.*?\*/", "", shown.partition("<style>")[2].partition("</style>")[0], flags=re.DOTALL):
        if letter == "{" and depth == 0 and not selector.strip().startswith("@media"):
            outermost.add(selector.strip())
        depth += (letter == "{") - (letter == "}")
        selector = "" if letter in "{}" else selector + letter
    assert outermost == {".gpuprobe"}
    assert ":root" not in shown


def test_names_of_others_are_text_in_a_cell(tmp_path: Path) -> None:
    odd = SimulatedStrategy(name="<img src=x onerror=alert(1)>|`a`*b*", step_ms=10.0, change="</style><script>")
    simulate_study(tmp_path, [SimulatedStrategy(name="plain", step_ms=20.0), odd], rounds=1)
    shown = gpuprobe.load(tmp_path)._repr_html_()
    assert_harmless_part(Page(shown), shown)
    assert odd.name in Page(shown).text
