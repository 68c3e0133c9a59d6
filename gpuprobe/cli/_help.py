"""The end of a subcommand's help: examples, notes and exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What each exit code means for most commands (see `GpuprobeError`); a command may give a more exact meaning.
COMMON_EXIT_CODES = {
    2: "wrong usage",
    3: "unreadable input",
    4: "output cannot be written",
    5: "something is not installed, or memory is short",
    130: "interrupted",
}
# A longer example has its explanation on the next line.
LONGEST_EXAMPLE = 44


class DescribedCommand(click.Command):
    """A command whose help has examples (a command line and its purpose), notes, and exit codes."""

    def __init__(
        self,
        *args: Any,
        examples: Sequence[tuple[str, str]] = (),
        notes: Sequence[str] = (),
        exit_codes: Mapping[int, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples, self.notes, self.exit_codes = examples, notes, exit_codes or {}

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the end of the help, below the options."""
        write_examples(formatter, self.examples)
        for note in self.notes:
            formatter.write_paragraph()
            formatter.write_text(note)
        if self.exit_codes:
            with formatter.section("Exit codes"):
                formatter.write_dl([(str(code), meaning) for code, meaning in self.exit_codes.items()])


def write_examples(formatter: click.HelpFormatter, examples: Sequence[tuple[str, str]]) -> None:
    """Write each command line with its purpose."""
    if examples:
        with formatter.section("Examples"):
            formatter.write_dl(examples, col_max=LONGEST_EXAMPLE)


def exit_codes_of(success: str, *common: int, failed: str = "") -> dict[int, str]:
    """Return the exit codes of a command: 0, 1 if it has a meaning, 2, and the given common ones."""
    return {0: success, **({1: failed} if failed else {}), **{code: COMMON_EXIT_CODES[code] for code in (2, *common)}}
