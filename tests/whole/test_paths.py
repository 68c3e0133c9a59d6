"""Every file that the documentation names is there; the links between its pages the site's builder checks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.program import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
# A path in backticks; words in capitals stand for a name.
NAMED = re.compile(r"`((?:gpuprobe|models|tests|docs|benchmarks)/[\w./*-]*)`")
PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\b")


def missing(page: Path) -> list[str]:
    text = page.read_text()
    named = [name for name in NAMED.findall(text) if not PLACEHOLDER.search(name)]
    return [name for name in named if not list(ROOT.glob(name.rstrip("/")))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    assert not missing(page)


def test_what_is_not_there_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("`gpuprobe/gone.py`, `gpuprobe/cli/NAME.py`, `tests/rooms.py`")
    assert missing(page) == ["gpuprobe/gone.py"]
