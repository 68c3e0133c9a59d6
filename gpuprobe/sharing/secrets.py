"""Finds passwords, tokens and keys in a text, by the words before them or by their own shape.

Each pattern begins at a word boundary, so that the time grows linearly with the text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLACEHOLDER = "<secret>"
_KEYED = "(?:api|access|account|auth|client|private|secret|encryption)"
_NAMES = (
    rf"{_KEYED}[_-]?key(?:[_-]?id)?|api[_-]?secret|client[_-]?secret"
    r"|token|password|passwd|passphrase|pwd|secret|credentials?"
)
_VALUE = r"""(?:\\?(?P<quote>["']))?(?P<value>(?(quote)[^"'\r\n]+|[^\s"',;&<>()\[\]{}|]+))"""
# `--token x` and `token: x`; the first counts only with a dash, which _is_option checks.
NAMED = re.compile(
    rf"(?:{_NAMES})(?P<sep>\\?[\"']?[ \t]{{0,4}}[=:][ \t]{{0,4}}|\\?[\"']?[ \t]{{1,4}}){_VALUE}", re.IGNORECASE
)
# Ends of the names of environment variables, in capitals.
VARIABLE = re.compile(rf"(?<=[A-Z0-9])_(?:KEY|PASS|AUTH|PAT|DSN|PWD|CREDS?)={_VALUE}")
AUTHORIZATION = re.compile(
    r"authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?!\w{1,20}\s{1,4}<)(?:\w{1,20}\s{1,4})?(?P<value>[^\s\"',<>]+)",
    re.IGNORECASE,
)
BEARER = re.compile(r"\bbearer\s{1,4}(?P<value>[\w.~+/=-]{12,})", re.IGNORECASE)
# A password in a URL may hold a slash; a port does not.
URL = re.compile(r"://(?P<value>[^\s/@:\"'<>]{1,256}:(?!\d{1,5}/)[^\s@\"'<>]{1,256}|[^\s/@\"'<>]{1,256})@")
QUERY = re.compile(
    r"[?&](?:key|sig|signature|code|x-amz-[a-z-]{1,30}|x-goog-[a-z-]{1,30})=(?P<value>[^\s&\"'<>]+)", re.IGNORECASE
)
CURL = re.compile(r"(?<!\S)(?:-u|--user)[ =](?P<value>[^\s:\"'<>]+:[^\s\"'<>]+)")
SHAPES = re.compile(
    r"(?<![A-Za-z0-9])(?P<value>hf_[A-Za-z0-9]{20,}|sk-[\w-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"
    r"|glpat-[\w-]{16,}|AKIA[0-9A-Z]{16}|xox[abprs]-[\w-]{10,}|AIza[\w-]{30,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
# One of these is in every text that a pattern above matches; they are cheap to search for.
HINTS = (
    f"{_KEYED}[_-]?key",
    r"[_?&]key=",
    "secret",
    "token",
    "passw",
    "passphrase",
    "pwd",
    "credential",
    r"_(?:pass|auth|pat|dsn|creds?)=",
    "authorization",
    "bearer",
    "://",
    r"[?&](?:sig|code|x-amz|x-goog)",
    "-u ",
    "--user",
    "hf_",
    "sk-",
    r"gh[pousr]_",
    "github_pat_",
    "glpat-",
    "akia",
    "xox[abprs]-",
    "aiza",
    "eyj",
)
# How far back the start of an option is searched for.
_LONGEST_OPTION = 64
# `token` and `--token` name a secret; `max_tokens` and `tokenizer` do not.
KEY = re.compile(
    rf"(?:.*[_-]|-*)?(?:{_NAMES}|authorization)|[A-Z0-9_]+_(?:KEY|PASS|AUTH|PAT|DSN|PWD|CREDS?)", re.IGNORECASE
)


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each secret in a text; a placeholder is no secret."""
    for match in NAMED.finditer(text):
        if ("=" in match["sep"] or ":" in match["sep"] or _is_option(text, match.start())) and not _is_none(
            match["value"]
        ):
            yield match.span("value")
    for pattern in (VARIABLE, AUTHORIZATION, BEARER, URL, QUERY, CURL, SHAPES):
        for match in pattern.finditer(text):
            yield match.span("value")


def hidden(text: str, instead: Callable[[str], str] = lambda _secret: PLACEHOLDER) -> str:
    """Return a text with each of its secrets replaced."""
    parts, at = [], 0
    for start, end in sorted(spans(text)):
        if start >= at:
            parts += [text[at:start], instead(text[start:end])]
        at = max(at, end)
    return "".join([*parts, text[at:]]) if parts else text


def is_secret_key(key: str) -> bool:
    """Return whether the value of a key of JSON, or of an option of a command, is a secret."""
    return len(key) <= _LONGEST_OPTION and KEY.fullmatch(key) is not None


def _is_option(text: str, at: int) -> bool:
    word = text[max(0, at - _LONGEST_OPTION) : at]
    begin = max(word.rfind(mark) for mark in " \t\n\"'")
    return word[begin + 1 :].startswith("-")


def _is_none(value: str) -> bool:
    # No secrets: a file that holds a token, an option after a flag, a variable, or a placeholder.
    return value.startswith(("/", "./", "~", "-", "$", ":", PLACEHOLDER))
