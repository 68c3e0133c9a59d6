"""Text that others chose (names of cards, kernels, packages, hosts, workloads, messages), made fit to be shown.

It is cleaned where it is read, so that no output can forget it: what steers a terminal, turns the direction of writing
or cannot be seen becomes a mark. What means markup is escaped by each output: `report/page.py` for Markdown and so for
the page, Jinja for HTML, matplotlib for SVG.
"""

from __future__ import annotations

import re

# The control characters but tab and newline (Unicode, Cc), those without a width and those that turn the direction of
# writing (Cf), line ends that only some programs know (Zl, Zp), and halves of a character (Cs).
_UNSEEN = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff"
UNSEEN = re.compile(f"[{_UNSEEN}]")
MARK = "\ufffd"
# The same in JSON, where a control character is written as an escape, after an even number of backslashes.
_ESCAPED = re.compile(
    rb"(?<!\\)((?:\\\\)*)\\(?:u00(?:0[0-8bcefBCEF]|1[0-9a-fA-F]|7[fF]|[89][0-9a-fA-F])"
    rb"|u061[cC]|u200[bcdefBCDEF]|u202[89a-eA-E]|u206[0-9]|u[fF][eE][fF][fF]|[bfr])"
)
_RAW = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8b-\x8f\xa8-\xae]|\xe2\x81[\xa0-\xa9]|\xef\xbb\xbf")


def visible(text: str) -> str:
    """Return text with what cannot be seen, or would do something to a terminal, replaced by a mark."""
    return UNSEEN.sub(MARK, text)


def visible_json(data: bytes) -> bytes:
    """Return a JSON document, as UTF-8, with each of its texts `visible`."""
    return _RAW.sub(MARK.encode(), _ESCAPED.sub(rb"\1\\ufffd", data))


def one_line(text: str) -> str:
    """Return `visible` text as one line."""
    return " ".join(visible(text).split())


def shortened(text: str, most: int) -> str:
    """Cut a text that is longer than so many letters in its middle: names begin and end with what tells them apart."""
    if len(text) <= most:
        return text
    kept = most - 3
    return f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"
