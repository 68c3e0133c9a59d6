"""The console that subcommands print on."""

from __future__ import annotations

import rich.console


class Console(rich.console.Console):
    """Rich's, except that a reader who has gone (head, less) ends the program with the code documented for it."""

    def on_broken_pipe(self) -> None:
        """Let the error through: Rich would end with 1, which says that something failed."""
        raise BrokenPipeError
