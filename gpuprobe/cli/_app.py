"""The entry point: finds the subcommand, and turns every error into one clear line and an exit code."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from typing import TYPE_CHECKING

import typer

import gpuprobe.cli
from gpuprobe.errors import GpuprobeError

if TYPE_CHECKING:
    from types import ModuleType

EXAMPLES = """\b
Examples:
  gpuprobe doctor                      can TensorFlow use and profile the GPU here, and if not, what to do
  gpuprobe watch -- python train.py    sample any command, say what its telemetry supports
  gpuprobe run --strategies all        train ResNet20 every way, rank the ways, explain the idle time
  gpuprobe report reports/STUDY        write the report of a study again, without TensorFlow
  gpuprobe compare reports/A reports/B what became faster or slower beyond the noise, and what else differs
  gpuprobe view reports/STUDY          open the study's traces in TensorBoard's profiler
"""


# An error of gpuprobe's own (sysexits.h, EX_SOFTWARE).
UNEXPECTED = 70


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gpuprobe {gpuprobe.__version__}")
        raise typer.Exit


def _app() -> typer.Typer:
    # Plain help: it starts faster than the boxed one, and reads the same in a pipe.
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog=EXAMPLES,
    )

    @app.callback()
    def gpuprobe(
        version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
        debug: bool = typer.Option(False, "--debug", help="Show the full traceback of an error."),
    ) -> None:
        """Why is my GPU idle while Keras trains, and which change fixes it?"""

    for module in _command_modules():
        app.command(module.__name__.rpartition(".")[2], **getattr(module, "OPTIONS", {}))(module.command)
    return app


def _command_modules() -> list[ModuleType]:
    names = [found.name for found in pkgutil.iter_modules(gpuprobe.cli.__path__) if not found.name.startswith("_")]
    modules = [importlib.import_module(f"gpuprobe.cli.{name}") for name in names]
    return sorted(modules, key=lambda module: (module.HELP_ORDER, module.__name__))


def main() -> None:
    """Run the command line; the installed `gpuprobe` program."""
    debug = "--debug" in sys.argv or bool(os.environ.get("GPUPROBE_DEBUG"))
    try:
        _app()()
    except GpuprobeError as error:
        if debug:
            raise
        typer.echo(f"gpuprobe: {error}", err=True)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The reader (head, less) has gone. Point stdout elsewhere so that the flush at exit cannot raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except Exception as error:
        if debug:
            raise
        typer.echo(f"gpuprobe: unexpected {type(error).__name__}: {error}; --debug shows where", err=True)
        raise SystemExit(UNEXPECTED) from None
