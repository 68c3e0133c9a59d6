"""What `gpuprobe diagnose` shows in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gpuprobe import wording
from gpuprobe.cli._charts import painted
from gpuprobe.evidence.breakdown import main_device
from gpuprobe.report import breakdown as reading
from gpuprobe.report import findings, meters, several, whole_run
from gpuprobe.report.categories import CATEGORIES

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from gpuprobe.diagnosis.records import Diagnosis
    from gpuprobe.evidence.whole_run import RunBreakdown
    from gpuprobe.ledger.records import DeviceBreakdown, HostBreakdown
    from gpuprobe.records import Signal
    from gpuprobe.whatif.records import Replay

SHOWN_KERNELS, SHOWN_GAPS, SHOWN_CHANGES, SHOWN_TYPES = 5, 5, 6, 3
MARGIN = 2
# With fewer meters there is nothing to compare.
FEWEST_METERS = 2


def show(console: Console, diagnosis: Diagnosis) -> None:
    """Print the verdict, then each device: its bar and its table, and, for the diagnosed one, gaps and kernels."""
    console.print(_verdict(diagnosis))
    judged = main_device(diagnosis)
    for device in diagnosis.devices:
        headline = reading.headline(device, of_several_hosts=len(diagnosis.hosts) > 1)
        console.print(Text(headline, "bold"))
        console.print(_bar(device, console.width - MARGIN))
        console.print(_table(device))
        if device is judged:
            console.print(_details(device, next((host for host in diagnosis.hosts if host.host == device.host), None)))
        console.print()
    if diagnosis.whole_run is not None:
        console.print(_whole_run(diagnosis.whole_run))
    if between := several.across(diagnosis):
        console.print(Text("\n".join(between) + "\n"))
    if diagnosis.replay is not None:
        console.print(_what_if(diagnosis.replay))
    if diagnosis.telemetry:
        console.print(_meters(diagnosis.meters))
        console.print(_telemetry(diagnosis.telemetry))
    for line in findings.undecided(diagnosis):
        console.print(Text(line, "dim"))
    for warning in diagnosis.warnings:
        console.print(Text(f"Note: {warning}", "dim"))


def _whole_run(breakdown: RunBreakdown) -> RenderableType:
    table = _plain("", "time", "share", "times")
    for line in whole_run.lines(breakdown):
        table.add_row(Text(line.what), line.time, line.share, line.times)
    return Group(Text(f"{whole_run.headline(breakdown)}", "bold"), table, Text(""))


def _what_if(replay: Replay) -> RenderableType:
    if replay.refused:
        return Text(f"What if: nothing is predicted, since {replay.refused}.\n", "dim")
    predictions = findings.predictions(replay.predictions)
    if not predictions:
        return Text("What if: no change that can be replayed gains anything.\n", "dim")
    title = "What if (the trace replayed with one change; the replay itself misses the step by "
    table = Table(title=f"{title}{wording.share(abs(replay.error_fraction or 0.0))})", title_justify="left", box=None)
    for heading in ("change", "step then", "gain", "at most"):
        table.add_column(heading, justify="left" if heading == "change" else "right")
    for change, step, gain, most, _ in predictions[:SHOWN_CHANGES]:
        table.add_row(change, step, gain, most)
    return Group(table, Text(""))


def _verdict(diagnosis: Diagnosis) -> RenderableType:
    words = findings.words(diagnosis)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(ratio=1)
    for title, text in (("Verdict", words.verdict), ("Why", words.why), ("Next", words.next), ("", words.code)):
        if text:
            table.add_row(title, Text(text, "cyan" if not title else ""))
    return Panel(table)


def _details(device: DeviceBreakdown, host: HostBreakdown | None) -> RenderableType:
    parts: list[RenderableType] = [Text(line, "dim") for line in reading.meters(device)]
    if device.gaps:
        parts += [Text("\nLongest gaps", "bold"), _gaps(device)]
    if device.top_kernels:
        over = f"\nLongest kernels, over all {wording.count(device.steps, 'step')}"
        parts += [Text(over, "bold"), _kernels(device)]
    if device.operations:
        parts += [Text("\nOperations of a step, by layer and optimizer", "bold"), _operations(device)]
    if host is not None and host.iterators:
        over = f"\nInput pipeline over all {wording.count(device.steps, 'step')}, by time while the training waited"
        parts += [Text(over, "bold"), _iterators(host)]
    return Group(*parts)


def _bar(device: DeviceBreakdown, width: int) -> Text:
    text = Text()
    for category, cells in reading.bar(device, width):
        look = CATEGORIES[category]
        text.append(look.letter * cells, painted(look.terminal))
    return text


def _table(device: DeviceBreakdown) -> Table:
    table = _plain("", "category", "ms a step", "%", "what it is")
    for line in reading.lines(device):
        ms, percent = f"{line.ms:,.3f}", f"{100 * line.fraction:.1f}"
        letter, meaning = Text(line.shown.letter, line.shown.terminal), Text(line.shown.meaning, "dim")
        table.add_row(letter, line.category, ms, percent, meaning)
    total = sum(line.ms for line in reading.lines(device))
    table.add_row("", Text("step", "bold"), Text(f"{total:,.3f}", "bold"), Text("100.0", "bold"), "")
    return table


def _gaps(device: DeviceBreakdown) -> Table:
    table = _plain("step", "at ms", "ms", "why", "the host was in")
    for gap in device.gaps[:SHOWN_GAPS]:
        where = f"{gap.start_ms:,.2f}", f"{gap.duration_ms:,.3f}"
        table.add_row(str(gap.step), *where, reading.gap_causes(gap), Text(reading.gap_events(gap)))
    return table


def _kernels(device: DeviceBreakdown) -> Table:
    table = _plain("count", "ms", "%", "median us", "kernel")
    for kernel in device.top_kernels[:SHOWN_KERNELS]:
        figures = f"{kernel.total_ms:,.3f}", f"{100 * kernel.time_fraction:.1f}", wording.significant(kernel.median_us)
        table.add_row(str(kernel.count), *figures, Text(reading.short(kernel.name)))
    return table


def _operations(device: DeviceBreakdown) -> RenderableType:
    table = _plain("ms a step", "%", "in a step", "whose", "kinds")
    for operations in device.operations[:SHOWN_KERNELS]:
        figures = (
            f"{operations.ms_per_step:,.3f}",
            f"{100 * operations.fraction:.1f}",
            f"{operations.count:,.1f}",
        )
        kinds = ", ".join([*operations.types][:SHOWN_TYPES])
        table.add_row(*figures, Text(reading.owner(operations)), Text(kinds, "dim"))
    return table


def _iterators(host: HostBreakdown) -> Table:
    table = _plain("waited ms", "self ms", "calls", "stage")
    for stage in host.iterators[:SHOWN_KERNELS]:
        slowest = stage.name == host.slowest_iterator
        name = Text(stage.name + (" (slowest)" if slowest else ""), "bold" if slowest else "")
        table.add_row(f"{stage.blocking_ms:,.3f}", f"{stage.self_ms:,.3f}", f"{stage.count:,}", name)
    return table


def _meters(signals: tuple[Signal, ...]) -> RenderableType:
    """Print how busy the GPU was by each meter, why they differ, and what Task Manager would have shown."""
    rows = meters.table({"": signals})
    if sum(signal.value is not None for signal in signals) < FEWEST_METERS:
        return Text("")
    table = Table.grid(padding=(0, 2))
    for name, value, share_of in rows[1:]:
        table.add_row(name, Text(value, justify="right"), Text(share_of, "dim"))
    explained = f"{meters.explained(signals)} {meters.task_manager(signals)}".strip()
    return Group(Text("How busy the GPU was, by each meter", "bold"), table, Text(explained, "dim"), Text(""))


def _telemetry(signals: tuple[Signal, ...]) -> RenderableType:
    table = _plain("telemetry", "mean", "unit", "p5 to p95")
    for signal in signals:
        if isinstance(signal.value, float):
            spread = ""
            if signal.low is not None and signal.high is not None:
                spread = f"{wording.significant(signal.low)} to {wording.significant(signal.high)}"
            table.add_row(signal.name, wording.significant(signal.value), signal.unit, spread)
    return table


def _plain(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    words = {
        "category",
        "what it is",
        "why",
        "the host was in",
        "kernel",
        "stage",
        "telemetry",
        "unit",
        "whose",
        "kinds",
        "",
    }
    for title in titles:
        table.add_column(title, justify="left" if title in words else "right", header_style="dim")
    return table
