"""How a subcommand's help ends: examples, notes and exit codes, each laid out for the width of the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What a code means wherever a command does not say it more exactly; `GpuprobeError` has the contract.
COMMON = {
    2: "wrong usage",
    3: "unreadable input",
    4: "output cannot be written",
    5: "something is not installed, or memory is short",
    130: "interrupted",
}
# An example that is longer has its explanation on the next line.
LONGEST_EXAMPLE = 44


class Described(click.Command):
    """A command whose help shows examples (a command line, and what it is for), notes, and exit codes."""

    def __init__(
        self,
        *given: Any,
        examples: Sequence[tuple[str, str]] = (),
        notes: Sequence[str] = (),
        exit_codes: Mapping[int, str] | None = None,
        **named: Any,
    ) -> None:
        super().__init__(*given, **named)
        self.examples, self.notes, self.exit_codes = examples, notes, exit_codes or {}

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what stands below the options."""
        write_examples(formatter, self.examples)
        for note in self.notes:
            formatter.write_paragraph()
            formatter.write_text(note)
        if self.exit_codes:
            with formatter.section("Exit codes"):
                formatter.write_dl([(str(code), meaning) for code, meaning in self.exit_codes.items()])


def write_examples(formatter: click.HelpFormatter, examples: Sequence[tuple[str, str]]) -> None:
    """Write each command line with what it is for."""
    if examples:
        with formatter.section("Examples"):
            formatter.write_dl(examples, col_max=LONGEST_EXAMPLE)


def codes(done: str, *common: int, failed: str = "") -> dict[int, str]:
    """Return the exit codes of a command: 0, 1 where it has a meaning, wrong usage, and the common ones named."""
    return {0: done, **({1: failed} if failed else {}), **{code: COMMON[code] for code in (2, *common)}}
