"""Puts text of others into every field of a record that may hold such, whatever the record is."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, get_type_hints

import msgspec

# Fields whose words, or form, are checked when the record is read.
CONSTRAINED = re.compile("Literal|Meta")
# What others may write for a name: each does something somewhere.
TEXTS = (
    "\x1b]52;c;aGk=\x07",
    "\x1b[31mred\x1b[0m\x9b2J",
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "a|b|c `x` ``y`` [red]z[/red] [a](javascript:b) ![i](http://h/i.png) *b* _c_",
    "```\n<b onclick=x>\n```",
    "$x_{$ \u202egnp.exe\u2066 \u200b zero",
    "first\n# heading\n\n| a | b |\r\nlast",
    "&lt;b&gt; &#60;i&#62;",
    "x" * 5000,
)


def naming(text: str) -> Callable[[str], str]:
    """Return what renames: equal names become equal ones, so that records still belong together."""
    seen: dict[str, int] = {}
    return lambda name: f"{text}{seen.setdefault(name, len(seen))}"


def renamed(value: Any, name: Callable[[str], str], hint: Any = str) -> Any:
    """Return a record with each of its texts renamed; what only some words may stand in stays, and what is empty."""
    if isinstance(value, msgspec.Struct):
        hints = get_type_hints(type(value), include_extras=True)
        fields = {field: renamed(getattr(value, field), name, hints[field]) for field in value.__struct_fields__}
        return msgspec.structs.replace(value, **fields)
    if isinstance(value, tuple):
        return tuple(renamed(one, name, hint) for one in value)
    if isinstance(value, dict):
        return {key: renamed(one, name, hint) for key, one in value.items()}
    return name(value) if isinstance(value, str) and value and not CONSTRAINED.search(str(hint)) else value
