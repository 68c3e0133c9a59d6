"""The kinds of shared files by suffix: how the texts of each are rewritten, and how they are read back."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.errors import InputError
from gpuprobe.sharing import protobuf
from gpuprobe.sharing.rules import is_identifying_key
from gpuprobe.telemetry.states import STATES
from gpuprobe.traces.formats import contents_by_suffix

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gpuprobe.sharing.prefilter import Prefilter
    from gpuprobe.sharing.rules import Rules
    from gpuprobe.traces.formats import Contents

# Texts, each with its key: the string before it in JSON, which is a key or, in a command, an option.
Texts = list[tuple[str, str]]
STRING = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
FACTS_LINE = re.compile(r"(# \w+ )(\{.*\})", re.DOTALL)
SYSTEM = re.compile(r'(?<="system": ")[^"]*(?=")')
# Names of other programs that used a card.
OTHER_PROCESS = re.compile(r"(?<=other_process: )[^;\"\n]*")
_ARCHITECTURE = re.compile(r"x86_64|AMD64|i\d86|aarch64\w*|arm\w*|ppc64\w*|riscv\w*|s390x")


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    `clean` rewrites its bytes, `texts` returns the texts that may hold a fact; the prefilter says which.
    """

    clean: Callable[[bytes, Prefilter, Rules], bytes]
    texts: Callable[[bytes, Prefilter], Texts]


def kind_of(path: Path) -> Kind:
    """Return the kind of a file. Raises InputError where there is none: such a file cannot be shared."""
    kind = KINDS.get(path.suffix)
    if kind is None:
        raise InputError(f"{path}: a file of this kind cannot be shared")
    return kind


def short_system(system: str) -> str:
    """Return the name of an operating system without its release, which may contain a machine's name."""
    words = system.split()
    return " ".join([*words[:1], *(words[-1:] if _ARCHITECTURE.fullmatch(words[-1]) else [])]) if words else ""


def _clean_json(data: bytes, prefilter: Prefilter, rules: Rules) -> bytes:
    text = data.decode(errors="surrogateescape")
    return _strings(
        text, lambda value, key: rules.clean(value, key) if key or prefilter.in_text(value) else value
    ).encode(errors="surrogateescape")


def _json_texts(data: bytes, prefilter: Prefilter) -> Texts:
    texts: Texts = []

    def note(value: str, key: str) -> str:
        if key or prefilter.in_text(value):
            texts.append((value, key))
        return value

    _strings(data.decode(errors="surrogateescape"), note)
    return texts


def _strings(text: str, rewrite: Callable[[str, str], str]) -> str:
    """Rewrite each string of JSON, even of a truncated file; `rewrite` gets the string and its key."""
    before, until = "", 0

    def one(match: re.Match[str]) -> str:
        nonlocal before, until
        value = _decoded(match[1])
        between = text[until : match.start()].strip()
        follows = between == ":" or (between == "," and before.startswith("-"))
        key = before if follows and is_identifying_key(before) else ""
        before, until = value, match.end()
        new = rewrite(value, key)
        # A string that was written in ASCII stays in ASCII.
        return match[0] if new == value else json.dumps(new, ensure_ascii="\\u" in match[1])

    return STRING.sub(one, text)


def _decoded(string: str) -> str:
    if "\\" not in string:
        return string
    try:
        return str(json.loads(f'"{string}"', strict=False))
    except ValueError:
        return string


def _clean_csv(data: bytes, prefilter: Prefilter, rules: Rules) -> bytes:
    """Rewrite telemetry or any table: lines of facts as JSON, all other lines as text."""
    return b"\n".join(_clean_row(line, prefilter, rules) for line in data.split(b"\n"))


def _clean_row(line: bytes, prefilter: Prefilter, rules: Rules) -> bytes:
    text = line.decode(errors="surrogateescape")
    if match := FACTS_LINE.match(text):
        notice = SYSTEM.sub(lambda system: short_system(system[0]), match[2])
        return (match[1] + text[match.end() :]).encode() + _clean_json(
            notice.encode(errors="surrogateescape"), prefilter, rules
        )
    notice = OTHER_PROCESS.sub(STATES["other_process"], text)
    return (rules.clean(notice) if prefilter.in_text(notice) else notice).encode(errors="surrogateescape")


def _csv_texts(data: bytes, prefilter: Prefilter) -> Texts:
    texts: Texts = []
    for line in data.split(b"\n"):
        if match := FACTS_LINE.match(line.decode(errors="surrogateescape")):
            texts += _json_texts(match[2].encode(errors="surrogateescape"), prefilter)
        else:
            texts += _lines(line, prefilter)
    return texts


def _clean_text(data: bytes, _prefilter: Prefilter, rules: Rules) -> bytes:
    return rules.clean(data.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def _lines(data: bytes, prefilter: Prefilter) -> Texts:
    lines = data.decode(errors="surrogateescape").splitlines()
    return [(line, "") for line in lines if prefilter.in_text(line)]


def _clean_protobuf(data: bytes, prefilter: Prefilter, rules: Rules) -> bytes:
    return protobuf.rewritten(data, prefilter, protobuf.Rewriting(rules.clean, rules.blank))


def _clean_gzip(data: bytes, prefilter: Prefilter, rules: Rules) -> bytes:
    # Leave out the file name and time that gzip would store.
    return gzip.compress(_clean_json(unzipped(data), prefilter, rules), mtime=0)


def _gzip_texts(data: bytes, prefilter: Prefilter) -> Texts:
    return _json_texts(unzipped(data), prefilter)


def unzipped(data: bytes) -> bytes:
    """Return the content of a gzip file. Raises InputError where it is damaged."""
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"a trace is damaged and cannot be shared ({error})") from error


_TEXT, _JSON = Kind(_clean_text, _lines), Kind(_clean_json, _json_texts)
_CONTENTS: dict[Contents, Kind] = {
    "protobuf": Kind(_clean_protobuf, protobuf.texts),
    "json": _JSON,
    "gzipped json": Kind(_clean_gzip, _gzip_texts),
    "text": _TEXT,
}
KINDS = {
    **{suffix: _CONTENTS[held] for suffix, held in contents_by_suffix().items()},
    ".json": _JSON,
    ".csv": Kind(_clean_csv, _csv_texts),
    ".md": _TEXT,
    ".html": _TEXT,
    ".svg": _TEXT,
    ".seen": _TEXT,
}
