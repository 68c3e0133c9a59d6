"""`gpuprobe diagnose`: where the step's time went, and why, from any trace."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpuprobe.cli._ends import echo_json, say
from gpuprobe.cli._help import DescribedCommand, exit_codes_of
from gpuprobe.cli._options import READ_PATH, WRITTEN_PATH

if TYPE_CHECKING:
    from gpuprobe.diagnosis.case import Case
    from gpuprobe.diagnosis.records import Diagnosis

HELP_ORDER = 15
HELP_GROUP = "Understand"
EXAMPLES = (
    ("gpuprobe diagnose logs/", "the newest trace of a log folder"),
    ("gpuprobe diagnose logs/ --full", "the full output: gaps, kernels, predictions, readings"),
    ("gpuprobe diagnose trace.json.gz --json", "a PyTorch or JAX trace, for other tools"),
    ("gpuprobe diagnose logs/ --html step.html", "and a page that shows its step: zoom, search, gaps"),
    ("gpuprobe diagnose gpu.csv", "readings alone, as nvidia-smi writes them"),
    ("gpuprobe diagnose gpu.csv --columns timestamp,index,utilization.gpu", "the same without a header"),
    ("gpuprobe diagnose reports/STUDY/runs/1-numpy", "a run of ours: trace, readings and settings together"),
)
EXIT_CODES = exit_codes_of("diagnosed", 3, 4)
JSON_FILE, TEXT_FILE = "diagnosis.json", "diagnosis.txt"
# Reading more than this takes seconds, so a line announces it.
LARGE_MIB = 32
# Characters in a line of the text file.
WIDTH_OF_A_FILE = 120


def _list_thresholds(context: click.Context, _: click.Parameter, is_requested: bool) -> None:
    if is_requested:
        from gpuprobe.thresholds import listing

        print(listing())
        context.exit()


@click.command("diagnose", cls=DescribedCommand, examples=EXAMPLES, exit_codes=EXIT_CODES)
@click.argument(
    "path",
    type=READ_PATH,
    help="A log folder, a run, one .xplane.pb, a .trace.json.gz, or the readings of a GPU as CSV.",
)
@click.option("--telemetry", type=READ_PATH, metavar="CSV", help="Readings of the GPU taken at the same time.")
@click.option(
    "--columns",
    default="",
    show_default=False,
    metavar="NAMES",
    help="What the columns of readings without a header are.",
)
@click.option("--full", is_flag=True, help="Show all of it: the whole breakdown, gaps, kernels, predictions, readings.")
@click.option("--json", is_flag=True, help="Print the breakdown and the findings as JSON.")
@click.option(
    "--what-if/--no-what-if",
    default=None,
    help="Predict what each change would give. [default: unless the trace is long]",
)
@click.option(
    "--thresholds",
    type=READ_PATH,
    metavar="TOML",
    help="Other thresholds than those of --list-thresholds: copy_share = 0.2 a line.",
)
@click.option(
    "--list-thresholds",
    is_flag=True,
    expose_value=False,
    callback=_list_thresholds,
    is_eager=True,
    help="Print the file of all thresholds with their sources, and exit.",
)
@click.option(
    "--html", type=WRITTEN_PATH, metavar="FILE", help="Write a page to look into the step: lanes, breakdown, gaps."
)
@click.option(
    "--chrome",
    type=WRITTEN_PATH,
    metavar="FILE",
    help="Write the trace with its breakdown for Perfetto, as JSON; compressed where the name ends in .gz.",
)
@click.option(
    "--out", type=WRITTEN_PATH, metavar="DIR", help="Write diagnosis.json and diagnosis.txt into this folder too."
)
def command(
    path: Path,
    telemetry: Path | None,
    columns: str,
    full: bool,
    json: bool,
    what_if: bool | None,
    thresholds: Path | None,
    html: Path | None,
    chrome: Path | None,
    out: Path | None,
) -> None:
    """Say where the step's time went in a trace, and why.

    Every millisecond of the step is accounted for, and the cause named; no TensorFlow or GPU needed.
    """
    # Set before numpy is imported. Else OpenBLAS starts a thread on every core for matrix products, which are not used.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from gpuprobe import thresholds as rules
    from gpuprobe.diagnosis.diagnose import diagnose
    from gpuprobe.diagnosis.recorded import recorded
    from gpuprobe.records import to_json

    _announce_large_trace(path)
    used_thresholds = rules.read(thresholds) if thresholds else rules.DEFAULTS
    # A page needs the events of the traces, which are dropped where each trace is read in a process of its own.
    read_apart = html is None and chrome is None
    case = recorded(path, telemetry, columns, apart=read_apart, what_if=what_if, limits=used_thresholds)
    diagnosis = diagnose(case, used_thresholds)
    # Files are written before stdout, whose reader may close the pipe early, as `head` does.
    if out is not None:
        _write_files(diagnosis, out)
    if html is not None or chrome is not None:
        _write_views(case, diagnosis, html, chrome)
    if json:
        echo_json(to_json(diagnosis))
    else:
        _print(diagnosis, "" if full else _full_command(path, telemetry, columns))


def _print(diagnosis: Diagnosis, full_command: str) -> None:
    """Print the short output, which names the command for the full one; where that is empty, the full output."""
    from gpuprobe.cli._diagnosis import print_diagnosis
    from gpuprobe.cli._short import print_short
    from gpuprobe.cli._terminal import Terminal

    console = Terminal(highlight=False)
    if full_command:
        print_short(console, diagnosis, full_command)
    else:
        print_diagnosis(console, diagnosis)


def _full_command(path: Path, telemetry: Path | None, columns: str) -> str:
    """Return the command that shows the same diagnosis in full."""
    from gpuprobe import wording

    arguments = [path, *(["--telemetry", telemetry] if telemetry else []), *(["--columns", columns] if columns else [])]
    return wording.command("gpuprobe", "diagnose", *arguments, "--full")


def _announce_large_trace(path: Path) -> None:
    """Say that a large trace is read, which takes seconds; a path without traces is reported by its reader."""
    from gpuprobe import wording
    from gpuprobe.errors import InputError
    from gpuprobe.traces.find import find
    from gpuprobe.units import MIB

    with suppress(InputError, OSError):
        trace_files = find(path).files
        trace_mib = sum(file.stat().st_size for file in trace_files) / MIB
        if trace_mib >= LARGE_MIB:
            trace_words = f"{len(trace_files)} traces" if len(trace_files) > 1 else trace_files[0].name
            say(f"gpuprobe diagnose: reading {trace_words}, {wording.mebibytes(trace_mib)}")


def _write_views(case: Case, diagnosis: Diagnosis, html: Path | None, chrome: Path | None) -> None:
    from gpuprobe.records import write_whole
    from gpuprobe.stepview.chrome import write_chrome
    from gpuprobe.stepview.page import render
    from gpuprobe.stepview.view import view_of

    view = view_of(case, diagnosis)
    if html is not None:
        write_whole(html, render(view))
    if chrome is not None:
        write_chrome(view.workings, chrome)
    for path in (html, chrome):
        if path is not None:
            say(f"gpuprobe: wrote {path}")


def _write_files(diagnosis: Diagnosis, folder: Path) -> None:
    from gpuprobe.cli._diagnosis import print_diagnosis
    from gpuprobe.cli._terminal import Terminal
    from gpuprobe.errors import OutputError
    from gpuprobe.records import to_json, write_whole

    diagnosis_text = io.StringIO()
    print_diagnosis(Terminal(file=diagnosis_text, width=WIDTH_OF_A_FILE, highlight=False), diagnosis)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: the diagnosis cannot be written ({error.strerror})") from error
    write_whole(folder / JSON_FILE, to_json(diagnosis))
    write_whole(folder / TEXT_FILE, diagnosis_text.getvalue())
