"""What a person looks at, beside how it looked: pages photographed in a browser, against kept pictures.

The pictures are kept as thumbnails. These hold layout and colours, and leave out letters, which another machine's fonts
draw otherwise. `KEEP_PICTURES=1 pytest tests/report/test_pictures.py` keeps what is there now: look at them first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gpuprobe.report.write import write
from tests.helpers.browser import Tab, browser
from tests.helpers.program import Cli
from tests.helpers.studies import STORY, simulate_study

KEPT = Path(__file__).parent / "kept"
# A thumbnail has a pixel for a square of so many of the page's.
SQUARE = 25
# Differences of a channel, of 255. Other fonts stay below the first (half a line of text moves the mean by 2); another
# bar, colour or block of text goes beyond the second somewhere.
MEAN, SOMEWHERE = 4.0, 90.0
WIDTHS = {"report-1400-light": (1400, False), "report-1400-dark": (1400, True), "report-400-light": (400, False)}
HEIGHT = 900


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    simulate_study(folder, STORY, rounds=1)
    write(folder)
    return folder / "report.html"


def thumbnail(tab: Tab, folder: Path) -> Image.Image:
    shot = folder / "shot.png"
    tab.picture(shot)
    with Image.open(shot) as image:
        size = image.width // SQUARE, image.height // SQUARE
        small: Image.Image = image.convert("RGB").resize(size, Image.Resampling.BOX)
    return small


def differs(one: Image.Image, other: Image.Image) -> bool:
    assert one.size == other.size
    apart: NDArray[np.float64] = np.abs(np.asarray(one, np.float64) - np.asarray(other, np.float64))
    return bool(apart.mean() > MEAN or apart.max() > SOMEWHERE)


def compare(name: str, tab: Tab, folder: Path) -> None:
    found, kept = thumbnail(tab, folder), KEPT / f"{name}.png"
    if os.environ.get("KEEP_PICTURES"):
        found.save(kept)
    with Image.open(kept) as image:
        assert not differs(found, image.convert("RGB")), f"{name} looks otherwise: see {folder / 'shot.png'}"


@pytest.mark.parametrize("name", WIDTHS)
def test_the_report_looks_as_it_did(name: str, tab: Tab, page: Path, tmp_path: Path) -> None:
    width, dark = WIDTHS[name]
    tab.media(dark=dark)
    tab.open(page.as_uri(), width, HEIGHT)
    compare(name, tab, tmp_path)


def test_the_page_of_a_step_looks_as_it_did(tab: Tab, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(
        "steps = 4\n[kernels]\ncount = 60\nmean_us = 100.0\n[host]\ncallback_ms = 20.0\n"
    )
    assert cli("simulate", tmp_path / "spec.toml", "--out", tmp_path / "s").returncode == 0
    done = cli("diagnose", tmp_path / "s" / "runs" / "1-simulated" / "trace", "--html", tmp_path / "step.html")
    assert done.returncode == 0, done.stderr
    tab.media()
    tab.open((tmp_path / "step.html").as_uri(), 1400, HEIGHT)
    compare("step-1400-light", tab, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        "document.querySelector('.first .part').style.background = 'red'",
        "document.querySelector('h1').remove()",
        "document.body.style.background = '#ddd'",
    ],
)
def test_another_look_is_seen(change: str, tab: Tab, page: Path, tmp_path: Path) -> None:
    tab.media()
    tab.open(page.as_uri(), 1400, HEIGHT)
    before = thumbnail(tab, tmp_path)
    assert not differs(thumbnail(tab, tmp_path), before)
    tab.ask(change)
    assert differs(thumbnail(tab, tmp_path), before)
