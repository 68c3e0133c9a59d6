"""`gpuprobe explain`: what a cause is, how it shows, what decides it, and what cures it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gpuprobe.cli._help import DescribedCommand, exit_codes_of
from gpuprobe.cli._wrap import echo_lines

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes import Cause

HELP_ORDER = 17
HELP_GROUP = "Understand"
EXAMPLES = (
    ("gpuprobe explain launch_bound", "a cause that a diagnosis has named"),
    ("gpuprobe list --causes", "the names of all"),
)
WIDEST_TITLE = len("How it shows")
EXIT_CODES = exit_codes_of("explained")


@click.command("explain", cls=DescribedCommand, examples=EXAMPLES, exit_codes=EXIT_CODES)
@click.argument("cause", metavar="CAUSE", help="The name of a cause, as launch_bound.")
def command(cause: str) -> None:
    """Explain a cause: how it shows, what decides it, what cures it.

    The evidence with its thresholds and their sources, the fix, and what it can be mistaken for.
    """
    from gpuprobe.report.explain import CODE, explained

    for title, explanation in explained(_cause_named(cause)):
        if title == CODE:
            # Printed without wrapping, so that it can be copied.
            click.echo(explanation)
        else:
            echo_lines(f"{title:<{WIDEST_TITLE}}  " + explanation.replace("\n", f"\n{'':<{WIDEST_TITLE}}  "))


def _cause_named(cause_id: str) -> Cause:
    from gpuprobe.diagnosis.causes import CATALOGUE, cause_named
    from gpuprobe.errors import UsageError

    cause = cause_named(cause_id)
    if cause is None:
        import difflib

        similar_causes = difflib.get_close_matches(cause_id, [entry.id for entry in CATALOGUE], 3, 0.7)
        hint = f"did you mean {' or '.join(similar_causes)}?" if similar_causes else "gpuprobe list --causes names all"
        raise UsageError(f"no cause is called {cause_id!r}; {hint}")
    return cause
