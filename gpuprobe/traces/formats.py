"""The formats of traces: how each is known, which module reads it, and how its texts are written.

A new reader is a module of this room with a function `read(source, files)`, and an entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpuprobe.errors import InputError

# How the texts in a file are written, by which whoever shares a copy finds and replaces them.
Contents = Literal["protobuf", "json", "gzipped json"]
GZIP = b"\x1f\x8b"
# So much of a file without a telling name is looked at.
LOOKED_AT = 64


@dataclass(frozen=True)
class Format:
    """One format. `reader` is the module of this room that reads it: named, and not imported, since only the one that a
    trace needs is to be loaded. `endings` are those of names that only its files have, each with what such files hold;
    `others` those that files of other programs have too. `begins` tells it by a file's first bytes.
    """

    reader: str
    endings: Mapping[str, Contents]
    begins: Callable[[bytes], bool]
    others: Mapping[str, Contents]

    @property
    def all_endings(self) -> dict[str, Contents]:
        """All endings of its files, the longer ones first."""
        return {**self.endings, **self.others}


XPLANE = Format(
    reader="xplane",
    endings={".xplane.pb": "protobuf"},
    # It has no magic bytes: what begins like no other is taken for one, and the parser decides.
    begins=lambda _: True,
    others={},
)
CHROME = Format(
    reader="chrome",
    endings={".trace.json.gz": "gzipped json", ".trace.json": "json"},
    begins=lambda start: start[:2] == GZIP or start.lstrip()[:1] in {b"{", b"["},
    # HTA's end so, and other programs' files.
    others={".json.gz": "gzipped json", ".json": "json"},
)
# Where a session has files of several formats, those of the first are read: it holds more.
FORMATS = (XPLANE, CHROME)


def format_of(file: Path) -> Format:
    """Return the format of a file: by its name, else by how it begins. Raises InputError where it cannot be read."""
    named = next((one for one in FORMATS if file.name.endswith(tuple(one.all_endings))), None)
    if named is not None:
        return named
    try:
        with file.open("rb") as stream:
            start = stream.read(LOOKED_AT)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    return next(one for one in reversed(FORMATS) if one.begins(start))


def is_named_as_a_trace(name: str) -> bool:
    """Say whether a name ends as only a trace's does."""
    return name.endswith(tuple(ending for one in FORMATS for ending in one.endings))


def ending_of(name: str) -> str:
    """Return how the name of a trace ends, after the host's; for one that no format names so, its suffix."""
    endings = (ending for one in FORMATS for ending in one.all_endings)
    return next((ending for ending in endings if name.endswith(ending)), Path(name).suffix)


def contents_by_suffix() -> dict[str, Contents]:
    """Return what the files of all formats hold, by the last part of their names."""
    return {f".{ending.rpartition('.')[2]}": held for one in FORMATS for ending, held in one.all_endings.items()}
