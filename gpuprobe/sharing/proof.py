"""Searches every byte of a finished copy, unzipped and decoded, for texts that must not be in it.

It does not use the rules that rewrote the copy but searches for the facts themselves, so it finds a wrong rule.
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
DEEPEST_ENCODING = 3
ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(/))")
ESCAPES = (r"%[0-9a-f]{2}", r"\\[ux/]", r"&#?\w+;")
EVERYTHING = Prefilter(re.compile(""))
# The values that an identifying key may have in a copy: a placeholder, or nothing.
PLACEHOLDER_TEXT = re.compile(r"<[a-z]+(?: \d+)?>|")


class Forbidden:
    """The texts that must not be in a copy.

    Long values are searched for anywhere, names and short paths as whole words.
    """

    def __init__(self, facts: Facts) -> None:
        self._values: dict[str, str] = {}
        for fact_kind, fact_values in (
            ("the folder", facts.studies | facts.folders | facts.homes | facts.temporary | facts.pythons),
            ("a secret", frozenset(fact_value for fact_value in facts.secrets if is_long_secret(fact_value))),
        ):
            self._values |= {
                fact_value: fact_kind
                for fact_value in fact_values
                if fact_kind != "the folder" or find.is_private(fact_value)
            }
        fact_words = {owner_name: "the name" for owner_name in facts.hosts | facts.users if identifies(owner_name)}
        fact_words |= {card_id: "the card" for card in facts.cards for card_id in card if len(card_id) >= SHORTEST_ID}
        fact_words |= dict.fromkeys(facts.addresses, "the address")
        self._words = {fact_word.lower(): fact_kind for fact_word, fact_kind in fact_words.items()}
        short_paths = [path for path in facts.homes | facts.temporary | facts.studies if not find.is_private(path)]
        self._word = _any_of(r"(?<![^\W_])(?:{})(?![^\W_])", self._words, re.IGNORECASE)
        self._short = _any_of(r"(?<![\w./~-])(?:{})(?![\w-])", short_paths)
        self._any_value = _any_of("{}", self._values)
        self._bytes = {
            fact_value.encode(errors="surrogateescape"): fact_kind for fact_value, fact_kind in self._values.items()
        }
        self.prefilter = prefilter_of([*self._values, *self._words, *short_paths], (*ESCAPES, *secrets.HINTS))

    def in_bytes(self, data: bytes) -> str:
        """Name a value that these bytes hold; empty where they hold none."""
        return next(
            (_fact_named(what, value.decode(errors="replace")) for value, what in self._bytes.items() if value in data),
            "",
        )

    def in_text(self, text: str, key: str = "") -> str:
        """Name a fact that a text with this key holds, as it is or decoded; empty where it holds none."""
        if key == HOST_KEY or (key and is_identifying_key(key) and not secrets.is_secret_key(key)):
            return self._under(text, key)
        if key and secrets.is_secret_key(key) and not PLACEHOLDER_TEXT.fullmatch(text):
            return "a secret"
        return next(filter(None, map(self._in, _decodings(text))), "")

    def _under(self, text: str, key: str) -> str:
        is_unknown_name = key in {"host", "user", "username"} and text.lower() not in self._words
        return "" if is_unknown_name or PLACEHOLDER_TEXT.fullmatch(text) else f"the {key} {text!r}"

    def _in(self, text: str) -> str:
        if match := self._any_value.search(text):
            return _fact_named(self._values[match[0]], match[0])
        if match := self._word.search(text):
            return _fact_named(self._words.get(match[0].lower(), "the name"), match[0])
        if match := self._short.search(text):
            return _fact_named("the folder", match[0])
        secrets_left = (text[start:end] for start, end in secrets.secret_spans(text))
        return "a secret" if any(secret_left != secrets.PLACEHOLDER for secret_left in secrets_left) else ""


def leftover(folder: Path, facts: Facts) -> str:
    """Say which file of a copy still holds a fact, and which fact; empty where none does."""
    forbidden = Forbidden(facts)
    for path in sorted(folder.rglob("*")):
        path_in_copy = path.relative_to(folder)
        fact_left = forbidden.in_text(path.name) or (_fact_in_file(path, forbidden) if path.is_file() else "")
        if fact_left:
            return f"{path_in_copy} still holds {fact_left}"
    return ""


def _fact_in_file(path: Path, forbidden: Forbidden) -> str:
    file_bytes = path.read_bytes()
    for content in (file_bytes, *([unzipped(file_bytes)] if file_bytes.startswith(GZIP) else [])):
        if fact_left := forbidden.in_bytes(content):
            return fact_left
    try:
        texts = kind_of(path).texts(file_bytes, forbidden.prefilter if path.suffix == ".pb" else EVERYTHING)
    except InputError as error:
        return str(error)
    return next(filter(None, (forbidden.in_text(text, key) for text, key in texts)), "")


def _decodings(decoded: str) -> Iterator[str]:
    """Yield a text as it is, then with the escapes of URLs, HTML and JSON decoded, up to three times."""
    yield decoded
    for _ in range(DEEPEST_ENCODING):
        text_before = decoded
        decoded = unquote(decoded) if "%" in decoded else decoded
        decoded = html.unescape(decoded) if "&" in decoded else decoded
        decoded = ESCAPE.sub(_character, decoded) if "\\" in decoded else decoded
        if decoded == text_before:
            return
        yield decoded


def _character(match: re.Match[str]) -> str:
    return "/" if match[3] else str(json.loads(f'"\\u{(match[1] or match[2]).zfill(4)}"'))


def _any_of(pattern_around: str, values: object, flags: int = 0) -> re.Pattern[str]:
    longest_first = sorted(values, key=len, reverse=True)  # type: ignore[call-overload]
    return re.compile(
        pattern_around.replace("{}", "|".join(map(re.escape, longest_first))) if longest_first else r"(?!)", flags
    )


def _fact_named(fact_kind: str, fact_value: str) -> str:
    return fact_kind if fact_kind == "a secret" else f"{fact_kind} {fact_value!r}"
