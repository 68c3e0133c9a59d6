"""What `gpuprobe diagnose` shows in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gpuprobe import wording
from gpuprobe.cli._charts import letter_style
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


def print_diagnosis(console: Console, diagnosis: Diagnosis) -> None:
    """Print the verdict, then each device: its bar and its table, and, for the diagnosed one, gaps and kernels."""
    console.print(_verdict_panel(diagnosis))
    judged = main_device(diagnosis)
    for device in diagnosis.devices:
        headline = reading.device_headline(device, of_several_hosts=len(diagnosis.hosts) > 1)
        console.print(Text(headline, "bold"))
        console.print(_breakdown_bar(device, console.width - MARGIN))
        console.print(_breakdown_table(device))
        if device is judged:
            console.print(
                _device_details(device, next((host for host in diagnosis.hosts if host.host == device.host), None))
            )
        console.print()
    if diagnosis.whole_run is not None:
        console.print(_whole_run_table(diagnosis.whole_run))
    if across_devices := several.across(diagnosis):
        console.print(Text("\n".join(across_devices) + "\n"))
    if diagnosis.replay is not None:
        console.print(_what_if_table(diagnosis.replay))
    if diagnosis.telemetry:
        console.print(_meters_table(diagnosis.meters))
        console.print(_telemetry_table(diagnosis.telemetry))
    for undecided_cause in findings.undecided(diagnosis):
        console.print(Text(undecided_cause, "dim"))
    for warning in diagnosis.warnings:
        console.print(Text(f"Note: {warning}", "dim"))


def _whole_run_table(breakdown: RunBreakdown) -> RenderableType:
    table = _plain_table("", "time", "share", "times")
    for line in whole_run.run_part_lines(breakdown):
        table.add_row(Text(line.what), line.time, line.share, line.times)
    return Group(Text(f"{whole_run.run_headline(breakdown)}", "bold"), table, Text(""))


def _what_if_table(replay: Replay) -> RenderableType:
    if replay.refused:
        return Text(f"What if: nothing is predicted, since {replay.refused}.\n", "dim")
    predictions = findings.predictions(replay.predictions)
    if not predictions:
        return Text("What if: no change that can be replayed gains anything.\n", "dim")
    table_title = "What if (the trace replayed with one change; the replay itself misses the step by "
    table = Table(
        title=f"{table_title}{wording.share(abs(replay.error_fraction or 0.0))})", title_justify="left", box=None
    )
    for heading in ("change", "step then", "gain", "at most"):
        table.add_column(heading, justify="left" if heading == "change" else "right")
    for change, step_then, gain, at_most, _ in predictions[:SHOWN_CHANGES]:
        table.add_row(change, step_then, gain, at_most)
    return Group(table, Text(""))


def _verdict_panel(diagnosis: Diagnosis) -> RenderableType:
    verdict_words = findings.diagnosis_in_words(diagnosis)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(ratio=1)
    for title, sentence in (
        ("Verdict", verdict_words.verdict),
        ("Why", verdict_words.why),
        ("Next", verdict_words.next),
        ("", verdict_words.code),
    ):
        if sentence:
            table.add_row(title, Text(sentence, "cyan" if not title else ""))
    return Panel(table)


def _device_details(device: DeviceBreakdown, host: HostBreakdown | None) -> RenderableType:
    detail_blocks: list[RenderableType] = [Text(meter_line, "dim") for meter_line in reading.device_meters(device)]
    if device.gaps:
        detail_blocks += [Text("\nLongest gaps", "bold"), _gaps_table(device)]
    if device.top_kernels:
        table_title = f"\nLongest kernels, over all {wording.count(device.steps, 'step')}"
        detail_blocks += [Text(table_title, "bold"), _kernels_table(device)]
    if device.operations:
        detail_blocks += [Text("\nOperations of a step, by layer and optimizer", "bold"), _operations_table(device)]
    if host is not None and host.iterators:
        table_title = (
            f"\nInput pipeline over all {wording.count(device.steps, 'step')}, by time while the training waited"
        )
        detail_blocks += [Text(table_title, "bold"), _iterators_table(host)]
    return Group(*detail_blocks)


def _breakdown_bar(device: DeviceBreakdown, width: int) -> Text:
    bar_text = Text()
    for category, cells in reading.bar_in_cells(device, width):
        category_look = CATEGORIES[category]
        bar_text.append(category_look.letter * cells, letter_style(category_look.terminal))
    return bar_text


def _breakdown_table(device: DeviceBreakdown) -> Table:
    table = _plain_table("", "category", "ms a step", "%", "what it is")
    for line in reading.category_lines(device):
        ms, percent = f"{line.ms:,.3f}", f"{100 * line.fraction:.1f}"
        letter, meaning = Text(line.shown.letter, line.shown.terminal), Text(line.shown.meaning, "dim")
        table.add_row(letter, line.category, ms, percent, meaning)
    total = sum(line.ms for line in reading.category_lines(device))
    table.add_row("", Text("step", "bold"), Text(f"{total:,.3f}", "bold"), Text("100.0", "bold"), "")
    return table


def _gaps_table(device: DeviceBreakdown) -> Table:
    table = _plain_table("step", "at ms", "ms", "why", "the host was in")
    for gap in device.gaps[:SHOWN_GAPS]:
        gap_times = f"{gap.start_ms:,.2f}", f"{gap.duration_ms:,.3f}"
        table.add_row(str(gap.step), *gap_times, reading.gap_causes(gap), Text(reading.gap_events(gap)))
    return table


def _kernels_table(device: DeviceBreakdown) -> Table:
    table = _plain_table("count", "ms", "%", "median us", "kernel")
    for kernel in device.top_kernels[:SHOWN_KERNELS]:
        kernel_figures = (
            f"{kernel.total_ms:,.3f}",
            f"{100 * kernel.time_fraction:.1f}",
            wording.significant(kernel.median_us),
        )
        table.add_row(str(kernel.count), *kernel_figures, Text(reading.short_name(kernel.name)))
    return table


def _operations_table(device: DeviceBreakdown) -> RenderableType:
    table = _plain_table("ms a step", "%", "in a step", "whose", "kinds")
    for operations in device.operations[:SHOWN_KERNELS]:
        operation_figures = (
            f"{operations.ms_per_step:,.3f}",
            f"{100 * operations.fraction:.1f}",
            f"{operations.count:,.1f}",
        )
        operation_kinds = ", ".join([*operations.types][:SHOWN_TYPES])
        table.add_row(*operation_figures, Text(reading.operations_owner(operations)), Text(operation_kinds, "dim"))
    return table


def _iterators_table(host: HostBreakdown) -> Table:
    table = _plain_table("waited ms", "self ms", "calls", "stage")
    for stage in host.iterators[:SHOWN_KERNELS]:
        is_slowest = stage.name == host.slowest_iterator
        stage_name = Text(stage.name + (" (slowest)" if is_slowest else ""), "bold" if is_slowest else "")
        table.add_row(f"{stage.blocking_ms:,.3f}", f"{stage.self_ms:,.3f}", f"{stage.count:,}", stage_name)
    return table


def _meters_table(signals: tuple[Signal, ...]) -> RenderableType:
    """Print how busy the GPU was by each meter, why they differ, and what Task Manager would have shown."""
    meter_rows = meters.meters_table({"": signals})
    if sum(signal.value is not None for signal in signals) < FEWEST_METERS:
        return Text("")
    table = Table.grid(padding=(0, 2))
    for meter_name, meter_value, share_of in meter_rows[1:]:
        table.add_row(meter_name, Text(meter_value, justify="right"), Text(share_of, "dim"))
    meter_sentences = f"{meters.meters_explained(signals)} {meters.task_manager(signals)}".strip()
    return Group(Text("How busy the GPU was, by each meter", "bold"), table, Text(meter_sentences, "dim"), Text(""))


def _telemetry_table(signals: tuple[Signal, ...]) -> RenderableType:
    table = _plain_table("telemetry", "mean", "unit", "p5 to p95")
    for signal in signals:
        if isinstance(signal.value, float):
            spread = ""
            if signal.low is not None and signal.high is not None:
                spread = f"{wording.significant(signal.low)} to {wording.significant(signal.high)}"
            table.add_row(signal.name, wording.significant(signal.value), signal.unit, spread)
    return table


def _plain_table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    text_columns = {
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
        table.add_column(title, justify="left" if title in text_columns else "right", header_style="dim")
    return table
