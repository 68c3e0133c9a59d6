"""Makes text from other sources (names of cards, kernels, packages, hosts, workloads; messages) safe to print.

It is cleaned where it is read: characters that control a terminal, change the direction of writing or are invisible
become a mark. Each kind of output also passes all of its text through one function, which calls `shown` again:
`cli/_terminal.py` and `cli/_ends.py` for a terminal, `report/page.py` for Markdown, so for the page and a notebook, and
`report/plots.py` for SVG. Markup is escaped there too.
"""

from __future__ import annotations

import re

# The control characters but tab and newline (Unicode, Cc), those without a width and those that turn the direction of
# writing (Cf), line ends that only some programs know (Zl, Zp), and halves of a character (Cs).
_UNSEEN = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff"
UNSEEN = re.compile(f"[{_UNSEEN}]")
MARK = "\ufffd"
# The longest word shown whole: enough for a path of several folders.
LONGEST_WORD = 400
_LONG = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")
# The same in JSON, where a control character is written as an escape, after an even number of backslashes.
_ESCAPED = re.compile(
    rb"(?<!\\)((?:\\\\)*)\\(?:u00(?:0[0-8bcefBCEF]|1[0-9a-fA-F]|7[fF]|[89][0-9a-fA-F])"
    rb"|u061[cC]|u200[bcdefBCDEF]|u202[89a-eA-E]|u206[0-9]|u[fF][eE][fF][fF]|[bfr])"
)
_RAW = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8b-\x8f\xa8-\xae]|\xe2\x81[\xa0-\xa9]|\xef\xbb\xbf")


def visible(text: str) -> str:
    """Return text with invisible characters and those that control a terminal replaced by a mark."""
    return UNSEEN.sub(MARK, text)


def visible_json(data: bytes) -> bytes:
    """Return a JSON document in UTF-8 with each of its texts made `visible`."""
    return _RAW.sub(MARK.encode(), _ESCAPED.sub(rb"\1\\ufffd", data))


def shown(text: str) -> str:
    """Return `visible` text with very long words cut in their middle."""
    clean = visible(text)
    return _LONG.sub(lambda word: shortened(word[0], LONGEST_WORD), clean) if len(clean) > LONGEST_WORD else clean


def shortened(text: str, most: int) -> str:
    """Cut a text to so many letters, in its middle, since names mostly differ at their ends."""
    if len(text) <= most:
        return text
    kept = most - 3
    return f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"
