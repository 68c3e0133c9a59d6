"""Text that others chose reaches no terminal, page or notebook as more than text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gpuprobe.foreign import UNSEEN, shortened, visible, visible_json
from gpuprobe.logs.read import read_any
from gpuprobe.ranking.load import load
from gpuprobe.recording import load_study
from gpuprobe.records import Study, to_json
from gpuprobe.records import load as load_record
from gpuprobe.telemetry.follow import Follower
from gpuprobe.traces.names import Names
from tests.helpers.hostile import TEXTS
from tests.helpers.studies import STORY, simulate_study

texts = st.text(st.characters(exclude_categories=())) | st.sampled_from(TEXTS)


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


@pytest.fixture(scope="module")
def plain_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "study"
    simulate_study(folder, STORY[:2])
    return folder


def test_names_of_traces_and_readings_are_clean(tmp_path: Path) -> None:
    names = Names()
    assert names.index("\x1b[2Jkernel") == names.index("\x1b[2Jkernel") == 0
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
