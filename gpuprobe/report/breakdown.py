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
LONGEST_KERNEL_NAME = 60


@dataclass(frozen=True)
class CategoryLine:
    """One category of the table: its time in an average step, its share of it (0 to 1), and how it is shown."""

    category: str
    ms: float
    fraction: float
    shown: Category


def category_lines(device: DeviceBreakdown) -> list[CategoryLine]:
    """Return the categories of a device that took any time, in the order of the tables."""
    category_order = CPU_CATEGORIES if device.kind == "cpu" else GPU_CATEGORIES
    return [
        CategoryLine(category, device.ms(category), device.share(category), CATEGORIES[category])
        for category in category_order
        if device.ms(category) > 0
    ]


def category_table(device: DeviceBreakdown) -> list[list[str]]:
    """Return a heading and a row for each category of a device's step: its time, its share and what it is."""
    category_cells = [
        [f"`{line.category}`", f"{line.ms:,.3f}", wording.share(line.fraction), line.shown.meaning]
        for line in category_lines(device)
    ]
    return [["category", "ms a step", "share", "what it is"], *category_cells]


def step_sentence(strategy: str, device: DeviceBreakdown) -> str:
    """Say where a step goes, the largest parts first: `... the GPU spent 19 % computing and 60 % waiting for ...`."""
    device_name = "processor" if device.kind == "cpu" else "GPU"
    shares: dict[str, float] = {}
    for line in category_lines(device):
        doing = line.shown.spent
        shares[doing] = shares.get(doing, 0.0) + line.fraction
    computed = shares.pop(COMPUTED, 0.0)
    other_shares = sorted((share, doing) for doing, share in shares.items() if share >= WORTH_TELLING)
    largest = [(computed, COMPUTED), *reversed(other_shares[-MOST_TOLD:])]
    spent = wording.listing([f"{wording.share(share)} {doing}" for share, doing in largest])
    step_time = wording.milliseconds(device.step_ms)
    return f"Of each {step_time} step of `{strategy}` in its trace the {device_name} spent {spent}."


def strategy_shares_table(rows: Sequence[Row]) -> list[list[str]]:
    """Return a heading and one row a strategy: its traced step in ms, and the share of each category that took time."""
    devices = [
        (strategy_row.strategy, strategy_row.breakdown) for strategy_row in rows if strategy_row.breakdown is not None
    ]
    shares_by_strategy = {
        strategy: {line.category: line.fraction for line in category_lines(device)} for strategy, device in devices
    }
    categories = [
        strategy
        for strategy in CATEGORIES
        if any(strategy in category_shares for category_shares in shares_by_strategy.values())
    ]
    if not devices:
        return []
    heading = ["strategy", "traced step", *categories]
    per_call = {strategy_row.strategy: strategy_row.settings.steps_per_execution for strategy_row in rows}
    strategy_cells = [
        [strategy, wording.milliseconds(device.step_ms / per_call[strategy])] for strategy, device in devices
    ]
    for strategy_row in strategy_cells:
        strategy_row += [
            wording.share(shares_by_strategy[strategy_row[0]].get(strategy, 0.0)) for strategy in categories
        ]
    return [heading, *strategy_cells]


def bar_in_cells(device: DeviceBreakdown, width: int) -> list[tuple[str, int]]:
    """Return (category, cells) of the step as a bar: by largest remainder, so that the cells add up to the width."""
    bar_lines = category_lines(device)
    exact_cells = [line.fraction * width for line in bar_lines]
    cell_counts = [int(exact_width) for exact_width in exact_cells]
    by_remainder = sorted(
        range(len(bar_lines)), key=lambda line_index: cell_counts[line_index] - exact_cells[line_index]
    )
    for line_index in by_remainder[: width - sum(cell_counts)]:
        cell_counts[line_index] += 1
    return [(line.category, count) for line, count in zip(bar_lines, cell_counts, strict=True) if count]


def operations_owner(operations: OperationFacts) -> str:
    """Name the layer or the optimizer that asked for operations."""
    return f"{'the optimizer ' if operations.of_optimizer else ''}{operations.owner or 'of no layer'}"


def device_heading(device: DeviceBreakdown, *, of_several_hosts: bool) -> str:
    """Name a device, with its host where there are several."""
    return f"{device.name} of {device.host}" if of_several_hosts else device.name


def device_headline(device: DeviceBreakdown, *, of_several_hosts: bool = False) -> str:
    """Say which device, how many steps and how they were found, and how long they take."""
    device_name = f"{device.model} ({device.name})" if device.model else device.name
    of_host = f" of {device.host}" if of_several_hosts else ""
    headline_words = f"{device_name}{of_host}: {wording.count(device.steps, 'step')} by {device.steps_from}, "
    headline_words += f"{wording.milliseconds(device.step_ms)} each"
    if device.counted > 1:
        spread = device.spread
        headline_words += (
            f" (mean of {device.counted}; median {wording.milliseconds(spread.median_ms)}, p5 to p95 "
            f"{wording.milliseconds(spread.p5_ms)} to {wording.milliseconds(spread.p95_ms)}"
        )
        headline_words += f", {wording.count(len(spread.outliers), 'outlier')})" if spread.outliers else ")"
    if device.warmup:
        headline_words += f"; {wording.count(device.warmup, 'slow first step')} left out"
    return headline_words


def device_meters(device: DeviceBreakdown) -> list[str]:
    """Return how busy a GPU was by each meter, with what it is a share of, and which are missing with the reason.

    For a processor only its exchanges are known.
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
    meter_texts = [
        f"{name} {wording.share(value)} {share_of}" for name, value, share_of in figures if value is not None
    ]
    kernels = device.kernels
    if kernels:
        meter_texts.append(
            f"{wording.count(kernels.count, 'kernel')}, median {wording.significant(kernels.median_us)} us, "
            f"{wording.share(kernels.under_10us_count_fraction)} of them under 10 us, "
            f"{wording.significant(kernels.per_s)} a second"
        )
        cores = f"Tensor Core kernels {wording.share(kernels.tensor_core_time_fraction)} of kernel time"
        if kernels.eligible_time_fraction is not None:
            cores += f", operations that could use them {wording.share(kernels.eligible_time_fraction)}"
        meter_texts.append(cores)
    for copy in device.copies:
        rate = f", {wording.significant(copy.gb_per_s)} GB/s" if copy.gb_per_s is not None else ""
        hidden = f"{wording.share(copy.hidden_fraction)} hidden under kernels"
        meter_texts.append(f"{copy.count} {copy.direction} in {wording.milliseconds(copy.total_ms)}{rate}, {hidden}")
    meter_texts += several.exchanges(device)
    return [*meter_texts, *(f"{name} not known: {reason}" for name, reason in device.missing.items())]


def gap_causes(gap: Gap) -> str:
    """Write the causes of a gap, the longest first: `idle_input 8.11 s, idle_launch 3.2 ms`."""
    longest_first = sorted(gap.causes_ms.items(), key=lambda cause_and_ms: -cause_and_ms[1])
    return ", ".join(f"{category} {wording.milliseconds(cause_ms)}" for category, cause_ms in longest_first[:3])


def gap_events(gap: Gap) -> str:
    """Write the events of the host in a gap: `IteratorGetNextOp::DoCompute 8.11 s`."""
    events = [f"{short_name(event.name)} {wording.milliseconds(event.ms)}" for event in gap.host[:3]]
    return ", ".join(events) or "no event of the host"


def short_name(name: str) -> str:
    """Cut a name, such as a kernel's with all its template arguments, to a length that fits a line."""
    return shortened(name, LONGEST_KERNEL_NAME)
