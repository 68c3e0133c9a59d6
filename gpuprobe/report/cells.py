"""The words and figures of the report's tables, each made from the ranking alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from gpuprobe import wording
from gpuprobe.backends.known import TENSORFLOW, title
from gpuprobe.recording import STEP_FILE
from gpuprobe.report.again import measured_again
from gpuprobe.report.page import Markdown, code, plain

if TYPE_CHECKING:
    from gpuprobe.ranking.comparisons import Beyond
    from gpuprobe.ranking.load import Loaded
    from gpuprobe.ranking.ranking import Ranking, Row
    from gpuprobe.ranking.rates import Interval
    from gpuprobe.records import Settings, Signal, Study


@dataclass(frozen=True)
class Column:
    """A column of a table of strategies. A column that is empty in every row is left out; `without` says why."""

    key: str
    title: str
    without: str = ""


NO_GPU = "no GPU was sampled"
# What jit_compile=True compiles with, where it is not XLA.
COMPILERS = {"torch": "torch.compile"}
RANKED = (
    Column("rank", "rank"),
    Column("strategy", "strategy"),
    Column("rate", "samples/s (95 %)"),
    Column("epoch", "epoch"),
    Column("speedup", "times as fast as"),
    Column("gain", "times as fast as what it changes"),
    Column("marks", "marks"),
)
USED = (
    Column("strategy", "strategy"),
    Column("gpu", "GPU utilization (p5 to p95)", NO_GPU),
    Column("power", "power", NO_GPU),
    Column("energy", "energy a sample", NO_GPU),
    Column("device_memory", "peak device memory", NO_GPU),
    Column("cpu", "CPU"),
    Column("host_memory", "peak host memory"),
    Column("warmup", "warm-up"),
)


def ranking_table(ranking: Ranking, columns: tuple[Column, ...]) -> tuple[list[list[str]], list[Column]]:
    """Return a head and one row a strategy, and the columns that are left out as empty in every row."""
    cells_by_column = [ranking_cells(ranked, ranking) for ranked in ranking.rows]
    filled_columns = [column for column in columns if any(cells[column.key] for cells in cells_by_column)]
    column_titles = [
        f"{column.title} {ranking.baseline}" if column.key == "speedup" else column.title for column in filled_columns
    ]
    table_rows = [[cells[column.key] for column in filled_columns] for cells in cells_by_column]
    return [column_titles, *table_rows] if cells_by_column else [], [
        column for column in columns if column not in filled_columns
    ]


def ranking_cells(ranked: Row, ranking: Ranking) -> dict[str, str]:
    """Return the cells of one row by column key; an empty one was not measured."""
    shares_rank = sum(other.rank == ranked.rank for other in ranking.rows) > 1
    return {
        "rank": f"{ranked.rank}{' =' if shares_rank else ''}",
        "strategy": f"**{plain(ranked.strategy)}**",
        "rate": rate(ranked.samples_per_s),
        "epoch": wording.duration(ranked.epoch_s.value) if ranked.epoch_s else "",
        "speedup": times(ranked.speedup) if ranked.speedup else "",
        "gain": f"{times(ranked.gain)} {ranked.against}" if ranked.gain else "",
        "gpu": _level_words(ranked.signal("utilization_percent"), "%"),
        "power": _signal_words(ranked.signal("power_w"), "W"),
        "energy": f"{wording.significant(1000 * ranked.energy_j_per_sample)} mJ" if ranked.energy_j_per_sample else "",
        "device_memory": wording.mebibytes(ranked.device_peak_mib) if ranked.device_peak_mib else "",
        "cpu": _signal_words(ranked.signal("cpu_cores"), "cores"),
        "host_memory": wording.mebibytes(ranked.host_peak_mib) if ranked.host_peak_mib else "",
        "warmup": f"{wording.significant(ranked.warmup_s)} s" if ranked.warmup_s else "",
        "marks": "; ".join(mark.words for mark in ranked.marks),
    }


def strategy_details(row: Row, ranking: Ranking, study: Study) -> dict[str, object]:
    """Return what the report says about one strategy below the table."""
    sentences = []
    against = ranking.row(row.against)
    if row.gain and against:
        one_change = "" if ranking.search(row.strategy) else f", with one thing changed ({row.change})"
        sentences.append(f"Against `{row.against}`{one_change}: {comparison(row.gain, row.beyond)}.")
    if row.combines:
        sentences.append(f"It combines {wording.listing([f'`{name}`' for name in row.combines])}.")
    elif ranking.search(row.strategy):
        sentences.append(f"No change was kept, so it trains exactly as `{row.against}`.")
    if row.input_share:
        sentences.append(_input_share(row.input_share))
    if row.profiler_slowdown:
        sentences.append(f"Tracing slowed the steps {wording.significant(row.profiler_slowdown)} times.")
    sentences += [f"Note: {note}." for note in row.notes]
    sentences += [f"Mark: {mark.words}." for mark in row.marks]
    settings = row.settings
    effective_settings = (
        f"{_unusual_backend(settings)}{settings.device.rpartition('device:')[2]}, batch {settings.batch_size}, "
        f"{settings.dtype_policy}, "
        f"{COMPILERS.get(settings.backend, 'XLA')} {_on_or_off(settings.jit_compile)}, "
        f"{wording.count(settings.steps_per_execution, 'step')} per execution, "
        f"fed as {settings.feed_dtype}, {settings.intra_op_threads} + {settings.inter_op_threads} threads, "
        f"oneDNN {_on_or_off(settings.onednn)}, TF32 {_on_or_off(settings.tf32)}"
    )
    warmup_words = (
        f"{wording.significant(row.warmup_s)} s, {wording.significant(row.first_call_s)} s of it the first call"
    )
    command_again = measured_again(study, row.strategy)
    return {
        "row": row,
        "sentences": sentences,
        "effective": effective_settings,
        "warmup": warmup_words,
        "again": command_again,
    }


def rate(interval: Interval) -> str:
    """Write a rate with its interval: `93.0 (87.3 to 99.0)`."""
    rate_value, low, high = (
        wording.significant(rate_bound) for rate_bound in (interval.value, interval.low, interval.high)
    )
    return f"{rate_value} ({low} to {high})"


def times(interval: Interval) -> str:
    """Write a ratio with its interval: `1.12x (1.08 to 1.16)`."""
    return wording.times(interval.value, interval.low, interval.high)


def comparison(gain: Interval, beyond: Beyond) -> str:
    """Say what a ratio means; it is a tie where it does not differ from 1 beyond the noise of all comparisons."""
    if beyond == "faster":
        return f"{times(gain)} as fast"
    if beyond == "slower":
        return f"slower, {times(gain)} as fast"
    return f"no difference beyond the noise, {times(gain)}"


def evidence_line(signal: Signal) -> Markdown:
    """Write a signal with its value, its range where it has one, and its source."""
    signal_value = signal.value
    value_words = wording.significant(signal_value) if isinstance(signal_value, float) else str(signal_value)
    if signal_value is None:
        value_words = f"missing, {signal.missing}"
    range_ends = [wording.significant(range_end) for range_end in (signal.low, signal.high) if range_end is not None]
    range_words = f" ({range_ends[0]} to {range_ends[1]})" if len(range_ends) == 2 else ""
    return Markdown(f"{code(signal.name)} = {plain(value_words)}{range_words}, {plain(signal.source)}")


def traced_runs(loaded: Loaded) -> list[str]:
    """Return the run folders, relative to the study's, that hold a trace."""
    return [
        path.relative_to(loaded.folder).as_posix()
        for path, run in loaded.runs.items()
        if run.trace is not None and run.trace.path is not None
    ]


def step_pages(loaded: Loaded) -> list[tuple[str, str]]:
    """Return the step pages of the runs, as (run, address relative to the study's folder)."""
    runs = [path.relative_to(loaded.folder) for path in loaded.runs if (path / STEP_FILE).is_file()]
    return [(run.name, quote((run / STEP_FILE).as_posix())) for run in runs]


def _input_share(share: Interval) -> str:
    if share.low <= 0:
        return f"No input wait beyond the noise: at most {wording.share(share.high)} of its time."
    return (
        f"Input share {wording.share(share.value)} ({wording.share(share.low)} to {wording.share(share.high)}): "
        "the share of its time that data on the device would save."
    )


def _level_words(signal: Signal | None, unit: str) -> str:
    if signal is None or not isinstance(signal.value, float):
        return ""
    if signal.low is None or signal.high is None:
        return f"{signal.value:.0f} {unit}"
    return f"{signal.value:.0f} {unit} ({signal.low:.0f} to {signal.high:.0f})"


def _signal_words(signal: Signal | None, unit: str) -> str:
    if signal is None or not isinstance(signal.value, float):
        return ""
    return f"{wording.significant(signal.value)} {unit}"


def _unusual_backend(settings: Settings) -> str:
    """Name the backend, where it is not the usual one."""
    return "" if settings.backend == TENSORFLOW else f"{title(settings.backend)}, "


def _on_or_off(state: bool | None) -> str:
    return "not applicable" if state is None else ("on" if state else "off")
