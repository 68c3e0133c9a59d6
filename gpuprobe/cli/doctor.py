"""`gpuprobe doctor`: checks whether TensorFlow can use and profile the GPU here."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from gpuprobe.cli._ends import echo_json
from gpuprobe.cli._help import DescribedCommand, exit_codes_of
from gpuprobe.cli._options import Duration
from gpuprobe.errors import FAILED

if TYPE_CHECKING:
    from rich.console import Console

    from gpuprobe.doctor import CheckResult, Report

HELP_ORDER = 5
HELP_GROUP = "Begin"
EXAMPLES = (
    ("gpuprobe doctor", "one screen"),
    ("gpuprobe doctor --json", "every fact and every result, for an issue report"),
)
EXIT_CODES = exit_codes_of("nothing fails (there may be warnings)", 130, failed="something fails")
MARKS = {"pass": ("ok", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "bold red"), "skip": ("-", "dim")}


@click.command("doctor", cls=DescribedCommand, examples=EXAMPLES, exit_codes=EXIT_CODES)
@click.option("--json", "as_json", is_flag=True, help="Print all facts and results as JSON.")
@click.option(
    "--limit", type=Duration(), default="120s", metavar="TIME", help="How long TensorFlow may take to answer."
)
def command(as_json: bool, limit: float) -> None:
    """Check driver, TensorFlow, profiler and system.

    Each line is pass, warn or fail, with its evidence and the exact fix.
    """
    from gpuprobe.cli._terminal import Terminal
    from gpuprobe.doctor import examine, gather
    from gpuprobe.records import to_json

    console = Terminal(highlight=False)
    with Terminal(stderr=True).status("asking the driver and TensorFlow"):
        report = examine(gather(limit))
    if as_json:
        echo_json(to_json(report))
    else:
        _print_report(console, report)
    raise SystemExit(FAILED if report.count("fail") else 0)


def _print_report(console: Console, report: Report) -> None:
    _print_line(console, f"gpuprobe doctor: {_cards_here(report)}", "bold")
    if report.first is not None and report.count("fail") > 1:
        _print_line(console, f"Fix first: {report.first.title}; it may cause the other failures", "bold")
    for result in report.results:
        if result.status != "skip":
            _print_result(console, result)
    for reason, titles in _skipped_checks(report).items():
        _print_line(console, f"not checked, {reason}: {', '.join(titles)}", "dim")
    status_words = (("fail", "failed"), ("warn", "warned"), ("pass", "passed"), ("skip", "not checked"))
    counts = [f"{report.count(status)} {word}" for status, word in status_words]  # type: ignore[arg-type]
    _print_line(console, ", ".join(counts), "bold")


def _cards_here(report: Report) -> str:
    """Name the cards; without any, say whether there is no GPU, or whether the driver does not show one."""
    counts_by_name = Counter(gpu.name for gpu in report.facts.driver.gpus)
    card_names = ", ".join(f"{count} x {card}" for card, count in counts_by_name.items())
    driver_fails = any(result.name == "gpu_driver" and result.status == "fail" for result in report.results)
    no_gpu_words = "the NVIDIA driver shows no GPU" if driver_fails else "no NVIDIA GPU here"
    return card_names or f"{no_gpu_words}, Keras trains on the processor"


def _skipped_checks(report: Report) -> dict[str, list[str]]:
    """Group the skipped checks by their reason, so that a machine without a GPU has one line, not twelve."""
    titles_by_reason: dict[str, list[str]] = {}
    for result in report.results:
        if result.status == "skip":
            titles_by_reason.setdefault(result.says, []).append(result.title)
    return titles_by_reason


def _print_result(console: Console, result: CheckResult) -> None:
    mark, style = MARKS[result.status]
    if not console.is_terminal:
        _print_line(console, f"{mark:<5}{result.title}: {result.says}")
        if result.fix:
            _print_line(console, f"     fix: {result.fix}")
        return
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=4)
    grid.add_column(width=24, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(mark, style), result.title, Text(result.says))
    if result.fix:
        grid.add_row("", Text("fix", "dim"), Text(result.fix, "cyan"))
    console.print(grid)


def _print_line(console: Console, text: str, style: str = "") -> None:
    console.print(text, style=style or None, markup=False, soft_wrap=not console.is_terminal)
