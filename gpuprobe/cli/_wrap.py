"""Plain text for a terminal: lines break between words, and the following ones are indented."""

from __future__ import annotations

import shutil
import sys
import textwrap

from gpuprobe.cli._ends import echo

# What a continued line is set in by, beyond its first.
FURTHER = 2


def echo_lines(text: str) -> None:
    """Print text, in a terminal broken at its width; in a pipe or a file each line stays one."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        text = "\n".join(_broken(line, width) for line in text.split("\n"))
    echo(text)


def _broken(line: str, width: int) -> str:
    """Break a line between its words; a word that is wider by itself, as a path is, stays whole."""
    margin = " " * (len(line) - len(line.lstrip()) + FURTHER)
    # A figure and its sign stay on one line.
    kept = line.replace(" %", "\u00a0%")
    return textwrap.fill(kept, width, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False).replace(
        "\u00a0%", " %"
    )
