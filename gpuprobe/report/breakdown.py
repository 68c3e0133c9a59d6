"""The breakdown of a device in words: its bar, its rows, its meters and gaps, for terminal and report alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.foreign import shortened
from gpuprobe.ledger.categories import CPU_CATEGORIES, GPU_CATEGORIES
from gpuprobe.report import several
from gpuprobe.report.categories import CATEGORIES, COMPUTED, Category

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.device_facts import OperationFacts
    from gpuprobe.ledger.records import DeviceBreakdown, Gap
    from gpuprobe.ranking.ranking import Row

# A sentence names at most so many parts of a step, and none smaller than this share; the table has all.
MOST_TOLD, WORTH_TELLING = 3, 0.01
LONGEST_NAME = 60


@dataclass(frozen=True)
class Line:
    """One category of the table: its time in an average step, its share of it (0 to 1), and how it is shown."""

    category: str
    ms: float
    fraction: float
    shown: Category


def lines(device: DeviceBreakdown) -> list[Line]:
    """Return the categories of a device that took any time, in the order of the tables."""
    order = CPU_CATEGORIES if device.kind == "cpu" else GPU_CATEGORIES
    return [Line(name, device.ms(name), device.share(name), CATEGORIES[name]) for name in order if device.ms(name) > 0]


def rows(device: DeviceBreakdown) -> list[list[str]]:
    """Return a heading and a row for each category of a device's step: its time, its share and what it is."""
    cells = [
        [f"`{line.category}`", f"{line.ms:,.3f}", wording.share(line.fraction), line.shown.meaning]
        for line in lines(device)
    ]
    return [["category", "ms a step", "share", "what it is"], *cells]


def step_sentence(strategy: str, device: DeviceBreakdown) -> str:
    """Say where a step goes, the largest parts first: `Of each 103 ms step of numpy the GPU computed 19 %; ...`."""
    name = "processor" if device.kind == "cpu" else "GPU"
    shares: dict[str, float] = {}
    for line in lines(device):
        words = line.shown.told
        shares[words] = shares.get(words, 0.0) + line.fraction
    computed = shares.pop(COMPUTED, 0.0)
    rest = sorted((share, words) for words, share in shares.items() if share >= WORTH_TELLING)
    waits = "".join(f"; {wording.share(share)} {words}" for share, words in reversed(rest[-MOST_TOLD:]))
    step = wording.milliseconds(device.step_ms)
    return f"Of each {step} step of `{strategy}` in its trace the {name} computed {wording.share(computed)}{waits}."


def table(rows: Sequence[Row]) -> list[list[str]]:
    """Return a heading and one row a strategy: its traced step in ms, and the share of each category that took time."""
    devices = [(row.strategy, row.breakdown) for row in rows if row.breakdown is not None]
    shares = {name: {line.category: line.fraction for line in lines(device)} for name, device in devices}
    categories = [name for name in CATEGORIES if any(name in share for share in shares.values())]
    if not devices:
        return []
    heading = ["strategy", "traced step", *categories]
    per_call = {row.strategy: row.settings.steps_per_execution for row in rows}
    cells = [[name, wording.milliseconds(device.step_ms / per_call[name])] for name, device in devices]
    for row in cells:
        row += [wording.share(shares[row[0]].get(name, 0.0)) for name in categories]
    return [heading, *cells]


def bar(device: DeviceBreakdown, width: int) -> list[tuple[str, int]]:
    """Return (category, cells) of the step as a bar: by largest remainder, so that the cells add up to the width."""
    parts = lines(device)
    exact = [line.fraction * width for line in parts]
    cells = [int(value) for value in exact]
    by_remainder = sorted(range(len(parts)), key=lambda place: cells[place] - exact[place])
    for place in by_remainder[: width - sum(cells)]:
        cells[place] += 1
    return [(line.category, count) for line, count in zip(parts, cells, strict=True) if count]


def owner(operations: OperationFacts) -> str:
    """Name the layer or the optimizer that asked for operations."""
    return f"{'the optimizer ' if operations.of_optimizer else ''}{operations.owner or 'of no layer'}"


def device_heading(device: DeviceBreakdown, *, of_several_hosts: bool) -> str:
    """Name a device, with its host where there are several."""
    return f"{device.name} of {device.host}" if of_several_hosts else device.name


def headline(device: DeviceBreakdown, *, of_several_hosts: bool = False) -> str:
    """Say which device, how many steps and how they were found, and how long they take."""
    name = f"{device.model} ({device.name})" if device.model else device.name
    where = f" of {device.host}" if of_several_hosts else ""
    text = f"{name}{where}: {wording.count(device.steps, 'step')} by {device.steps_from}, "
    text += f"{wording.milliseconds(device.step_ms)} each"
    if device.counted > 1:
        spread = device.spread
        text += (
            f" (mean of {device.counted}; median {wording.milliseconds(spread.median_ms)}, p5 to p95 "
            f"{wording.milliseconds(spread.p5_ms)} to {wording.milliseconds(spread.p95_ms)}"
        )
        text += f", {wording.count(len(spread.outliers), 'outlier')})" if spread.outliers else ")"
    if device.warmup:
        text += f"; {wording.count(device.warmup, 'slow first step')} left out"
    return text


def meters(device: DeviceBreakdown) -> list[str]:
    """Return how busy a GPU was by each meter, with what it is a share of, and which are missing with the reason.

    Of a processor there are only its exchanges.
    """
    if device.kind == "cpu":
        return several.exchanges(device)
    figures = (
        ("kernels", device.kernel_fraction, "of the GPU span"),
        ("exposed copies", device.exposed_copy_fraction, "of the GPU span"),
        ("idle outside the training function", device.idle_outside_step_fraction, "of the GPU span"),
        ("SM efficiency (estimated)", device.sm_efficiency, "of the step"),
        ("occupancy (estimated)", device.occupancy, "of kernel time"),
    )
    meters = [f"{name} {wording.share(value)} {of}" for name, value, of in figures if value is not None]
    kernels = device.kernels
    if kernels:
        meters.append(
            f"{wording.count(kernels.count, 'kernel')}, median {wording.significant(kernels.median_us)} us, "
            f"{wording.share(kernels.under_10us_count_fraction)} of them under 10 us, "
            f"{wording.significant(kernels.per_s)} a second"
        )
        cores = f"Tensor Core kernels {wording.share(kernels.tensor_core_time_fraction)} of kernel time"
        if kernels.eligible_time_fraction is not None:
            cores += f", operations that could use them {wording.share(kernels.eligible_time_fraction)}"
        meters.append(cores)
    for copy in device.copies:
        rate = f", {wording.significant(copy.gb_per_s)} GB/s" if copy.gb_per_s is not None else ""
        hidden = f"{wording.share(copy.hidden_fraction)} hidden under kernels"
        meters.append(f"{copy.count} {copy.direction} in {wording.milliseconds(copy.total_ms)}{rate}, {hidden}")
    meters += several.exchanges(device)
    return [*meters, *(f"{name} not known: {reason}" for name, reason in device.missing.items())]


def gap_causes(gap: Gap) -> str:
    """Write the causes of a gap, the longest first: `idle_input 8.11 s, idle_launch 3.2 ms`."""
    ordered = sorted(gap.causes_ms.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {wording.milliseconds(value)}" for name, value in ordered[:3])


def gap_events(gap: Gap) -> str:
    """Write the events of the host in a gap: `IteratorGetNextOp::DoCompute 8.11 s`."""
    events = [f"{short(event.name)} {wording.milliseconds(event.ms)}" for event in gap.host[:3]]
    return ", ".join(events) or "no event of the host"


def short(name: str) -> str:
    """Cut a name, such as a kernel's with all its template arguments, to a length that fits a line."""
    return shortened(name, LONGEST_NAME)
