"""The entry point: finds the subcommand, and turns every error into one clear line and an exit code."""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

import gpuprobe
from gpuprobe.cli._ending import unwinding
from gpuprobe.cli._ends import ReaderGoneError, guard_streams, say
from gpuprobe.cli._help import write_examples
from gpuprobe.cli._unexpected import message_and_exit_code
from gpuprobe.errors import INTERRUPTED, GpuprobeError

EXAMPLES = (
    ("gpuprobe doctor", "can TensorFlow use and profile the GPU here, and if not, what to do"),
    ("gpuprobe watch --trace -- python train.py", "your own script as it is: where its steps go, and why"),
    ("gpuprobe run --strategies all", "train ResNet20 under each strategy, rank them, explain the idle time"),
    ("gpuprobe diagnose logs/", "a trace that you have: where its steps went, and why"),
    ("gpuprobe compare reports/A reports/B", "what became faster or slower beyond the noise"),
)
COMPLETION = (
    'Completion of names and options: eval "$(_GPUPROBE_COMPLETE=bash_source gpuprobe)" in ~/.bashrc; zsh_source and '
    "fish_source for those."
)
# How many new objects trigger a search for reference cycles: some megabytes.
GARBAGE_COLLECT_AFTER = 50_000
# Set by a shell that asks for completions.
COMPLETE_VARIABLE = "_GPUPROBE_COMPLETE"


class _Commands(click.Group):
    """The subcommands, each a file of this folder, imported only when used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return [subcommand for subcommands in _subcommands_by_group().values() for subcommand in subcommands]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the subcommands in groups by purpose."""
        for group, subcommands in _subcommands_by_group().items():
            with formatter.section(group):
                formatter.write_dl(
                    [
                        (f"{subcommand:<8}", _subcommand_module(subcommand).command.get_short_help_str(100))
                        for subcommand in subcommands
                    ]
                )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples, and how to turn on completion in a shell."""
        write_examples(formatter, EXAMPLES)
        formatter.write_paragraph()
        formatter.write_text(COMPLETION)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand; None if there is none of that name."""
        if cmd_name not in _subcommand_names():
            return None
        subcommand: click.Command = _subcommand_module(cmd_name).command
        return subcommand

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a subcommand; the error for an unknown one suggests similar names."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=_subcommand_names(), ctx=ctx) from None


def _subcommand_names() -> list[str]:
    return [file.stem for file in Path(__file__).parent.glob("[a-z]*.py")]


def _subcommand_module(subcommand: str) -> Any:
    return importlib.import_module(f"gpuprobe.cli.{subcommand}")


def _subcommands_by_group() -> dict[str, list[str]]:
    """Return the names by group, both ordered as the files say."""
    groups: dict[str, list[str]] = {}
    for subcommand in sorted(
        _subcommand_names(), key=lambda subcommand: (_subcommand_module(subcommand).HELP_ORDER, subcommand)
    ):
        groups.setdefault(_subcommand_module(subcommand).HELP_GROUP, []).append(subcommand)
    return groups


# Defaults are shown; the program's name is given, since Click's name for `python -m` cannot be typed.
@click.group(
    "gpuprobe",
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(gpuprobe.__version__, message="gpuprobe %(version)s", help="Print the version.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the full traceback of an error.")
def _program() -> None:
    """Why is my GPU idle while Keras trains, and which change fixes it?"""


def main() -> None:
    """Run the command line; the installed `gpuprobe` program."""
    # Commands make few reference cycles. Python's usual search after every 700 objects took a tenth of the processor
    # time of `gpuprobe report`. The search at exit is avoided by `gc.freeze`.
    gc.set_threshold(GARBAGE_COLLECT_AFTER)
    atexit.register(gc.freeze)
    guard_streams()
    debug = "--debug" in sys.argv or bool(os.environ.get("GPUPROBE_DEBUG"))
    try:
        with unwinding():
            _run_subcommand()
    except click.exceptions.Exit as exit_request:
        raise SystemExit(exit_request.exit_code) from None
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except click.ClickException as error:
        say(_in_one_line(error))
        raise SystemExit(error.exit_code) from None
    except ReaderGoneError as error:
        raise SystemExit(error.exit_code) from None
    except GpuprobeError as error:
        if debug:
            raise
        say(f"gpuprobe: {error}")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        # Within an `exec` of a string, as in a dataclass, Ctrl-C makes Py_RunMain exit by the signal; a second call
        # resets that.
        exec("")  # noqa: S102
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        if debug:
            raise
        message, exit_code = message_and_exit_code(error)
        say(f"gpuprobe: {message}")
        raise SystemExit(exit_code) from None
    finally:
        # All output is written. A late Ctrl-C during exit would only change the exit code, so it is ignored.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Flush what was printed before an error; an error of stdout itself is not reported in addition.
        with suppress(GpuprobeError):
            sys.stdout.flush()


def _run_subcommand() -> None:
    """Answer a shell's request for completions, or run the subcommand, and flush its output."""
    try:
        _answer_completion()
        # Click's own `main` has other exit codes for an interruption and a closed pipe, so it is not used.
        with _program.make_context("gpuprobe", sys.argv[1:]) as context:
            _program.invoke(context)
    except (SystemExit, click.exceptions.Exit):
        sys.stdout.flush()
        raise
    sys.stdout.flush()


def _answer_completion() -> None:
    """Answer a shell's request for completions, and exit."""
    if completion_request := os.environ.get(COMPLETE_VARIABLE):
        from click.shell_completion import shell_complete

        raise SystemExit(shell_complete(_program, {}, "gpuprobe", COMPLETE_VARIABLE, completion_request))


def _in_one_line(error: click.ClickException) -> str:
    """Return what is wrong with the command line, and where the valid options are listed."""
    context = getattr(error, "ctx", None)
    program = context.command_path if context is not None else "gpuprobe"
    usage_error = " ".join(error.format_message().split())
    return f"{program}: {usage_error[:1].lower()}{usage_error[1:]} ({program} --help shows its options)"
