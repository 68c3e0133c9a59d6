"""Finds passwords, tokens and keys in a text, by the words before them or by their shape.

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
NAMED_SECRET = re.compile(
    rf"(?:{_NAMES})(?P<sep>\\?[\"']?[ \t]{{0,4}}[=:][ \t]{{0,4}}|\\?[\"']?[ \t]{{1,4}}){_VALUE}", re.IGNORECASE
)
# Ends of the names of environment variables, in capitals.
SECRET_VARIABLE = re.compile(rf"(?<=[A-Z0-9])_(?:KEY|PASS|AUTH|PAT|DSN|PWD|CREDS?)={_VALUE}")
AUTHORIZATION = re.compile(
    r"authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?!\w{1,20}\s{1,4}<)(?:\w{1,20}\s{1,4})?(?P<value>[^\s\"',<>]+)",
    re.IGNORECASE,
)
BEARER_TOKEN = re.compile(r"\bbearer\s{1,4}(?P<value>[\w.~+/=-]{12,})", re.IGNORECASE)
# A password in a URL may hold a slash; a port does not.
URL_PASSWORD = re.compile(r"://(?P<value>[^\s/@:\"'<>]{1,256}:(?!\d{1,5}/)[^\s@\"'<>]{1,256}|[^\s/@\"'<>]{1,256})@")
QUERY_SECRET = re.compile(
    r"[?&](?:key|sig|signature|code|x-amz-[a-z-]{1,30}|x-goog-[a-z-]{1,30})=(?P<value>[^\s&\"'<>]+)", re.IGNORECASE
)
CURL_USER = re.compile(r"(?<!\S)(?:-u|--user)[ =](?P<value>[^\s:\"'<>]+:[^\s\"'<>]+)")
TOKEN_SHAPES = re.compile(
    r"(?<![A-Za-z0-9])(?P<value>hf_[A-Za-z0-9]{20,}|sk-[\w-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"
    r"|glpat-[\w-]{16,}|AKIA[0-9A-Z]{16}|xox[abprs]-[\w-]{10,}|AIza[\w-]{30,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
# Every text that a pattern above matches contains one of these, which are cheap to search for.
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
SECRET_KEY = re.compile(
    rf"(?:.*[_-]|-*)?(?:{_NAMES}|authorization)|[A-Z0-9_]+_(?:KEY|PASS|AUTH|PAT|DSN|PWD|CREDS?)", re.IGNORECASE
)


def secret_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each secret in a text; a placeholder is no secret."""
    for secret_match in NAMED_SECRET.finditer(text):
        if (
            "=" in secret_match["sep"] or ":" in secret_match["sep"] or _is_option(text, secret_match.start())
        ) and not _is_no_secret(secret_match["value"]):
            yield secret_match.span("value")
    for secret_pattern in (
        SECRET_VARIABLE,
        AUTHORIZATION,
        BEARER_TOKEN,
        URL_PASSWORD,
        QUERY_SECRET,
        CURL_USER,
        TOKEN_SHAPES,
    ):
        for secret_match in secret_pattern.finditer(text):
            yield secret_match.span("value")


def without_secrets(text: str, placeholder_of: Callable[[str], str] = lambda _secret: PLACEHOLDER) -> str:
    """Return a text with each of its secrets replaced."""
    public_parts, copied_until = [], 0
    for secret_start, secret_end in sorted(secret_spans(text)):
        if secret_start >= copied_until:
            public_parts += [text[copied_until:secret_start], placeholder_of(text[secret_start:secret_end])]
        copied_until = max(copied_until, secret_end)
    return "".join([*public_parts, text[copied_until:]]) if public_parts else text


def is_secret_key(key: str) -> bool:
    """Return whether the value of a key of JSON, or of an option of a command, is a secret."""
    return len(key) <= _LONGEST_OPTION and SECRET_KEY.fullmatch(key) is not None


def _is_option(text: str, position: int) -> bool:
    text_before = text[max(0, position - _LONGEST_OPTION) : position]
    word_start = max(text_before.rfind(mark) for mark in " \t\n\"'")
    return text_before[word_start + 1 :].startswith("-")


def _is_no_secret(value: str) -> bool:
    # No secrets: a file that holds a token, an option after a flag, a variable, or a placeholder.
    return value.startswith(("/", "./", "~", "-", "$", ":", PLACEHOLDER))
