"""Text that others chose reaches no terminal, page or notebook as more than text."""

from __future__ import annotations

import html
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest
from conftest import STORY
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console
from studies import simulate_study

from gpuprobe.cli._verdict import show
from gpuprobe.foreign import UNSEEN, shortened, visible, visible_json
from gpuprobe.ranking.load import load
from gpuprobe.recording import RUN_FILE, STUDY_FILE, load_runs, load_study
from gpuprobe.records import Environment, Study, save, to_json
from gpuprobe.records import load as load_record
from gpuprobe.report import inline
from gpuprobe.report.verdict import verdict
from gpuprobe.report.write import write
from gpuprobe.telemetry.follow import Follower
from gpuprobe.telemetry.smi import read_any
from gpuprobe.traces.names import Names

HOSTILE = (
    "\x1b]52;c;aGk=\x07",
    "\x1b[31mred\x1b[0m\x9b2J",
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "a|b|c `x` ``y`` [red]z[/red] [a](javascript:b) ![i](http://h/i.png) *b* _c_",
    "$x_{$ \u202egnp.exe\u2066 \u200b zero",
    "first\n# heading\n\n| a | b |\r\nlast",
    "&lt;b&gt; &#60;i&#62;",
    "x" * 5000,
)
texts = st.text(st.characters(exclude_categories=())) | st.sampled_from(HOSTILE)


class Skeleton(HTMLParser):
    """The elements of a page with the names of their attributes, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # A long cell or name may break, which is ours to say; code in backticks shows as it is.
        if tag not in {"wbr", "code"}:
            self.tags.append((tag, tuple(name for name, _ in attrs if name != "class")))


@given(texts)
@example("\ud800")
def test_what_is_shown_has_nothing_unseen(text: str) -> None:
    assert not UNSEEN.search(visible(text))
    assert [one for one in visible(text) if one in "\n\t"] == [one for one in text if one in "\n\t"]
    assert visible(visible(text)) == visible(text)


@given(st.text(), st.integers(5, 60))
def test_a_long_name_keeps_its_ends(text: str, most: int) -> None:
    short = shortened(text, most)
    if len(text) <= most:
        assert short == text
    else:
        kept = most - 3
        assert len(short) == most
        assert short == text[: kept - kept // 2] + "..." + text[-(kept // 2) :]


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text())))
def test_json_is_read_with_clean_texts_and_is_else_the_same(value: dict[str, Any]) -> None:
    def clean(part: Any) -> Any:
        if isinstance(part, str):
            return visible(part)
        return [clean(one) for one in part] if isinstance(part, list) else part

    told = msgspec.json.decode(visible_json(msgspec.json.encode(value)))
    # Keys that differ only in what cannot be seen become one, of which the last counts.
    assert told == {clean(key): clean(part) for key, part in value.items()}


def _with(text: str, value: Any, path: str = "") -> Any:
    """Return builtins of a record with the text put into those that others choose."""
    foreign = {"name", "cpu", "system", "workload", "data_name", "data_source", "message", "no_gpu", "notes", "driver"}
    if isinstance(value, dict):
        return {key: _with(text, one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [_with(text, one, path) for one in value]
    return text if isinstance(value, str) and path in foreign and value else value


@pytest.fixture(scope="module")
def plain_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "study"
    simulate_study(folder, STORY[:2])
    return folder


def poisoned(study: Path, text: str) -> None:
    """Put a text into what others choose of a study on disk."""
    record = load_study(study)
    environment = msgspec.convert(_with(text, msgspec.to_builtins(record.environment)), Environment)
    made = msgspec.structs.replace(
        record, environment=environment, workload=text, data_name=text, data_source=text, command=text
    )
    save(made, study / STUDY_FILE)
    for folder, run in load_runs(study).items():
        save(msgspec.structs.replace(run, notes=(text,)), folder / RUN_FILE)


def skeletons(study: Path, text: str) -> tuple[list[Any], list[Any]]:
    """Return the elements of the page and of the notebook's Markdown for a study that others named so."""
    poisoned(study, text)
    loaded = write(study)
    terminal = io.StringIO()
    show(Console(file=terminal, width=200), verdict(loaded))
    notebook = inline.study_markdown(loaded)
    page = (study / "report.html").read_text()
    for shown in (terminal.getvalue(), notebook, (study / "report.md").read_text(), page, inline.study_text(loaded)):
        assert not UNSEEN.search(shown)
        assert not re.search(r"(?<![\w-])(inf|nan)(?![\w-])", html.unescape(shown))
    for plot in study.glob("plots/*.svg"):
        ET.parse(plot)
    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(notebook)
    return Skeleton(page).tags, Skeleton(rendered).tags


@pytest.fixture(scope="module")
def harmless(plain_study: Path) -> tuple[list[Any], list[Any]]:
    return skeletons(plain_study, "harmless")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_study_of_hostile_names_is_shown_as_one_of_harmless_names(
    text: str, plain_study: Path, harmless: tuple[list[Any], list[Any]]
) -> None:
    assert skeletons(plain_study, text) == harmless


def test_names_of_traces_and_readings_are_clean(tmp_path: Path) -> None:
    names = Names()
    assert names.place("\x1b[2Jkernel") == names.place("\x1b[2Jkernel") == 0
    assert names.all() == ("\ufffd[2Jkernel",)
    log = tmp_path / "log.csv"
    log.write_text("timestamp, index, name, utilization.gpu [%]\r\n2025/05/25 00:13:19.084, 0, A\x1b[31m, 10 %\r\n")
    assert "\x1b" not in str(read_any(log).facts)
    recording = tmp_path / "t.csv"
    recording.write_text("t_ns,gpu0_power_w\n1000000000,inf\n2000000000,nan\n3000000000,5\n")
    follower = Follower(recording)
    follower.look()
    assert follower.recent == {"gpu0_power_w": 5.0}


def test_a_record_is_read_without_what_steers_a_terminal(tmp_path: Path, plain_study: Path) -> None:
    record = msgspec.structs.replace(load_study(plain_study), workload="\x1b[31m\\x1b \\u001b")
    (tmp_path / "study.json").write_bytes(to_json(record))
    assert load_record(Study, tmp_path / "study.json").workload == "\ufffd[31m\\x1b \\u001b"
    assert load(plain_study).study.workload
