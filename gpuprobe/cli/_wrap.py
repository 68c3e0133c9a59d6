"""Wraps plain text for a terminal: lines break between words, and continued lines are indented."""

from __future__ import annotations

import shutil
import sys
import textwrap

from gpuprobe.cli._ends import echo

# How much further the continued lines of a sentence are indented.
INDENT = 2


def echo_lines(text: str) -> None:
    """Print text, wrapped to the width of a terminal; in a pipe or a file lines stay whole."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        text = "\n".join(_wrapped_line(line, width) for line in text.split("\n"))
    echo(text)


def _wrapped_line(line: str, width: int) -> str:
    """Wrap a line between words; a word wider than a line, such as a path, stays whole."""
    indent = " " * (len(line) - len(line.lstrip()) + INDENT)
    # A number and its unit stay on one line.
    unbreakable = line.replace(" %", "\u00a0%")
    return textwrap.fill(
        unbreakable, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ).replace("\u00a0%", " %")
