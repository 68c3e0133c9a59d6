"""The report in a browser: it fits every width, can be read in light and dark, folds, jumps, and prints unfolded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuprobe.ranking.load import load
from gpuprobe.report.charts import Bars
from gpuprobe.report.study_answer import of_study
from gpuprobe.report.write import write
from tests.helpers.browser import Tab, browser
from tests.helpers.program import ROOT
from tests.helpers.studies import STORY, simulate_study

EXAMPLE = ROOT / "reports" / "example" / "report.html"
# The contrast of each text with what lies behind it, where it is below WCAG's least (2.2, 1.4.3).
PALE = """
(() => {
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return {rgb: [r, g, b], a}; };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const found = parse(getComputedStyle(at).backgroundColor);
      if (found.a === 1) return found.rgb;
    }
    return [255, 255, 255];
  };
  const pale = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !one.checkVisibility() || one.closest("style")) continue;
    const style = getComputedStyle(one);
    const ends = [light(parse(style.color).rgb), light(paper(one))].sort((a, b) => a - b);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    const ratio = (ends[1] + 0.05) / (ends[0] + 0.05);
    if (ratio < (large ? 3 : 4.5)) pale.push(`${texts.currentNode.textContent.trim()}: ${ratio.toFixed(2)}`);
  }
  return pale;
})()
"""
OPEN_ALL = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"
RIGHT_OF_THE_SCREEN = """
[...document.querySelectorAll('h1, header p, header li, .row > *, .legend li, .panel, summary, .axis')]
  .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 0.5)
  .map((one) => one.outerHTML.slice(0, 100))
"""


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    simulate_study(folder, STORY, rounds=1)
    write(folder)
    return folder


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [400, 800, 1400])
def test_it_fits_each_width_and_can_be_read_in_light_and_dark(tab: Tab, width: int, dark: bool) -> None:
    tab.media(dark=dark)
    tab.open(EXAMPLE.as_uri(), width)
    tab.ask(OPEN_ALL)
    assert tab.ask("document.documentElement.scrollWidth") <= width
    assert tab.ask(RIGHT_OF_THE_SCREEN) == []
    assert tab.ask(PALE) == []
    assert tab.troubles == []


def test_the_answer_fits_the_first_screen_and_the_rest_is_folded(tab: Tab, simulated: Path) -> None:
    tab.media()
    tab.open((simulated / "report.html").as_uri(), 1400, 900)
    assert tab.ask("document.querySelector('header').getBoundingClientRect().bottom") <= 900
    # Where the step went is open, where there is a trace; this study has none.
    parts = tab.ask("document.querySelectorAll('h2').length")
    assert tab.ask("document.querySelectorAll('details.fold:not([open])').length") == parts > 5
    assert tab.ask("document.querySelector('summary').tabIndex") >= 0, "keys reach what folds"
    assert tab.ask("document.documentElement.scrollHeight") < 2500


def test_bars_are_as_long_as_what_they_tell(tab: Tab, simulated: Path) -> None:
    tab.open((simulated / "report.html").as_uri())
    width = "[...track.querySelectorAll('.part')].reduce((sum, one) => sum + one.getBoundingClientRect().width, 0)"
    widths = tab.ask(f"[...document.querySelectorAll('.first .track')].map((track) => {width})")
    found = of_study(load(simulated)).bars
    assert found is not None
    assert isinstance(found.drawn, Bars)
    values = [bar.value for bar in found.drawn.rows]
    assert len(values) > 1
    assert [width / widths[0] for width in widths] == pytest.approx([value / values[0] for value in values], abs=0.01)


def test_a_jump_unfolds_its_part_and_the_ribbon_hides_no_heading(tab: Tab, simulated: Path) -> None:
    tab.media()
    tab.open((simulated / "report.html").as_uri(), 1400, 500)
    ribbon = tab.ask("document.querySelector('.ribbon').getBoundingClientRect().bottom")
    for place in range(tab.ask("document.querySelectorAll('nav a').length")):
        tab.ask(f"document.querySelectorAll('nav a')[{place}].click()")
        head = tab.ask(
            f"""(() => {{
              const part = document.getElementById(document.querySelectorAll('nav a')[{place}].hash.slice(1));
              return [part.parentElement.open, part.parentElement.firstChild.getBoundingClientRect().top];
            }})()"""
        )
        assert head[0], "it unfolds"
        assert ribbon - 1 <= head[1] < 500, (place, head, ribbon)


def test_keys_alone_reach_and_unfold_every_part(tab: Tab, simulated: Path) -> None:
    tab.media()
    tab.open((simulated / "report.html").as_uri(), 1400, 900)
    parts = tab.ask("document.querySelectorAll('main > details > summary').length")
    reached = set()
    for _ in range(200):
        tab.press("Tab")
        here = tab.ask(
            "document.activeElement.matches('main > details > summary')"
            " ? [...document.querySelectorAll('main > details > summary')].indexOf(document.activeElement) : -1"
        )
        if here >= 0 and here not in reached:
            reached.add(here)
            assert tab.ask("getComputedStyle(document.activeElement).outlineStyle") != "none", "one sees where one is"
            before = tab.ask("document.activeElement.parentElement.open")
            tab.press("Enter")
            assert tab.ask("document.activeElement.parentElement.open") is not before
        if len(reached) == parts:
            break
    assert len(reached) == parts > 5


def test_on_paper_the_parts_are_unfolded_on_white(tab: Tab) -> None:
    tab.media(printed=True, dark=True)
    tab.open(EXAMPLE.as_uri(), 1050, 740)
    assert tab.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    heights = tab.ask("[...document.querySelectorAll('main > details > .inside')].map((one) => one.clientHeight)")
    assert len(heights) > 10
    assert all(heights)
    assert tab.ask(PALE) == []
    # Set a word a line, a cell has as many lines as words; the letters of a table are 10 pixels high.
    told = "[...document.querySelectorAll('td')].map((one) => [one.innerText.split(/\\s+/).length, one.clientHeight])"
    cells = tab.ask(told)
    assert not [cell for cell in cells if cell[0] > 4 and cell[1] > 12 * cell[0]]
    tab.media()


def test_what_is_wrong_is_seen(tab: Tab) -> None:
    tab.media()
    tab.open(EXAMPLE.as_uri(), 800)
    tab.ask("document.querySelector('h1').style.color = '#bbbbbb'")
    tab.ask("document.querySelector('header li').style.cssText = 'position: absolute; left: 790px'")
    heading, pale = tab.ask("document.querySelector('h1').textContent"), tab.ask(PALE)
    assert pale
    assert all(words.rpartition(": ")[0] in heading for words in pale)
    assert len(tab.ask(RIGHT_OF_THE_SCREEN)) == 1
