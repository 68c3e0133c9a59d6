"""The entry point: finds the subcommand, and turns every error into one clear line and an exit code."""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys
from pathlib import Path

import click

import gpuprobe
from gpuprobe.errors import INTERRUPTED, NOBODY_READS, UNEXPECTED, GpuprobeError

EXAMPLES = """\b
Examples:
  gpuprobe doctor                      can TensorFlow use and profile the GPU here, and if not, what to do
  gpuprobe watch -- python train.py    sample any command, say what its telemetry supports
  gpuprobe run --strategies all        train ResNet20 every way, rank the ways, explain the idle time
  gpuprobe report reports/STUDY        write the report of a study again, without TensorFlow
  gpuprobe compare reports/A reports/B what became faster or slower beyond the noise, and what else differs
  gpuprobe view reports/STUDY          open the study's traces in TensorBoard's profiler
"""


class _Commands(click.Group):
    """The subcommands, each a file of this folder that is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which the help shows them."""
        order = {name: importlib.import_module(f"gpuprobe.cli.{name}").HELP_ORDER for name in _names()}
        return sorted(order, key=lambda name: (order[name], name))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand, None where there is none of that name."""
        if cmd_name not in _names():
            return None
        found: click.Command = importlib.import_module(f"gpuprobe.cli.{cmd_name}").command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand that is asked for; an unknown one is told of with those that it may have meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=_names(), ctx=ctx) from None


def _names() -> list[str]:
    return [file.stem for file in Path(__file__).parent.glob("[a-z]*.py")]


# Defaults are shown, and what Click calls a program that is started by `python -m` is no name that one can type.
@click.group(
    "gpuprobe",
    cls=_Commands,
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(gpuprobe.__version__, message="gpuprobe %(version)s", help="Print the version.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the full traceback of an error.")
def _program() -> None:
    """Why is my GPU idle while Keras trains, and which change fixes it?"""


def main() -> None:
    """Run the command line; the installed `gpuprobe` program."""
    # At its end the interpreter would look through every object for cycles, and all of the memory goes anyway.
    atexit.register(gc.freeze)
    debug = "--debug" in sys.argv or bool(os.environ.get("GPUPROBE_DEBUG"))
    try:
        # Not Click's own `main`, which has other exit codes for an interruption and for a reader that has gone.
        with _program.make_context("gpuprobe", sys.argv[1:]) as context:
            _program.invoke(context)
    except click.exceptions.Exit as end:
        raise SystemExit(end.exit_code) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except GpuprobeError as error:
        if debug:
            raise
        click.echo(f"gpuprobe: {error}", err=True)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        # The reader (head, less) has gone. Point stdout elsewhere so that the flush at exit cannot raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(NOBODY_READS) from None
    except Exception as error:
        if debug:
            raise
        click.echo(f"gpuprobe: unexpected {type(error).__name__}: {error}; --debug shows where", err=True)
        raise SystemExit(UNEXPECTED) from None
