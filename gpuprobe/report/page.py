"""Fills in the Markdown templates of the report, and escapes text that others chose, so that it is no markup."""

from __future__ import annotations

import re
from typing import Any

import jinja2

from gpuprobe.foreign import shown

# What CommonMark takes for markup within a line. An underscore within a word is none, and names are full of them.
MARKUP = re.compile(r"([\\`*\[\]<>|]|(?<!\w)_|_(?!\w))")
# The markup that is escaped in a sentence of gpuprobe: all but code in backticks, two stars and underscores in words.
BEYOND_CODE = re.compile(r"([\\`\[\]<]|(?<!\*)\*(?!\*)|(?<!\w)_|_(?!\w))")
# The sentences of gpuprobe put code between single backticks, never several in a row.
CODE = re.compile(r"((?<!`)`(?!`)[^`]+`(?!`))")


class Markdown(str):
    """Text that is Markdown already, made by gpuprobe; a template escapes all other text."""

    __slots__ = ()


def plain(text: object) -> Markdown:
    """Write text that others chose (a name, a message, a path) as one line without markup."""
    return _escaped(" ".join(str(text).split()))


def _escaped(text: object) -> Markdown:
    """Return Markdown as it is, and other text on one line with its markup escaped."""
    return text if isinstance(text, Markdown) else Markdown(MARKUP.sub(r"\\\1", re.sub(r"\s+", " ", str(text))))


def said(text: object) -> Markdown:
    """Write a sentence of gpuprobe, which may hold code in backticks and names that others chose, as one line.

    Backticks and two stars are its only markup: a tag, a link or a picture in a name is escaped.
    """
    code_and_words = CODE.split(" ".join(str(text).split()))
    return Markdown(
        "".join(
            piece if piece_index % 2 else BEYOND_CODE.sub(r"\\\1", piece)
            for piece_index, piece in enumerate(code_and_words)
        )
    )


def cell(text: object) -> Markdown:
    """Write a sentence of ours as a cell of a table, with its vertical bars escaped."""
    return _in_cell(said(text))


def code_cell(text: object) -> Markdown:
    """Write text as code in a cell of a table."""
    return _in_cell(code(text))


def _in_cell(text: Markdown) -> Markdown:
    return Markdown(text.replace("|", "\\|"))


def code(code_text: object) -> Markdown:
    """Write text as code within a line, whatever backticks it holds."""
    code_line = " ".join(str(code_text).split())
    longest_fence = max((len(backticks) for backticks in re.findall(r"`+", code_line)), default=0)
    fence = "`" * (longest_fence + 1)
    return Markdown(f"{fence} {code_line} {fence}" if longest_fence else f"{fence}{code_line}{fence}")


def fenced(code_lines: str) -> Markdown:
    """Write lines of code as a block, whatever backticks they hold."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", code_lines)), default=0))
    return Markdown(f"{fence}{_language(code_lines)}\n{code_lines}\n{fence}")


def _language(text: str) -> str:
    """Name the language of code to print: a diff, a command of a shell, or Python."""
    if any(line.startswith(("+ ", "- ")) for line in text.splitlines()):
        return "diff"
    return "sh" if text.startswith(("pip ", "nvidia-smi ")) else "python"


def table(table_rows: list[list[str]]) -> Markdown:
    """Write rows, the first of which is the heading, as a Markdown table; the cells are sentences of ours."""
    if not table_rows:
        return Markdown()
    table_lines = [f"| {' | '.join(cell(sentence) for sentence in row)} |" for row in table_rows]
    return Markdown("\n".join([table_lines[0], "|" + "---|" * len(table_rows[0]), *table_lines[1:]]))


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


def filled(template_name: str, **context: Any) -> str:
    """Return the Markdown of a template, by the name of its file, filled in."""
    return shown(_environment.get_template(template_name).render(context))


def paragraphs(*blocks: str) -> str:
    """Join parts that are escaped already as paragraphs; empty ones are left out."""
    return shown("\n\n".join(paragraph for paragraph in blocks if paragraph))
