"""The page to look into a step, in a browser: it opens from disk without a network, and answers hands and keys."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gpuprobe.ledger.breakdown import break_down
from gpuprobe.simulate import xplane
from gpuprobe.simulate.engine import simulate
from gpuprobe.traces.read import read
from gpuprobe.traces.timeline import Events, Thread
from tests.helpers.browser import Tab, browser
from tests.helpers.timelines import Made
from tests.stepview.test_page import SLOW_LAUNCHES, START_NS, page_of

READY = "Number(document.body.dataset.readyMs)"
# What is shown, once what was asked for has been drawn.
SEEN = (
    "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => "
    "done(document.getElementById('seen').textContent))))"
)
PICKED = "document.getElementById('picked').textContent"
LISTED = "[...document.querySelectorAll('#gaps tbody tr')].filter((row) => row.offsetParent).length"
# The middle of the strip of the judged device, below the overview and the ruler.
STRIP_Y = 16 + 20 + 22
MANY = 300_000


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    xplane.write(simulate(SLOW_LAUNCHES), folder, START_NS)
    (folder / "step.html").write_text(page_of(break_down(read(folder))))
    return folder / "step.html"


@pytest.fixture
def opened(tab: Tab, page: Path) -> Tab:
    tab.media()
    tab.open(f"file://{page}")
    tab.wait(READY)
    return tab


def place(tab: Tab, selector: str, x: float = 0.5, y: float = 0.5) -> tuple[float, float]:
    """Return the point of an element, after it was brought into view."""
    box = tab.ask(
        f"(() => {{ const of = document.querySelector('{selector}'); of.scrollIntoView({{block: 'nearest'}});"
        "const box = of.getBoundingClientRect(); return [box.x, box.y, box.width, box.height]; })()"
    )
    return box[0] + x * box[2], box[1] + y * box[3]


def colours(tab: Tab, selector: str) -> int:
    """Count the colours of a canvas."""
    found = tab.ask(
        f"(() => {{ const of = document.querySelector('{selector}'), pen = of.getContext('2d');"
        "return new Set(new Uint32Array(pen.getImageData(0, 0, of.width, of.height).data.buffer)).size; })()"
    )
    return int(found)


def test_it_opens_from_disk_and_asks_for_nothing(opened: Tab) -> None:
    assert colours(opened, "#axis") > 3
    assert colours(opened, "#group-0") > 2
    assert opened.ask("document.querySelectorAll('#lanes section').length") >= 3, "GPU, host, and the step predicted"
    assert opened.ask("document.getElementById('trouble').hidden")
    assert not opened.troubles


def test_a_colour_leads_to_its_gaps_by_click_on_the_strip_and_on_the_legend(opened: Tab) -> None:
    before, all_listed = opened.ask(SEEN), opened.ask(LISTED)
    opened.click(*place(opened, "#legend button[data-category=idle_launch]"))
    assert opened.wait(f"{PICKED}.includes('stretch 1 of')")
    assert opened.ask(SEEN) != before
    first = opened.ask(PICKED)
    opened.press("n")
    assert opened.wait(f"{PICKED}.includes('stretch 2 of')")
    assert opened.ask(PICKED) != first
    opened.press("Escape")
    assert opened.ask(LISTED) >= all_listed
    opened.press("0")
    x, y = place(opened, "#axis", 0.4, 0)
    opened.click(x, y + STRIP_Y)
    assert opened.wait("document.querySelector('#legend button[aria-pressed=true]') !== null")


def test_wheel_keys_and_buttons_zoom_and_move(opened: Tab) -> None:
    whole = opened.ask(SEEN)
    x, y = place(opened, "#axis", 0.5, 0)
    opened.wheel(x, y + STRIP_Y, -240, control=True)
    assert opened.ask(SEEN) != whole
    opened.press("0")
    all_steps = opened.ask(SEEN)
    for key, button in (("w", "in"), ("]", "after"), ("[", "before")):
        opened.press(key)
        by_key = opened.ask(SEEN)
        assert by_key != all_steps
        opened.press("0")
        opened.click(*place(opened, f"#{button}"))
        assert opened.ask(SEEN) == by_key, key
        opened.press("0")
    assert opened.ask(SEEN) == all_steps
    opened.press("]")
    assert opened.wait(f"{PICKED}.startsWith('Step ')")


def test_search_counts_and_goes_to_each_hit(opened: Tab) -> None:
    opened.press("/")
    assert opened.ask("document.activeElement.id") == "search"
    for letter in "relu":
        opened.press(letter)
    hits = opened.wait("document.getElementById('hits').textContent")
    assert int(hits.split()[0].replace(",", "")) > 0
    opened.ask("document.getElementById('search').dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter'}))")
    assert "1 of" in opened.wait("document.getElementById('hits').textContent")
    assert "elu" in opened.ask(PICKED).lower()


def test_an_event_tells_its_name_time_and_launch(opened: Tab) -> None:
    """Every point of the first stream's row is tried until one is a kernel."""
    x, y = place(opened, "#group-0", 0, 0)
    width = opened.ask("document.querySelector('#group-0').clientWidth")
    for share in np.linspace(0.05, 0.95, 40):
        opened.move(x + share * width, y + 28)
        if not opened.ask("document.getElementById('tip').hidden"):
            break
    tip = opened.ask("document.getElementById('tip').textContent")
    assert "launched" in tip
    assert "stream" in tip
    opened.click(x + share * width, y + 28)
    assert "Show from its launch" in opened.wait(PICKED)


@pytest.mark.parametrize("width", [400, 800, 1400])
def test_it_fits_each_width_in_the_light_and_in_the_dark(opened: Tab, width: int) -> None:
    opened.size(width, 900)
    assert opened.wait(f"document.getElementById('axis').width <= {width}")
    assert not opened.ask("document.documentElement.scrollWidth > innerWidth")
    papers = set()
    for dark in (False, True):
        opened.media(dark=dark)
        papers.add(opened.ask("getComputedStyle(document.body).backgroundColor"))
        assert colours(opened, "#axis") > 3
    assert len(papers) == 2


def test_it_prints_on_white_paper_with_its_lanes(opened: Tab) -> None:
    opened.media(dark=True, printed=True)
    assert opened.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert opened.ask("document.getElementById('tools').offsetParent === null")
    assert opened.printed().startswith(b"%PDF")
    assert not opened.troubles


def test_three_hundred_thousand_events_open(tab: Tab, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """How long that takes is told, and is the machine's affair: two seconds is what a reader waits."""
    made = Made().host(0, 40, "train_function", step=0).host(50, 90, "train_function", step=1)
    timeline = made.kernel(1, 39, 0.5).kernel(51, 89, 50.5).timeline()
    start = np.linspace(0, 90e9, MANY - 6).astype(np.int64)
    name = (np.arange(len(start)) % len(timeline.names)).astype(np.int32)
    many = Thread("busy", "host", Events(start, np.full(len(start), 200_000), name, np.full(len(start), -1)))
    page = tmp_path / "many.html"
    page.write_text(page_of(break_down(replace(timeline, threads=(*timeline.threads, many))), replayed=False))
    tab.open(f"file://{page}")
    took = tab.wait(READY)
    assert tab.ask("document.body.textContent.includes('All 300,000 events of the trace are shown')")
    with capsys.disabled():
        sys.stderr.write(f" {MANY:,} events: drawn after {took:.0f} ms ")
