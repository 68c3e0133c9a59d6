"""The kinds of shared files by suffix: how the texts of each kind are rewritten, and how they are read."""

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

# Texts, each with its key: the string before it in JSON, such as the key of the value or the option of a command.
Texts = list[tuple[str, str]]
JSON_STRING = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
FACTS_LINE = re.compile(r"(# \w+ )(\{.*\})", re.DOTALL)
SYSTEM_FACT = re.compile(r'(?<="system": ")[^"]*(?=")')
# Names of other programs that used a card.
OTHER_PROCESS = re.compile(r"(?<=other_process: )[^;\"\n]*")
_ARCHITECTURE = re.compile(r"x86_64|AMD64|i\d86|aarch64\w*|arm\w*|ppc64\w*|riscv\w*|s390x")


@dataclass(frozen=True)
class Kind:
    """A kind of file: `clean` rewrites its bytes, `texts` returns the texts that may hold a fact.

    The prefilter tells which may.
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
    system_words = system.split()
    return (
        " ".join([*system_words[:1], *(system_words[-1:] if _ARCHITECTURE.fullmatch(system_words[-1]) else [])])
        if system_words
        else ""
    )


def _clean_json(data: bytes, prefilter: Prefilter, rules: Rules) -> bytes:
    text = data.decode(errors="surrogateescape")
    return _rewrite_json_strings(
        text,
        lambda json_string, key: (
            rules.clean(json_string, key) if key or prefilter.in_text(json_string) else json_string
        ),
    ).encode(errors="surrogateescape")


def _json_texts(data: bytes, prefilter: Prefilter) -> Texts:
    texts: Texts = []

    def keep_text(json_string: str, key: str) -> str:
        if key or prefilter.in_text(json_string):
            texts.append((json_string, key))
        return json_string

    _rewrite_json_strings(data.decode(errors="surrogateescape"), keep_text)
    return texts


def _rewrite_json_strings(text: str, rewrite: Callable[[str, str], str]) -> str:
    """Rewrite each string of JSON, even of a truncated file; `rewrite` gets the string and its key."""
    previous_string, read_until = "", 0

    def rewrite_match(match: re.Match[str]) -> str:
        nonlocal previous_string, read_until
        json_string = _decoded_string(match[1])
        separator = text[read_until : match.start()].strip()
        is_value = separator == ":" or (separator == "," and previous_string.startswith("-"))
        key = previous_string if is_value and is_identifying_key(previous_string) else ""
        previous_string, read_until = json_string, match.end()
        new_string = rewrite(json_string, key)
        # A string that was escaped to ASCII stays so.
        return match[0] if new_string == json_string else json.dumps(new_string, ensure_ascii="\\u" in match[1])

    return JSON_STRING.sub(rewrite_match, text)


def _decoded_string(string: str) -> str:
    if "\\" not in string:
        return string
    try:
        return str(json.loads(f'"{string}"', strict=False))
    except ValueError:
        return string


def _clean_csv(data: bytes, prefilter: Prefilter, rules: Rules) -> bytes:
    """Rewrite telemetry or any table: lines of facts as JSON, all other lines as text."""
    return b"\n".join(_clean_row(line, prefilter, rules) for line in data.split(b"\n"))


def _clean_row(csv_line: bytes, prefilter: Prefilter, rules: Rules) -> bytes:
    text = csv_line.decode(errors="surrogateescape")
    if match := FACTS_LINE.match(text):
        public_line = SYSTEM_FACT.sub(lambda system: short_system(system[0]), match[2])
        return (match[1] + text[match.end() :]).encode() + _clean_json(
            public_line.encode(errors="surrogateescape"), prefilter, rules
        )
    public_line = OTHER_PROCESS.sub(STATES["other_process"], text)
    return (rules.clean(public_line) if prefilter.in_text(public_line) else public_line).encode(
        errors="surrogateescape"
    )


def _csv_texts(data: bytes, prefilter: Prefilter) -> Texts:
    texts: Texts = []
    for csv_line in data.split(b"\n"):
        if match := FACTS_LINE.match(csv_line.decode(errors="surrogateescape")):
            texts += _json_texts(match[2].encode(errors="surrogateescape"), prefilter)
        else:
            texts += _text_lines(csv_line, prefilter)
    return texts


def _clean_text(data: bytes, _prefilter: Prefilter, rules: Rules) -> bytes:
    return rules.clean(data.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def _text_lines(data: bytes, prefilter: Prefilter) -> Texts:
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


_TEXT, _JSON = Kind(_clean_text, _text_lines), Kind(_clean_json, _json_texts)
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
