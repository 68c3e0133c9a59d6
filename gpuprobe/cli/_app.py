"""The entry point: finds the subcommand, and turns every error into one clear line and an exit code."""

from __future__ import annotations

import atexit
import errno
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
from gpuprobe.errors import INTERRUPTED, UNEXPECTED, GpuprobeError, MissingError, OutputError, in_short

EXAMPLES = (
    ("gpuprobe doctor", "can TensorFlow use and profile the GPU here, and if not, what to do"),
    ("gpuprobe watch --trace -- python train.py", "your own script as it is: where its steps go, and why"),
    ("gpuprobe run --strategies all", "train ResNet20 every way, rank the ways, explain the idle time"),
    ("gpuprobe diagnose logs/", "a trace that you have: where its steps went, and why"),
    ("gpuprobe compare reports/A reports/B", "what became faster or slower beyond the noise"),
)
COMPLETION = (
    'Completion of names and options: eval "$(_GPUPROBE_COMPLETE=bash_source gpuprobe)" in ~/.bashrc; zsh_source and '
    "fish_source for those."
)
# Set by the shell that asks what could follow.
COMPLETE = "_GPUPROBE_COMPLETE"
# What pip calls the packages that are imported by another name.
DISTRIBUTIONS = {
    "google": "protobuf",
    "markdown_it": "markdown-it-py",
    "prometheus_client": "prometheus-client",
    "pynvml": "nvidia-ml-py",
    "sklearn": "scikit-learn",
    "xprof": "tensorboard-plugin-profile",
}
# A disk or a quota that is full, and one that cannot be written at all.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


class _Commands(click.Group):
    """The subcommands, each a file of this folder that is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which the help shows them."""
        return [name for names in _groups().values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the subcommands in groups, by what one is after."""
        for group, names in _groups().items():
            with formatter.section(group):
                formatter.write_dl([(f"{name:<8}", _module(name).command.get_short_help_str(100)) for name in names])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples, and how to have the shell complete names."""
        write_examples(formatter, EXAMPLES)
        formatter.write_paragraph()
        formatter.write_text(COMPLETION)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand, None where there is none of that name."""
        if cmd_name not in _names():
            return None
        found: click.Command = _module(cmd_name).command
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


def _module(name: str) -> Any:
    return importlib.import_module(f"gpuprobe.cli.{name}")


def _groups() -> dict[str, list[str]]:
    """Return the names by the group that each file names, both in the order that the files ask for."""
    groups: dict[str, list[str]] = {}
    for name in sorted(_names(), key=lambda name: (_module(name).HELP_ORDER, name)):
        groups.setdefault(_module(name).HELP_GROUP, []).append(name)
    return groups


# Defaults are shown, and what Click calls a program that is started by `python -m` is no name that one can type.
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
    # At its end the interpreter would look through every object for cycles, and all of the memory goes anyway.
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
        # Within the `exec` of a string, as a dataclass's, it has Py_RunMain end by the signal; the next undoes it.
        exec("")  # noqa: S102
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        if debug:
            raise
        said, code = _unexpected(error)
        say(f"gpuprobe: {said}")
        raise SystemExit(code) from None
    finally:
        # All is written: a Ctrl-C too many finds the interpreter on its way out, and would change the exit code.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # What was printed before an error; one that stdout has of its own is not told on top of it.
        with suppress(GpuprobeError):
            sys.stdout.flush()


def _carry_out() -> None:
    """Answer the shell that asks what could follow, or run the subcommand, up to the last of what it printed."""
    try:
        _complete()
        # Not Click's own `main`, which has other exit codes for an interruption and for a reader that has gone.
        with _program.make_context("gpuprobe", sys.argv[1:]) as context:
            _program.invoke(context)
    except (SystemExit, click.exceptions.Exit):
        sys.stdout.flush()
        raise
    sys.stdout.flush()


def _unexpected(error: Exception) -> tuple[str, int]:
    """Return what to say of an error that is nobody's mistake, or of what the machine lacks, and the exit code."""
    if _is_of_memory(error):
        return f"there is not enough memory ({in_short(error)})", MissingError.exit_code
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return f"{error.filename or 'a file'}: cannot be written ({error.strerror})", OutputError.exit_code
    if isinstance(error, ModuleNotFoundError) and not (error.name or "gpuprobe").startswith("gpuprobe"):
        return (
            f"the package {error.name} is not installed: pip install {_distribution(error.name or '')}",
            MissingError.exit_code,
        )
    return f"unexpected {type(error).__name__}: {error}; --debug shows where", UNEXPECTED


def _distribution(module: str) -> str:
    """Return what pip calls the package that a module is of."""
    top = module.partition(".")[0]
    return DISTRIBUTIONS.get(top, top)


def _is_of_memory(error: Exception) -> bool:
    """Whether it says that the system had no memory to give: for data, for a thread, or to load a library into."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    words = (
        ("failed to map segment", "annot allocate memory") if isinstance(error, ImportError) else ("start new thread",)
    )
    said = isinstance(error, ImportError | RuntimeError) and any(word in str(error) for word in words)
    return isinstance(error, MemoryError) or said


def _complete() -> None:
    """Answer a shell that asks what could follow, and end."""
    if asked := os.environ.get(COMPLETE):
        from click.shell_completion import shell_complete

        raise SystemExit(shell_complete(_program, {}, "gpuprobe", COMPLETE, asked))


def _in_one_line(error: click.ClickException) -> str:
    """Return what is wrong with the words that were typed, and where the right ones are listed."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "gpuprobe"
    said = " ".join(error.format_message().split())
    return f"{where}: {said[:1].lower()}{said[1:]} ({where} --help shows what it takes)"
