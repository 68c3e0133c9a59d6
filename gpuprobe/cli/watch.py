"""`gpuprobe watch`: samples around any command, and says what telemetry alone can."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpuprobe.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpuprobe.records import Watch

HELP_ORDER = 25
OPTIONS = {
    # What follows the command's name is the command's, options that look like ours too.
    "context_settings": {"allow_interspersed_args": False},
    "epilog": """\b
Examples:
  gpuprobe watch -- python train.py --epochs 2
  gpuprobe watch --out rec -- ./train.sh           and again: gpuprobe report rec
  gpuprobe watch --metrics-port 9400 -- python serve.py

The command keeps its stdin, stdout, stderr and signals; what gpuprobe has to say goes to stderr. Its exit code is
the command's: 128 + n where signal n ended it, 127 where it is not found, 126 where it cannot be run; 2 wrong
usage and 4 output cannot be written, before it starts.
""",
}


def command(
    words: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="The command and its arguments.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The recording's folder. [default: a new one in reports]"),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Serve the newest values for Prometheus on this port of this machine; 0 takes a free one.",
        ),
    ] = None,
    live: Annotated[bool, typer.Option(help="Show a status bar where stderr is a terminal.")] = True,
) -> None:
    """Run any command with the sampler beside it, and say what its telemetry supports."""
    if not sys.platform.startswith("linux"):
        raise MissingError(f"gpuprobe watch needs Linux (or WSL2): on {sys.platform} it cannot pass signals on")
    from gpuprobe.watch.command import signals_held

    # Before anything heavy is imported: NumPy's threads must hold signals back as well.
    with signals_held() as mask:
        from gpuprobe.cli._bar import StatusBar
        from gpuprobe.measure.environment import environment
        from gpuprobe.recording import TELEMETRY_FILE
        from gpuprobe.watch.session import cpu_limit, new_recording, watch

        folder = out or _new_folder()
        recording = folder / TELEMETRY_FILE
        bar = StatusBar(2, recording, cpu_limit())
        tick = bar.draw if live and _is_terminal() else _quiet
        with new_recording(folder), _metrics(recording, metrics_port), bar:
            record, trouble = watch(words, folder, mask, environment, tick)
    _conclude(record, folder, trouble)
    assert record.outcome is not None
    raise SystemExit(record.outcome.exit_code)


def _new_folder() -> Path:
    import datetime

    now = datetime.datetime.now(datetime.timezone.utc)
    named = Path("reports") / f"{now:%Y%m%d-%H%M%S}-watch"
    return next(path for count in range(1, 1000) if not (path := _numbered(named, count)).exists())


def _numbered(path: Path, count: int) -> Path:
    return path if count == 1 else path.with_name(f"{path.name}-{count}")


def _is_terminal() -> bool:
    import os

    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _quiet() -> None:
    return


@contextmanager
def _metrics(recording: Path, port: int | None) -> Iterator[None]:
    """Serve the readings where a port is given, and say where: port 0 takes a free one."""
    if port is None:
        yield
        return
    from gpuprobe.telemetry.metrics import serving

    with serving(recording, port) as address:
        typer.echo(f"gpuprobe: metrics at {address}", err=True)
        yield


def _conclude(record: Watch, folder: Path, trouble: str) -> None:
    """Print the summary on stderr; a recording that cannot be read is one line there."""
    import contextlib

    from rich.console import Console

    from gpuprobe.cli._summary import show
    from gpuprobe.errors import InputError
    from gpuprobe.recording import TELEMETRY_FILE
    from gpuprobe.telemetry import read
    from gpuprobe.watch.verdict import judge

    console = Console(stderr=True, highlight=False)
    # The reader of stderr may have gone: the exit code is still the command's.
    with contextlib.suppress(OSError):
        try:
            _, verdict = judge(read(folder / TELEMETRY_FILE), record)
            show(console, record, verdict)
        except InputError as error:
            console.print(f"gpuprobe: nothing to sum up: {error}", markup=False, soft_wrap=True)
        if trouble:
            console.print(f"gpuprobe: the recording is not complete: {trouble}", markup=False, soft_wrap=True)
        else:
            said = f"Recording: {folder}; gpuprobe report {folder} writes a report of it"
            console.print(said, markup=False, soft_wrap=True)
