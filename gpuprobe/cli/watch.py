"""`gpuprobe watch`: samples any command, and says what its telemetry, or a trace of its training, supports."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpuprobe.cli._ends import say
from gpuprobe.cli._help import DescribedCommand
from gpuprobe.cli._options import Number
from gpuprobe.errors import MissingError, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpuprobe.records import Watch

HELP_ORDER = 12
HELP_GROUP = "Measure"
EXAMPLES = (
    ("gpuprobe watch -- python train.py --epochs 2", "sample it, and say what the readings support"),
    ("gpuprobe watch --trace -- python train.py", "trace its Keras training too; the script needs no change"),
    ("gpuprobe watch --out rec -- ./train.sh", "into a folder of your choice; gpuprobe report rec tells it again"),
    ("gpuprobe watch --metrics-port 9400 -- python serve.py", "for Prometheus, while it runs"),
)
NOTES = (
    "The command keeps its stdin, stdout, stderr and signals; what gpuprobe has to say goes to stderr.",
    "The exit code is the command's: 128 + n where signal n ended it, 127 where it is not found, 126 where it cannot "
    "be run. Before it starts: 2 wrong usage, 5 something is not installed.",
    "Where no recording can be made, gpuprobe says so and runs the command without one.",
)
MOST_RECORDINGS_A_SECOND = 1000


# All words after the command's name belong to the command, including options that gpuprobe has as well.
@click.command(
    "watch",
    cls=DescribedCommand,
    examples=EXAMPLES,
    notes=NOTES,
    context_settings={"allow_interspersed_args": False},
)
@click.argument(
    "words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND", help="The command and its arguments."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The recording's folder. [default: a new one in reports]",
)
@click.option(
    "--metrics-port",
    type=Number(min=0, max=65535),
    help="Serve the newest values for Prometheus on this port of this machine; 0 takes a free one.",
)
@click.option(
    "--trace",
    is_flag=True,
    help="Trace a few steps of each Keras training in the command, and diagnose them.",
)
@click.option("--live/--no-live", default=True, help="Show a status bar where stderr is a terminal.")
def command(words: tuple[str, ...], out: Path | None, metrics_port: int | None, trace: bool, live: bool) -> None:
    """Sample any command, and say what its telemetry supports.

    GPU, processor, memory and disks of the command and of all that it starts.
    """
    if not sys.platform.startswith("linux"):
        raise MissingError(f"gpuprobe watch needs Linux (or WSL2): on {sys.platform} it cannot pass signals on")
    from gpuprobe.watch.command import signals_held

    # Signals are blocked before anything heavy is imported, so that NumPy's threads block them as well.
    with signals_held() as signal_mask:
        import os

        from gpuprobe.cli._bar import StatusBar
        from gpuprobe.keras.attach import hook_environment
        from gpuprobe.measure.environment import environment
        from gpuprobe.recording import TELEMETRY_FILE, TRAININGS_FOLDER
        from gpuprobe.watch.session import cpu_limit, unwatched, watch

        trainings_folder = TRAININGS_FOLDER if trace else ""
        with ExitStack() as undo_folders:
            try:
                folder, record = _new_recording(words, out, trainings_folder, undo_folders)
            except OutputError as error:
                # The command matters more than its recording.
                say(f"gpuprobe: {error}: nothing is recorded; name another folder with --out")
                raise SystemExit(unwatched(words, signal_mask, os.environ).exit_code) from None
            recording = folder / TELEMETRY_FILE
            status_bar = StatusBar(2, recording, cpu_limit())
            on_tick = status_bar.draw if live and _is_terminal() else _draw_nothing
            command_environment = hook_environment(os.environ, folder / trainings_folder) if trace else os.environ
            with _serving_metrics(recording, metrics_port), status_bar:
                record, recording_trouble = watch(
                    record, folder, signal_mask, environment, on_tick, command_environment, undo_folders.pop_all
                )
    from gpuprobe.cli._watched import conclude_watch

    conclude_watch(record, folder, recording_trouble)
    assert record.outcome is not None
    raise SystemExit(record.outcome.exit_code)


def _new_recording(
    argv: tuple[str, ...], out: Path | None, trainings_folder: str, undo_folders: ExitStack
) -> tuple[Path, Watch]:
    """Begin a recording, in a new folder where none is named; return its folder and record."""
    import datetime

    from gpuprobe.watch.session import TakenError, new_recording

    if out is not None:
        return out, new_recording(argv, out, trainings_folder, undo_folders)
    now = datetime.datetime.now(datetime.timezone.utc)
    recording_name = f"{now:%Y%m%d-%H%M%S}-watch"
    for attempt in range(1, MOST_RECORDINGS_A_SECOND):
        folder = Path("reports") / (recording_name if attempt == 1 else f"{recording_name}-{attempt}")
        try:
            return folder, new_recording(argv, folder, trainings_folder, undo_folders, exist_ok=False)
        except TakenError:
            continue
    raise OutputError(f"reports: holds {MOST_RECORDINGS_A_SECOND} recordings of this second")


def _is_terminal() -> bool:
    import os

    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _draw_nothing() -> None:
    return


@contextmanager
def _serving_metrics(recording: Path, port: int | None) -> Iterator[None]:
    """Serve the readings where a port is given, and print the address, since port 0 takes a free one."""

    if port is None:
        yield
        return
    from gpuprobe.telemetry.metrics import serving

    with serving(recording, port) as address:
        say(f"gpuprobe: metrics at {address}")
        yield
