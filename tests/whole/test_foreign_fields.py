"""Whatever field of whatever record holds text of others: in no output is it more than text, or longer than a name."""

from __future__ import annotations

import dataclasses
import html
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt

from gpuprobe.cli._diagnosis import print_diagnosis as show_diagnosis
from gpuprobe.cli._summary import print_summary as show_watch
from gpuprobe.cli._terminal import Terminal
from gpuprobe.cli._verdict import print_verdict as show_verdict
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.recorded import recorded
from gpuprobe.foreign import LONGEST_WORD, UNSEEN
from gpuprobe.ranking.load import load
from gpuprobe.recording import RUN_FILE, STUDY_FILE, load_runs, load_study
from gpuprobe.records import save
from gpuprobe.report import html as page
from gpuprobe.report import inline, notebook
from gpuprobe.report import watch as watch_report
from gpuprobe.report.write import rendered, write
from gpuprobe.simulate import xplane
from gpuprobe.simulate.engine import simulate
from gpuprobe.simulate.spec import Spec
from tests.helpers.hostile import TEXTS, naming, renamed
from tests.helpers.program import ROOT
from tests.helpers.studies import STORY, simulate_study
from tests.helpers.watches import record

HARMLESS = "harmless"


class Elements(HTMLParser):
    """The elements of a page with the names of their attributes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # A long cell or name may break, which is ours to say; code in backticks shows as it is.
        if tag not in {"wbr", "code"}:
            self.found.append((tag, tuple(name for name, _ in attrs if name != "class")))


def check_text(*texts: str) -> None:
    """Check what reaches a terminal or a file: nothing that steers, no figure that is none, no endless word."""
    for text in texts:
        assert not UNSEEN.search(text)
        assert not re.search(r"(?<![\w-])(inf|nan)(?![\w-])", html.unescape(text))
        assert max((len(word) for word in text.split()), default=0) <= 2 * LONGEST_WORD


def elements(*markdowns: str, pages: tuple[str, ...] = ()) -> list[list[Any]]:
    """Return the elements of pages, and of a notebook's Markdown, which takes HTML as it is."""
    notebook = MarkdownIt("commonmark", {"html": True}).enable("table")
    return [Elements(text).found for text in (*pages, *map(notebook.render, markdowns))]


def terminal(show: Any, *what: Any) -> str:
    file = io.StringIO()
    show(Terminal(file=file, width=200), *what)
    return file.getvalue()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fields") / "study"
    simulate_study(folder, STORY[:3], rounds=1)
    return folder


def of_files(study: Path, text: str) -> list[list[Any]]:
    """Show a study whose files hold the text in every field."""
    name = naming(text)
    before, runs = load_study(study), load_runs(study)
    try:
        save(renamed(before, name), study / STUDY_FILE)
        for folder, run in runs.items():
            save(renamed(run, name), folder / RUN_FILE)
        loaded = write(study)
    finally:
        save(before, study / STUDY_FILE)
        for folder, run in runs.items():
            save(run, folder / RUN_FILE)
    made, whole = (study / "report.md").read_text(), (study / "report.html").read_text()
    check_text(made, terminal(show_verdict, loaded), inline.study_text(loaded))
    for plot in study.glob("plots/*.svg"):
        drawn = ET.parse(plot)
        assert max(len(word or "") for one in drawn.iter() for word in (one.text,) if one.tag.endswith("text")) < 200
    return elements(inline.study_markdown(loaded), pages=(whole,))


@pytest.fixture(scope="module")
def files_of_harmless_names(study: Path) -> list[list[Any]]:
    return of_files(study, HARMLESS)


@pytest.mark.parametrize("text", TEXTS)
def test_the_files_of_a_study_may_hold_any_text(
    text: str, study: Path, files_of_harmless_names: list[list[Any]]
) -> None:
    assert of_files(study, text) == files_of_harmless_names


def of_ranking(study: Path, text: str) -> list[list[Any]]:
    """Show a study whose ranking, as a shared copy has it, holds the text in every field."""
    loaded = load(study)
    named = naming(text)
    loaded = dataclasses.replace(loaded, ranking=renamed(loaded.ranking, named), study=renamed(loaded.study, named))
    made = rendered(loaded)
    check_text(made.text, terminal(show_verdict, loaded))
    return elements(inline.study_markdown(loaded), pages=(made.page, notebook.study_html(loaded)))


@pytest.fixture(scope="module")
def ranking_of_harmless_names(study: Path) -> list[list[Any]]:
    return of_ranking(study, HARMLESS)


@pytest.mark.parametrize("text", TEXTS)
def test_the_ranking_of_a_shared_copy_may_hold_any_text(
    text: str, study: Path, ranking_of_harmless_names: list[list[Any]]
) -> None:
    assert of_ranking(study, text) == ranking_of_harmless_names


@pytest.mark.parametrize("text", TEXTS)
def test_a_diagnosis_may_hold_any_text(text: str, tmp_path: Path) -> None:
    written = xplane.write(simulate(Spec(steps=3)), tmp_path, 10**18)
    found = diagnose(recorded(written))

    def shown(text: str) -> list[list[Any]]:
        named = renamed(found, naming(text))
        check_text(terminal(show_diagnosis, named), inline.diagnosis_text(named))
        return elements(inline.diagnosis_markdown(named), pages=(notebook.diagnosis_html(named),))

    assert shown(text) == shown(HARMLESS)


@pytest.mark.parametrize("text", TEXTS)
def test_a_watch_may_hold_any_text(text: str, tmp_path: Path) -> None:
    record(tmp_path, [20.0] * 10)
    report = watch_report.load_report(tmp_path)

    def shown(text: str) -> list[list[Any]]:
        named = renamed(report, naming(text))
        made = watch_report.render(named, {})
        check_text(made, terminal(show_watch, named, tmp_path))
        return elements(made, pages=(page.render(made),))

    assert shown(text) == shown(HARMLESS)


def test_nothing_of_the_command_line_prints_but_through_the_functions_that_clean() -> None:
    for path in (ROOT / "gpuprobe" / "cli").glob("*.py"):
        if path.name != "_terminal.py":
            assert "Console(" not in path.read_text(), path
