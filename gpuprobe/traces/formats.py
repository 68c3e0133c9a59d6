"""The registry of trace formats: how each is recognised, which module reads it, and how it encodes text.

A new reader is a module of this room with a function `read(file, names)`, and an entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpuprobe.errors import InputError
from gpuprobe.traces.refused import refusal

# How a file encodes its texts, which `gpuprobe.sharing` replaces in a shared copy.
Contents = Literal["protobuf", "json", "gzipped json", "text"]
GZIP = b"\x1f\x8b"
# How many bytes of a file are read to recognise its format where its name does not tell.
LOOKED_AT = 64


@dataclass(frozen=True)
class Format:
    """One format.

    `reader` is the name of the module of this room that reads it; it is imported only when a trace needs it. `endings`
    are the ends of file names that no other program uses, each with how such files encode text; `others` are ends that
    other programs use too. `begins` recognises the format by a file's first bytes.
    """

    reader: str
    endings: Mapping[str, Contents]
    begins: Callable[[bytes], bool]
    others: Mapping[str, Contents]

    @property
    def all_endings(self) -> dict[str, Contents]:
        """All ends of its files' names, the longest first."""
        return {**self.endings, **self.others}


XPLANE = Format(
    reader="xplane",
    endings={".xplane.pb": "protobuf"},
    # XPlane has no magic bytes: a file that is no other format is taken for one, and the parser decides.
    begins=lambda _: True,
    others={},
)
CHROME = Format(
    reader="chrome",
    endings={".trace.json.gz": "gzipped json", ".trace.json": "json"},
    begins=lambda start: start[:2] == GZIP or start.lstrip()[:1] in {b"{", b"["},
    # Traces for Holistic Trace Analysis end so, and files of other programs do too.
    others={".json.gz": "gzipped json", ".json": "json"},
)
# Where a session has files of several formats, those of the first one listed are read: XPlane holds more.
FORMATS = (XPLANE, CHROME)


def format_of(file: Path) -> Format:
    """Return the format of a file: by its name, else by how it begins.

    Raises InputError where the file cannot be read, or is known to be of another program.
    """
    named = next(
        (trace_format for trace_format in FORMATS if file.name.endswith(tuple(trace_format.all_endings))), None
    )
    if named is not None:
        return named
    try:
        with file.open("rb") as stream:
            start = stream.read(LOOKED_AT)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    words = refusal(file, start)
    if words:
        raise InputError(f"{file}: {words}")
    return next(trace_format for trace_format in reversed(FORMATS) if trace_format.begins(start))


def is_named_as_a_trace(name: str) -> bool:
    """Return whether a name ends as only a trace's does."""
    return name.endswith(tuple(ending for trace_format in FORMATS for ending in trace_format.endings))


def is_packed(name: str) -> bool:
    """Return whether a file of that name is compressed."""
    held = next(
        (
            kind
            for trace_format in FORMATS
            for ending, kind in trace_format.all_endings.items()
            if name.endswith(ending)
        ),
        None,
    )
    return held == "gzipped json"


def ending_of(name: str) -> str:
    """Return the part of a trace's file name after the host, its suffix if no format knows it."""
    endings = (ending for trace_format in FORMATS for ending in trace_format.all_endings)
    return next((ending for ending in endings if name.endswith(ending)), Path(name).suffix)


def contents_by_suffix() -> dict[str, Contents]:
    """Return how the files of all formats encode text, by their names' suffixes."""
    return {
        f".{ending.rpartition('.')[2]}": held
        for trace_format in FORMATS
        for ending, held in trace_format.all_endings.items()
    }
