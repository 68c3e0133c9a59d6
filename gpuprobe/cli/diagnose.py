"""`gpuprobe diagnose`: where the step's time went, and why, from any trace."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gpuprobe.diagnosis.diagnosed import Diagnosis
    from gpuprobe.ledger.records import Account
    from gpuprobe.records import Signal

HELP_ORDER = 15
TELEMETRY = ".csv"
JSON_FILE, TEXT_FILE = "diagnosis.json", "diagnosis.txt"
# A pipe has no width of its own.
WIDTH_OF_A_FILE = 120


def command(
    path: Annotated[
        Path,
        typer.Argument(help="A log folder, a run, one .xplane.pb, a .trace.json.gz, or the readings of a GPU as CSV."),
    ],
    telemetry: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Readings of the GPU taken at the same time.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the account and the findings as JSON.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write both forms into this folder too.")] = None,
) -> None:
    """Account for every millisecond of the step in a trace, and name the cause; no TensorFlow or GPU needed."""
    from gpuprobe.diagnosis.diagnosed import diagnosed
    from gpuprobe.records import to_json

    alone = path.suffix == TELEMETRY
    account = _no_trace(path) if alone else _account(path)
    readings = path if alone else telemetry
    diagnosis = diagnosed(account, _signals(readings, account) if readings else ())
    if json:
        typer.echo(to_json(diagnosis).decode())
    else:
        from rich.console import Console

        from gpuprobe.cli._diagnosis import show

        show(Console(highlight=False), diagnosis)
    if out is not None:
        _write(diagnosis, out)


def _account(trace: Path) -> Account:
    from gpuprobe.ledger.account import account_of
    from gpuprobe.traces.read import read

    return account_of(read(trace))


def _no_trace(readings: Path) -> Account:
    from gpuprobe.ledger.records import Account

    return Account(source=str(readings), format="telemetry", devices=())


def _signals(readings: Path, account: Account) -> tuple[Signal, ...]:
    """Summarise the readings over the trace's steps, over all of them where the two share no clock."""
    from gpuprobe import telemetry

    recording = telemetry.read(readings)
    start, end = account.began_ns, account.ended_ns
    times = recording.t_ns
    if not len(times):
        return ()
    if start is None or end is None or end < int(times[0]) or start > int(times[-1]):
        start, end = int(times[0]), int(times[-1])
    summary = telemetry.summarize(recording, start, end)
    return tuple(signal for signals in (*summary.gpus, summary.host) for signal in signals if signal.value is not None)


def _write(diagnosis: Diagnosis, folder: Path) -> None:
    from rich.console import Console

    from gpuprobe.cli._diagnosis import show
    from gpuprobe.errors import OutputError
    from gpuprobe.records import to_json

    text = io.StringIO()
    show(Console(file=text, width=WIDTH_OF_A_FILE, highlight=False), diagnosis)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / JSON_FILE).write_bytes(to_json(diagnosis))
        (folder / TEXT_FILE).write_text(text.getvalue())
    except OSError as error:
        raise OutputError(f"{folder}: the diagnosis cannot be written ({error.strerror})") from error
