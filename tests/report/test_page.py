"""The report as one HTML file: the words of the Markdown, no network, nothing hostile, and SIMULATED where it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpuprobe.report import html
from gpuprobe.report.page import code, plain
from gpuprobe.report.write import write
from gpuprobe.simulate.sessions import write_session
from gpuprobe.simulate.spec import Recording, Spec
from tests.helpers.pages import Page, assert_harmless
from tests.helpers.studies import STORY, SimulatedStrategy, simulate_study

HOSTILE = "<img src=x onerror=alert(1)>|`a`*b*"


def page(folder: Path, *strategies: SimulatedStrategy, **options: object) -> Page:
    simulate_study(folder, strategies, **options)  # type: ignore[arg-type]
    write(folder)
    return Page((folder / "report.html").read_text())


def words(text: str) -> list[str]:
    return re.sub(r"[\s\u00a0]+", " ", text).split(" ")


def test_it_holds_the_words_and_figures_of_the_markdown(tmp_path: Path) -> None:
    study = tmp_path / "study"
    write_session(Spec(name="one", recording=Recording(window_s=2.0)), study)
    (study / "runs" / "1-one" / "step.html").touch()
    write(study)
    found = Page((study / "report.html").read_text())
    markdown = (study / "report.md").read_text()
    shown = " ".join(words(found.text))
    for line in markdown.splitlines():
        if line.startswith("| ") and "---" not in line:
            for cell in line.strip("| ").split(" | "):
                assert " ".join(words(cell.replace("**", "").replace("`", "").replace("\\", ""))) in shown, cell
        elif line.startswith("#"):
            assert " ".join(words(line.lstrip("# ").replace("`", ""))) in shown
    headings = sum(line.startswith("## ") for line in markdown.splitlines())
    assert found.tags.count("h2") == headings
    links = [value for tag, name, value in found.attributes if (tag, name) == ("a", "href")]
    assert links[0] == "runs/1-one/step.html", "where the trace can be looked into"
    links = [link for link in links if link.startswith("#")]
    ids = [value for _, name, value in found.attributes if name == "id"]
    assert len(links) == headings
    assert all(link[1:] in ids for link in links)
    assert len(ids) == len(set(ids)), "the plots' ids are told apart"


def test_it_needs_no_network_and_holds_its_plots(tmp_path: Path) -> None:
    found = page(tmp_path, *STORY, rounds=1)
    text = (tmp_path / "report.html").read_text()
    assert_harmless(found, text)
    assert found.tags.count("figure") == len(list((tmp_path / "plots").glob("*.svg"))) > 0
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_a_simulation_says_so_on_the_page_in_print_and_on_every_plot(tmp_path: Path) -> None:
    found = page(tmp_path, *STORY[:2], rounds=1)
    text = (tmp_path / "report.html").read_text()
    assert "SIMULATED" in text[: text.index("</title>")]
    assert 'class="ribbon"' in text
    assert '@top-center { content: "SIMULATED"' in text
    for drawing in re.findall(r"<figure .*?</figure>", text, flags=re.DOTALL):
        assert "SIMULATED" in drawing
    assert found.text.count("SIMULATED") > found.tags.count("figure") > 0
    for picture in (tmp_path / "plots").glob("*.svg"):
        assert "SIMULATED" in picture.read_text()
    assert "SIMULATED" not in html.render("# A study\n\nMeasured.\n")


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    odd = SimulatedStrategy(name=HOSTILE, step_ms=10.0, change=HOSTILE, against="plain")
    failed = SimulatedStrategy(name="<b>bold", step_ms=10.0, state="killed")
    found = page(tmp_path, SimulatedStrategy(name="plain", step_ms=20.0), odd, failed, rounds=1)
    assert_harmless(found, (tmp_path / "report.html").read_text())
    assert "b" not in found.tags
    assert HOSTILE in found.text
    assert "<b>bold" in found.text
    ranking = (tmp_path / "report.md").read_text().partition("## Ranking")[2].partition("\n\n## ")[0]
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in ranking.splitlines() if line.startswith("|")}
    assert len(widths) == 1, "a name with a bar in it parts no columns"


@pytest.mark.parametrize(
    "markdown",
    [
        "<script>alert(1)</script>",
        "![a](http://example.org/a.png)",
        "![a](javascript:alert(1))",
        "# <img src=x onerror=alert(1)>",
        "[a](javascript:alert(1))",
        "| <svg onload=alert(1)> |\n|---|\n| <iframe src=x> |",
        "```diff\n+ <script>alert(1)</script>\n```",
        "&lt;script&gt;",
    ],
)
def test_markup_of_others_is_no_markup_of_the_page(markdown: str) -> None:
    text = html.render(markdown)
    assert_harmless(Page(text), text)


def test_an_image_that_is_a_chart_becomes_part_of_the_page_and_no_other_does() -> None:
    text = html.render("![A](plots/a.svg)\n\n![B](plots/b.svg)", {"plots/a.svg": "<figure>a</figure>"})
    assert Page(text).tags.count("figure") == 1
    assert "<p><figure" not in text
    assert "<p>B</p>" in text


@pytest.mark.parametrize("text", ["a`b", "``", "a | b", "plain", "two\nlines"])
def test_text_of_others_survives_as_code_and_as_text(text: str) -> None:
    shown = " ".join(Page(html.render(f"x {code(text)} y {plain(text)} z")).text.split())
    told = " ".join(text.split())
    assert f"x {told} y {told} z" in shown


def test_a_long_name_may_break_at_the_head_of_a_table_and_nowhere_else() -> None:
    text = html.render("# T\n\n| idle_between_steps |\n|---|\n| idle_between_steps |\n")
    assert "<th>idle_<wbr>between_<wbr>steps</th>" in text
    assert text.count("<wbr>") == 2
