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
from gpuprobe.cli._ends import ReaderGoneError, guard, say
from gpuprobe.cli._help import write_examples
from gpuprobe.cli._unexpected import meaning
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
# Objects that may come to be before garbage is looked for among them: some megabytes.
COLLECT_AFTER = 50_000
# Set by a shell that asks for completions.
COMPLETE = "_GPUPROBE_COMPLETE"


class _Commands(click.Group):
    """The subcommands, each a file of this folder, imported only when used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return [name for names in _groups().values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the subcommands in groups by purpose."""
        for group, names in _groups().items():
            with formatter.section(group):
                formatter.write_dl([(f"{name:<8}", _module(name).command.get_short_help_str(100)) for name in names])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples, and how to turn on completion in a shell."""
        write_examples(formatter, EXAMPLES)
        formatter.write_paragraph()
        formatter.write_text(COMPLETION)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand; None if there is none of that name."""
        if cmd_name not in _names():
            return None
        subcommand: click.Command = _module(cmd_name).command
        return subcommand

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a subcommand; the error for an unknown one suggests similar names."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=_names(), ctx=ctx) from None


def _names() -> list[str]:
    return [file.stem for file in Path(__file__).parent.glob("[a-z]*.py")]


def _module(name: str) -> Any:
    return importlib.import_module(f"gpuprobe.cli.{name}")


def _groups() -> dict[str, list[str]]:
    """Return the names by group, both ordered as the files say."""
    groups: dict[str, list[str]] = {}
    for name in sorted(_names(), key=lambda name: (_module(name).HELP_ORDER, name)):
        groups.setdefault(_module(name).HELP_GROUP, []).append(name)
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
    # Commands make few reference cycles: looking for them after every 700 objects, as is usual, took a tenth of the
    # processor time of `gpuprobe report`. At exit the interpreter would look for them once more.
    gc.set_threshold(COLLECT_AFTER)
    atexit.register(gc.freeze)
    guard()
    debug = "--debug" in sys.argv or bool(os.environ.get("GPUPROBE_DEBUG"))
    try:
        with unwinding():
            _carry_out()
    except click.exceptions.Exit as end:
        raise SystemExit(end.exit_code) from None
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
        message, code = meaning(error)
        say(f"gpuprobe: {message}")
        raise SystemExit(code) from None
    finally:
        # All output is written: a late Ctrl-C during exit would only change the exit code.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Flush what was printed before an error; an error of stdout itself is not reported in addition.
        with suppress(GpuprobeError):
            sys.stdout.flush()


def _carry_out() -> None:
    """Answer a shell's request for completions, or run the subcommand, and flush its output."""
    try:
        _complete()
        # Click's own `main` has other exit codes for an interruption and a closed pipe, so it is not used.
        with _program.make_context("gpuprobe", sys.argv[1:]) as context:
            _program.invoke(context)
    except (SystemExit, click.exceptions.Exit):
        sys.stdout.flush()
        raise
    sys.stdout.flush()


def _complete() -> None:
    """Answer a shell's request for completions, and exit."""
    if asked := os.environ.get(COMPLETE):
        from click.shell_completion import shell_complete

        raise SystemExit(shell_complete(_program, {}, "gpuprobe", COMPLETE, asked))


def _in_one_line(error: click.ClickException) -> str:
    """Return what is wrong with the command line, and where the valid options are listed."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "gpuprobe"
    wrong = " ".join(error.format_message().split())
    return f"{where}: {wrong[:1].lower()}{wrong[1:]} ({where} --help shows what it takes)"
