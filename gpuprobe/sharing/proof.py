"""Searches every byte of a finished copy, unzipped and decoded, for texts that must not be in it.

It searches for the facts themselves, without the rules that rewrote the copy, so it finds a wrong or missing rule.
"""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from gpuprobe.errors import InputError
from gpuprobe.sharing import find, secrets
from gpuprobe.sharing.kinds import kind_of, unzipped
from gpuprobe.sharing.prefilter import Prefilter, prefilter_of
from gpuprobe.sharing.protobuf import HOST_KEY
from gpuprobe.sharing.rules import SHORTEST_ID, is_identifying_key, is_long_secret
from gpuprobe.sharing.words import identifies

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gpuprobe.sharing.facts import Facts

GZIP = b"\x1f\x8b"
# How often nested encodings (JSON in a message in a URL) are decoded.
DEEPEST = 3
ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(/))")
ESCAPES = (r"%[0-9a-f]{2}", r"\\[ux/]", r"&#?\w+;")
EVERYTHING = Prefilter(re.compile(""))
# What a value with an identifying key may be.
STAND_IN = re.compile(r"<[a-z]+(?: \d+)?>|")


class Forbidden:
    """The texts that must not be in a copy.

    Long values are searched for anywhere, names and short paths as whole words.
    """

    def __init__(self, facts: Facts) -> None:
        self._values: dict[str, str] = {}
        for what, values in (
            ("the folder", facts.studies | facts.folders | facts.homes | facts.temporary | facts.pythons),
            ("a secret", frozenset(value for value in facts.secrets if is_long_secret(value))),
        ):
            self._values |= {value: what for value in values if what != "the folder" or find.is_private(value)}
        words = {name: "the name" for name in facts.hosts | facts.users if identifies(name)}
        words |= {card_id: "the card" for card in facts.cards for card_id in card if len(card_id) >= SHORTEST_ID}
        words |= dict.fromkeys(facts.addresses, "the address")
        self._words = {word.lower(): what for word, what in words.items()}
        short = [path for path in facts.homes | facts.temporary | facts.studies if not find.is_private(path)]
        self._word = _any(r"(?<![^\W_])(?:{})(?![^\W_])", self._words, re.IGNORECASE)
        self._short = _any(r"(?<![\w./~-])(?:{})(?![\w-])", short)
        self._any_value = _any("{}", self._values)
        self._bytes = {value.encode(errors="surrogateescape"): what for value, what in self._values.items()}
        self.prefilter = prefilter_of([*self._values, *self._words, *short], (*ESCAPES, *secrets.HINTS))

    def in_bytes(self, data: bytes) -> str:
        """Name a value that these bytes hold; empty where they hold none."""
        return next(
            (_said(what, value.decode(errors="replace")) for value, what in self._bytes.items() if value in data), ""
        )

    def in_text(self, text: str, key: str = "") -> str:
        """Name a fact that a text with this key holds, as it is or decoded; empty where it holds none."""
        if key == HOST_KEY or (key and is_identifying_key(key) and not secrets.is_secret_key(key)):
            return self._under(text, key)
        if key and secrets.is_secret_key(key) and not STAND_IN.fullmatch(text):
            return "a secret"
        return next(filter(None, map(self._in, _decoded(text))), "")

    def _under(self, text: str, key: str) -> str:
        named = key in {"host", "user", "username"} and text.lower() not in self._words
        return "" if named or STAND_IN.fullmatch(text) else f"the {key} {text!r}"

    def _in(self, text: str) -> str:
        if match := self._any_value.search(text):
            return _said(self._values[match[0]], match[0])
        if match := self._word.search(text):
            return _said(self._words.get(match[0].lower(), "the name"), match[0])
        if match := self._short.search(text):
            return _said("the folder", match[0])
        left = (text[start:end] for start, end in secrets.spans(text))
        return "a secret" if any(value != secrets.PLACEHOLDER for value in left) else ""


def leftover(folder: Path, facts: Facts) -> str:
    """Say which file of a copy still holds a fact, and which fact; empty where none does."""
    forbidden = Forbidden(facts)
    for path in sorted(folder.rglob("*")):
        where = path.relative_to(folder)
        what = forbidden.in_text(path.name) or (_in_file(path, forbidden) if path.is_file() else "")
        if what:
            return f"{where} still holds {what}"
    return ""


def _in_file(path: Path, forbidden: Forbidden) -> str:
    data = path.read_bytes()
    for content in (data, *([unzipped(data)] if data.startswith(GZIP) else [])):
        if what := forbidden.in_bytes(content):
            return what
    try:
        texts = kind_of(path).texts(data, forbidden.prefilter if path.suffix == ".pb" else EVERYTHING)
    except InputError as error:
        return str(error)
    return next(filter(None, (forbidden.in_text(text, key) for text, key in texts)), "")


def _decoded(text: str) -> Iterator[str]:
    """Yield a text as it is, then with the escapes of URLs, HTML and JSON decoded, up to three times."""
    yield text
    for _ in range(DEEPEST):
        before = text
        text = unquote(text) if "%" in text else text
        text = html.unescape(text) if "&" in text else text
        text = ESCAPE.sub(_character, text) if "\\" in text else text
        if text == before:
            return
        yield text


def _character(match: re.Match[str]) -> str:
    return "/" if match[3] else str(json.loads(f'"\\u{(match[1] or match[2]).zfill(4)}"'))


def _any(around: str, values: object, flags: int = 0) -> re.Pattern[str]:
    ordered = sorted(values, key=len, reverse=True)  # type: ignore[call-overload]
    return re.compile(around.replace("{}", "|".join(map(re.escape, ordered))) if ordered else r"(?!)", flags)


def _said(what: str, value: str) -> str:
    return what if what == "a secret" else f"{what} {value!r}"
