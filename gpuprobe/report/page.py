"""The Markdown templates of this room, how they are filled in, and how text of others is kept from being markup."""

from __future__ import annotations

import re

import jinja2

# What CommonMark takes for markup within a line. An underscore within a word is none, and names are full of them.
MARKUP = re.compile(r"([\\`*\[\]<>|]|(?<!\w)_|_(?!\w))")
# In a sentence two stars are ours; an underscore means markup only where a word begins or ends.
BEYOND_CODE = re.compile(r"([\\\[\]<]|(?<!\*)\*(?!\*)|(?<!\w)_|_(?!\w))")
CODE = re.compile(r"(`[^`]+`)")


def plain(text: object) -> str:
    """Write text that others chose (a name, a message, a path) as one line that means no markup."""
    return MARKUP.sub(r"\\\1", " ".join(str(text).split()))


def said(text: object) -> str:
    """Write a sentence of ours, which may hold code in backticks and names of others, as one line.

    Backticks and two stars are all the markup that it has: a tag, a link or a picture in a name of others is none.
    """
    parts = CODE.split(" ".join(str(text).split()))
    return "".join(part if place % 2 else BEYOND_CODE.sub(r"\\\1", part) for place, part in enumerate(parts))


def cell(text: object) -> str:
    """Write a sentence of ours as a cell of a table, whose columns it must not part."""
    return said(text).replace("|", "\\|")


def code(text: object) -> str:
    """Write text as code within a line, whatever backticks it holds."""
    line = " ".join(str(text).split())
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {line} {fence}" if longest else f"{fence}{line}{fence}"


def language(text: str) -> str:
    """Name the language of code to print: a diff, a command of a shell, or Python."""
    if any(line.startswith(("+ ", "- ")) for line in text.splitlines()):
        return "diff"
    return "sh" if text.startswith(("pip ", "nvidia-smi ")) else "python"


def table(rows: list[list[str]]) -> str:
    """Write rows, the first of them the head, as a Markdown table; the cells are sentences of ours."""
    if not rows:
        return ""
    lines = [f"| {' | '.join(cell(text) for text in row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


_environment = jinja2.Environment(
    loader=jinja2.PackageLoader("gpuprobe.report"),
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
    # The output is Markdown, where escaping for HTML would show; the filters are what keeps text from being markup.
    autoescape=False,  # noqa: S701
)
_environment.filters |= {each.__name__: each for each in (plain, said, cell, code, language, table)}


def template(name: str) -> jinja2.Template:
    """Return a template by the name of its file."""
    return _environment.get_template(name)
