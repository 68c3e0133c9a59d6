"""The registry of trace formats: each can be read, is known by its name or its first bytes, and can be shared."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpuprobe.compare.gather import gather
from gpuprobe.diagnosis.recorded import recorded
from gpuprobe.errors import InputError
from gpuprobe.sharing.kinds import kind_of
from gpuprobe.traces import formats
from gpuprobe.traces.formats import CHROME, FORMATS, XPLANE, Format, ending_of, format_of, is_named_as_a_trace
from tests.helpers.timelines import Made

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


@pytest.mark.parametrize(
    ("name", "start", "said"),
    [
        ("report.nsys-rep", b"", "Nsight Systems"),
        ("report.ncu-rep", b"", "Nsight Compute"),
        ("report.sqlite", b"", "Nsight Systems"),
        ("report", b"SQLite format 3\0", "Nsight Systems"),
        ("job.pftrace", b"\n\x05", "Perfetto"),
        ("logs.zip", b"PK\x03\x04", "unpack it"),
        ("logs.tar.gz", b"\x1f\x8b", "unpack it"),
        ("snapshot.pickle", b"\x80\x04", "pickle"),
    ],
)
def test_a_file_of_another_program_is_named(tmp_path: Path, name: str, start: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(start)
    with pytest.raises(InputError, match=said) as caught:
        recorded(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_a_format_of_tables_is_a_trace_and_no_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = Format(reader="own", endings={".own.csv": "text"}, begins=lambda start: start == b"own", others={})
    made = Made().host(0, 10, "train", step=1).kernel(2, 8, launch=1).timeline()
    monkeypatch.setattr(formats, "FORMATS", (*FORMATS, own))
    monkeypatch.setitem(sys.modules, "gpuprobe.traces.own", SimpleNamespace(read=lambda _source, _files: made))
    (tmp_path / "run.own.csv").write_text("a table\n")
    case = recorded(tmp_path / "run.own.csv")
    assert [device.ms("gpu_compute") for device in case.breakdown.devices] == [6.0]
    assert gather(tmp_path / "run.own.csv").devices
