"""Fills in the Markdown templates of this room, and escapes the text of others so that it is no markup."""

from __future__ import annotations

import re
from typing import Any

import jinja2

from gpuprobe.foreign import shown

# What CommonMark takes for markup within a line. An underscore within a word is none, and names are full of them.
MARKUP = re.compile(r"([\\`*\[\]<>|]|(?<!\w)_|_(?!\w))")
# What is escaped in a sentence of ours: all but code in backticks and two stars, and underscores within words.
BEYOND_CODE = re.compile(r"([\\`\[\]<]|(?<!\*)\*(?!\*)|(?<!\w)_|_(?!\w))")
# Code of ours stands between single backticks, never several in a row.
CODE = re.compile(r"((?<!`)`(?!`)[^`]+`(?!`))")


class Markdown(str):
    """Text that is Markdown already, whose markup is ours; a template escapes all other text."""

    __slots__ = ()


def plain(text: object) -> Markdown:
    """Write text that others chose (a name, a message, a path) as one line that means no markup."""
    return _escaped(" ".join(str(text).split()))


def _escaped(text: object) -> Markdown:
    """Return Markdown as it is, and other text on one line with its markup escaped."""
    return text if isinstance(text, Markdown) else Markdown(MARKUP.sub(r"\\\1", re.sub(r"\s+", " ", str(text))))


def said(text: object) -> Markdown:
    """Write a sentence of ours, which may hold code in backticks and names of others, as one line.

    Backticks and two stars are all the markup that it has: a tag, a link or a picture in a name of others is none.
    """
    parts = CODE.split(" ".join(str(text).split()))
    return Markdown("".join(part if place % 2 else BEYOND_CODE.sub(r"\\\1", part) for place, part in enumerate(parts)))


def cell(text: object) -> Markdown:
    """Write a sentence of ours as a cell of a table, with its vertical bars escaped."""
    return _in_cell(said(text))


def code_cell(text: object) -> Markdown:
    """Write text as code in a cell of a table."""
    return _in_cell(code(text))


def _in_cell(text: Markdown) -> Markdown:
    return Markdown(text.replace("|", "\\|"))


def code(text: object) -> Markdown:
    """Write text as code within a line, whatever backticks it holds."""
    line = " ".join(str(text).split())
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence = "`" * (longest + 1)
    return Markdown(f"{fence} {line} {fence}" if longest else f"{fence}{line}{fence}")


def fenced(text: str) -> Markdown:
    """Write lines of code as a block, whatever backticks they hold."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return Markdown(f"{fence}{_language(text)}\n{text}\n{fence}")


def _language(text: str) -> str:
    """Name the language of code to print: a diff, a command of a shell, or Python."""
    if any(line.startswith(("+ ", "- ")) for line in text.splitlines()):
        return "diff"
    return "sh" if text.startswith(("pip ", "nvidia-smi ")) else "python"


def table(rows: list[list[str]]) -> Markdown:
    """Write rows, the first of which is the heading, as a Markdown table; the cells are sentences of ours."""
    if not rows:
        return Markdown()
    lines = [f"| {' | '.join(cell(text) for text in row)} |" for row in rows]
    return Markdown("\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]))


_environment = jinja2.Environment(
    loader=jinja2.PackageLoader("gpuprobe.report"),
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
    # The output is Markdown, so `finalize` escapes what stands in {{ }} for that, and not for HTML.
    autoescape=False,  # noqa: S701
    finalize=_escaped,
)
_environment.filters |= {each.__name__: each for each in (plain, said, cell, code, code_cell, fenced, table)}


def filled(name: str, **context: Any) -> str:
    """Return the Markdown of a template, by the name of its file, filled in."""
    return shown(_environment.get_template(name).render(context))


def paragraphs(*parts: str) -> str:
    """Join parts that are escaped already as paragraphs; empty ones are left out."""
    return shown("\n\n".join(part for part in parts if part))
