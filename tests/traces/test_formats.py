"""The registry of trace formats: each can be read, is known by its name or its first bytes, and can be shared."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from gpuprobe.errors import InputError
from gpuprobe.sharing.kinds import kind_of
from gpuprobe.traces.formats import CHROME, FORMATS, XPLANE, Format, ending_of, format_of, is_named_as_a_trace

ENDINGS = [(one, ending) for one in FORMATS for ending in one.all_endings]


@pytest.mark.parametrize("one", FORMATS, ids=lambda one: str(one.reader))
def test_every_format_has_a_module_that_reads_it(one: Format) -> None:
    assert callable(importlib.import_module(f"gpuprobe.traces.{one.reader}").read)


@pytest.mark.parametrize(("one", "ending"), ENDINGS)
def test_a_name_tells_the_format_and_what_is_cleaned_when_it_is_shared(one: Format, ending: str) -> None:
    name = f"worker{ending}"
    assert format_of(Path(name)) is one, "the file itself need not be looked at"
    assert ending_of(name) == ending
    assert is_named_as_a_trace(name) is (ending in one.endings)
    assert kind_of(Path(name))


@pytest.mark.parametrize(
    ("start", "one"), [(b"\x1f\x8b\x08", CHROME), (b'  {"traceEvents"', CHROME), (b"[{", CHROME), (b"\n\x12", XPLANE)]
)
def test_without_a_telling_name_the_first_bytes_do(start: bytes, one: Format, tmp_path: Path) -> None:
    (tmp_path / "profile").write_bytes(start)
    assert format_of(tmp_path / "profile") is one
    with pytest.raises(InputError, match="cannot be read"):
        format_of(tmp_path / "missing")
