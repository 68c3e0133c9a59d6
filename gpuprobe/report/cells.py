"""The words and figures of the report's tables, each made from the ranking alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from gpuprobe import wording
from gpuprobe.backends.known import TENSORFLOW, title
from gpuprobe.recording import STEP_FILE
from gpuprobe.report.again import measured_again
from gpuprobe.report.findings import predictions as gaining
from gpuprobe.report.findings import ratio
from gpuprobe.report.page import Markdown, code, plain

if TYPE_CHECKING:
    from gpuprobe.ranking.compared import Beyond
    from gpuprobe.ranking.load import Loaded
    from gpuprobe.ranking.ranking import Ranking, Row, Scored
    from gpuprobe.ranking.rates import Interval
    from gpuprobe.records import Settings, Signal, Study


@dataclass(frozen=True)
class Column:
    """A column of a table of strategies; one that is empty in every row is left out, and `without` says why."""

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


def table(ranking: Ranking, columns: tuple[Column, ...]) -> tuple[list[list[str]], list[Column]]:
    """Return a head and one row a strategy, and the columns that are left out as empty in every row."""
    rows = [row(ranked, ranking) for ranked in ranking.rows]
    filled = [column for column in columns if any(cells[column.key] for cells in rows)]
    titles = [f"{column.title} {ranking.baseline}" if column.key == "speedup" else column.title for column in filled]
    lines = [[cells[column.key] for column in filled] for cells in rows]
    return [titles, *lines] if rows else [], [column for column in columns if column not in filled]


def row(row: Row, ranking: Ranking) -> dict[str, str]:
    """Return the cells of one row by column key; an empty one was not measured."""
    shared = sum(other.rank == row.rank for other in ranking.rows) > 1
    return {
        "rank": f"{row.rank}{' =' if shared else ''}",
        "strategy": f"**{plain(row.strategy)}**",
        "rate": rate(row.samples_per_s),
        "epoch": wording.duration(row.epoch_s.value) if row.epoch_s else "",
        "speedup": times(row.speedup) if row.speedup else "",
        "gain": f"{times(row.gain)} {row.against}" if row.gain else "",
        "gpu": _level(row.signal("utilization_percent"), "%"),
        "power": _value(row.signal("power_w"), "W"),
        "energy": f"{wording.significant(1000 * row.energy_j_per_sample)} mJ" if row.energy_j_per_sample else "",
        "device_memory": wording.mebibytes(row.device_peak_mib) if row.device_peak_mib else "",
        "cpu": _value(row.signal("cpu_cores"), "cores"),
        "host_memory": wording.mebibytes(row.host_peak_mib) if row.host_peak_mib else "",
        "warmup": f"{wording.significant(row.warmup_s)} s" if row.warmup_s else "",
        "marks": "; ".join(mark.words for mark in row.marks),
    }


def details(row: Row, ranking: Ranking, study: Study) -> dict[str, object]:
    """Return what the report says about one strategy below the table."""
    sentences = []
    against = ranking.row(row.against)
    if row.gain and against:
        change = "" if ranking.search(row.strategy) else f", with one thing changed ({row.change})"
        sentences.append(f"Against `{row.against}`{change}: {comparison(row.gain, row.beyond)}.")
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
    effective = (
        f"{_backend(settings)}{settings.device.rpartition('device:')[2]}, batch {settings.batch_size}, "
        f"{settings.dtype_policy}, "
        f"{COMPILERS.get(settings.backend, 'XLA')} {_switch(settings.jit_compile)}, "
        f"{wording.count(settings.steps_per_execution, 'step')} per execution, "
        f"fed as {settings.feed_dtype}, {settings.intra_op_threads} + {settings.inter_op_threads} threads, "
        f"oneDNN {_switch(settings.onednn)}, TF32 {_switch(settings.tf32)}"
    )
    warmup = f"{wording.significant(row.warmup_s)} s, {wording.significant(row.first_call_s)} s of it the first call"
    again = measured_again(study, row.strategy)
    return {"row": row, "sentences": sentences, "effective": effective, "warmup": warmup, "again": again}


def rate(interval: Interval) -> str:
    """Write a rate with its interval: `93.0 (87.3 to 99.0)`."""
    value, low, high = (wording.significant(figure) for figure in (interval.value, interval.low, interval.high))
    return f"{value} ({low} to {high})"


def times(interval: Interval) -> str:
    """Write a ratio with its interval: `1.12x (1.08 to 1.16)`."""
    return wording.times(interval.value, interval.low, interval.high)


def comparison(gain: Interval, beyond: Beyond) -> str:
    """Say what a ratio means, a tie where it does not differ from 1 beyond the noise of all comparisons."""
    if beyond == "faster":
        return f"{times(gain)} as fast"
    if beyond == "slower":
        return f"slower, {times(gain)} as fast"
    return f"no difference beyond the noise, {times(gain)}"


def scored(row: Scored) -> list[str]:
    """Return the cells of one prediction beside what was measured; the reason where there is none."""
    predicted = ratio(row.predicted) if row.predicted else f"none: {row.missing}"
    cells = [f"`{row.strategy}`", f"`{row.against}`", f"`{row.change}`", predicted, times(row.measured)]
    return [*cells, miss(row.error)]


def miss(error: float | None) -> str:
    """Write by how much a predicted step missed the measured one, as a fraction of it: `+10 %`; empty where unknown."""
    if error is None:
        return ""
    percent = round(100 * error)
    return f"{percent:+d} %" if percent else "0 %"


SCORED = ["strategy", "against", "the change replayed", "predicted", "measured", "miss"]


def scorecard(ranking: Ranking) -> list[list[str]]:
    """Return a head and a row for each prediction; empty where there is none."""
    return [SCORED, *(scored(prediction) for prediction in ranking.scorecard)] if ranking.scorecard else []


def predictions(ranking: Ranking) -> list[list[str]]:
    """Return a head and a row for each change that gains by the baseline's trace; empty where none does."""
    rows = [[f"`{change}`", gain, most, words] for change, _, gain, most, words in gaining(ranking.predictions)]
    return [["change", "predicted", "at most", "if"], *rows] if rows else []


def evidence(signal: Signal) -> Markdown:
    """Write a signal with its value, its range where it has one, and its source."""
    value = signal.value
    figure = wording.significant(value) if isinstance(value, float) else str(value)
    if value is None:
        figure = f"missing, {signal.missing}"
    ends = [wording.significant(end) for end in (signal.low, signal.high) if end is not None]
    span = f" ({ends[0]} to {ends[1]})" if len(ends) == 2 else ""
    return Markdown(f"{code(signal.name)} = {plain(figure)}{span}, {plain(signal.source)}")


def traces(loaded: Loaded) -> list[str]:
    """Return the run folders, relative to the study's, that hold a trace."""
    return [
        path.relative_to(loaded.folder).as_posix()
        for path, run in loaded.runs.items()
        if run.trace is not None and run.trace.path is not None
    ]


def step_pages(loaded: Loaded) -> list[tuple[str, str]]:
    """Return the pages of the steps that lie beside the traces: the run, and its page as an address in the study."""
    runs = [path.relative_to(loaded.folder) for path in loaded.runs if (path / STEP_FILE).is_file()]
    return [(run.name, quote((run / STEP_FILE).as_posix())) for run in runs]


def _input_share(share: Interval) -> str:
    if share.low <= 0:
        return f"No input wait beyond the noise: at most {wording.share(share.high)} of its time."
    return (
        f"Input share {wording.share(share.value)} ({wording.share(share.low)} to {wording.share(share.high)}): "
        "the part of its time that is saved where the data lies on the device."
    )


def _level(signal: Signal | None, unit: str) -> str:
    if signal is None or not isinstance(signal.value, float):
        return ""
    if signal.low is None or signal.high is None:
        return f"{signal.value:.0f} {unit}"
    return f"{signal.value:.0f} {unit} ({signal.low:.0f} to {signal.high:.0f})"


def _value(signal: Signal | None, unit: str) -> str:
    if signal is None or not isinstance(signal.value, float):
        return ""
    return f"{wording.significant(signal.value)} {unit}"


def _backend(settings: Settings) -> str:
    """Name the backend, where it is not the usual one."""
    return "" if settings.backend == TENSORFLOW else f"{title(settings.backend)}, "


def _switch(state: bool | None) -> str:
    return "not applicable" if state is None else ("on" if state else "off")
