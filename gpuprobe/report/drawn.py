"""The charts of a study, from what is on disk: where the step went, rates, loads, step times and losses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe import wording
from gpuprobe.foreign import shortened, visible
from gpuprobe.ranking.rates import step_times_ms
from gpuprobe.report import scaling
from gpuprobe.report.charts import Bar, Bars, Box, Boxes, Chart, Look, Panel, Panels, Part, parts_ms
from gpuprobe.report.palette import BLUE, GREEN, ORANGE
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from gpuprobe.ranking.load import Loaded
    from gpuprobe.ranking.ranking import Ranking, Row
    from gpuprobe.records import Run
    from gpuprobe.telemetry import Telemetry

LONGEST_LABEL = 40
# A small chart shows no more points of a line than this.
MOST_POINTS = 160
# A pause this many times the usual one: readings are missing there, and the line has a gap.
LONG_GAP = 6.0
DIFFERS = "its loss curve differs"
FIRST = Look("the first rank", GREEN, "", "#", "green")
OTHER = Look("the other ranks", BLUE, "", "=", "blue")
OTHERWISE = Look(DIFFERS, ORANGE, "///", "~", "yellow")
# The scale reaches at most so many times a rate: a very wide interval must not squeeze the other bars.
MOST_UNCERTAIN = 1.5


def charts(loaded: Loaded) -> list[Chart]:
    """Return every chart that has something to show."""
    made = (
        scaling.chart(loaded.ranking.scaling),
        _breakdown(loaded),
        throughput(loaded),
        _utilization(loaded),
        _step_times(loaded),
        _losses(loaded),
    )
    return [chart for chart in made if chart is not None]


def label(name: str) -> str:
    """Shorten a name to a label of one line that leaves room for the drawing."""
    return shortened(" ".join(visible(name).split()), LONGEST_LABEL)


def per_batch(row: Row, ranking: Ranking) -> float:
    """Return how many times the baseline's batch a row's batch is: 8 for 256 samples beside 32."""
    baseline = ranking.row(ranking.baseline) or ranking.rows[0]
    return row.settings.batch_size / baseline.settings.batch_size


def _note(row: Row) -> str:
    return DIFFERS if row.trains_otherwise else ""


def _breakdown(loaded: Loaded) -> Chart | None:
    """Where the time of a traced step went, for as many samples as the baseline's step holds."""
    ranking = loaded.ranking
    rows = [row for row in ranking.rows if row.breakdown is not None]
    if not rows:
        return None
    bars = []
    for row in rows:
        assert row.breakdown is not None
        samples = per_batch(row, ranking)
        step_ms = row.breakdown.step_ms / row.settings.steps_per_execution
        whole = step_ms / samples
        larger = f"{wording.milliseconds(step_ms)} a step of {row.settings.batch_size} samples" if samples != 1 else ""
        note = "; ".join(filter(None, [larger, _note(row)]))
        bars.append(Bar(label(row.strategy), wording.milliseconds(whole), parts_ms(row.breakdown, whole), note=note))
    batch = (ranking.row(ranking.baseline) or ranking.rows[0]).settings.batch_size
    drawn = Bars(
        tuple(bars),
        f"ms for {wording.count(batch, 'sample')}, in the traced steps, which tracing slows",
        max(bar.value for bar in bars),
    )
    says = (
        f"One bar is the time of {wording.count(batch, 'sample')} in the traced steps, the fastest strategy on top, "
        "all on one scale. Green is work; in everything else the device waits or copies."
    )
    return Chart("ledger", "Where the step went", says, drawn, _in_words(bars))


def throughput(loaded: Loaded) -> Chart | None:
    """Samples per second of each strategy with its 95 % interval, the fastest on top."""
    rows = loaded.ranking.rows
    if not rows:
        return None
    alike = [row for row in rows if not row.trains_otherwise]
    first = alike[0].rank if alike else None
    bars = []
    for row in rows:
        rate = row.samples_per_s
        look = OTHERWISE if row.trains_otherwise else FIRST if row.rank == first else OTHER
        part = Part(rate.value, wording.significant(rate.value), look)
        bars.append(Bar(label(row.strategy), part.told, (part,), low=rate.low, high=rate.high, note=_note(row)))
    most = max(min(row.samples_per_s.high, MOST_UNCERTAIN * row.samples_per_s.value) for row in rows)
    says = "The line at a bar's end is its 95 % interval."
    return Chart("throughput", "Throughput", says, Bars(tuple(bars), "samples a second", most), _in_words(bars))


def _utilization(loaded: Loaded) -> Chart | None:
    """GPU utilization over each run's time, or the cores that the training kept busy where there is no GPU."""
    runs = _first_round(loaded)
    gpu = any(0 in loaded.telemetry[path].gpus for path in runs if path in loaded.telemetry)
    panels = []
    for path, run in runs.items():
        recording, window = loaded.telemetry.get(path), run.phase("window")
        if recording is None or window is None or not len(recording.t_ns):
            continue
        seconds, values = _load(recording, gpu=gpu)
        if len(values):
            points = _thinned(seconds - window.start_ns / NS_PER_S, values)
            panels.append(_load_panel(loaded.ranking, run.spec.strategy, points, gpu=gpu))
    if not panels:
        return None
    ends = [x for panel in panels for x, _ in panel.points]
    top = 100.0 if gpu else max([1.0, *(y for panel in panels for _, y in panel.points if y is not None)])
    up = "GPU utilization in %" if gpu else "cores that the training kept busy"
    across = "seconds; the timed window starts at the dotted line, after start-up and warm-up"
    first, last = min(ends), max(ends)
    in_words = (wording.significant(first, 2), wording.significant(last, 2), "100 %" if gpu else f"{top:.1f}")
    drawn = Panels(tuple(panels), across, up, first, last, 0.0, top, in_words, mark=0.0)
    return Chart("utilization", "How busy the device was", "", drawn, "; ".join(f"{p.label} {p.told}" for p in panels))


def _load(recording: Telemetry, *, gpu: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return seconds and load, with NaN where readings are missing for long."""
    times, values = recording.series("gpu0_utilization_percent" if gpu else "tree_cpu_s")
    seconds = times / NS_PER_S
    if not gpu:
        if len(values) <= 1:
            return seconds, values[:0]
        # A counter of seconds: its slope is the number of busy cores.
        seconds, values = seconds[1:], np.diff(values) / np.diff(seconds)
    steps = np.diff(seconds)
    wide = np.flatnonzero(steps > LONG_GAP * np.median(steps)) if len(steps) else np.empty(0, int)
    return np.insert(seconds, wide + 1, seconds[wide] + steps[wide] / 2), np.insert(values, wide + 1, math.nan)


def _load_panel(ranking: Ranking, name: str, points: tuple[tuple[float, float | None], ...], *, gpu: bool) -> Panel:
    row = ranking.row(name)
    mean = row.signal("utilization_percent" if gpu else "cpu_cores") if row else None
    mean_load = ""
    if mean is not None and isinstance(mean.value, float):
        mean_load = f"mean {wording.share(mean.value / 100)}" if gpu else f"mean {wording.cores(mean.value)}"
    return Panel(label(name), points, mean_load, _note_of(ranking, name))


def _step_times(loaded: Loaded) -> Chart | None:
    """How the step times of each strategy are distributed: median, quartiles, and the 5th to 95th percentile."""
    boxes = []
    for row in loaded.ranking.rows:
        by_run = [step_times_ms(run) for run in loaded.runs.values() if run.spec.strategy == row.strategy]
        # In a shared copy a row may have no runs: its ranking is read from a file.
        times = np.concatenate(by_run) if by_run else np.empty(0)
        if len(times):
            p5, q1, median, q3, p95 = (float(value) for value in np.percentile(times, (5, 25, 50, 75, 95)))
            span = f"{wording.milliseconds(p5)} to {wording.milliseconds(p95)}"
            in_words = f"median {wording.milliseconds(median)}, {span}"
            batch = f"of {row.settings.batch_size} samples" if per_batch(row, loaded.ranking) != 1 else ""
            note = "; ".join(filter(None, [batch, _note(row)]))
            boxes.append(Box(label(row.strategy), p5, q1, median, q3, p95, in_words, note))
    if not boxes:
        return None
    says = (
        "The bar holds the middle half of the steps, the mark in it is their median; the line reaches from the 5th to "
        "the 95th percentile."
    )
    drawn = Boxes(tuple(boxes), "ms a step", max(box.p95 for box in boxes))
    all_in_words = "; ".join(f"{box.label} {box.told}" for box in boxes)
    return Chart("step-times", "How long the steps took", says, drawn, all_in_words)


def _losses(loaded: Loaded) -> Chart | None:
    """The training loss against the samples seen."""
    panels = []
    for run in _first_round(loaded).values():
        points = [(float(point.samples), point.loss) for point in run.losses]
        last = next((loss for _, loss in reversed(points) if loss is not None), None)
        if last is not None and math.isfinite(last):
            samples = np.array([x for x, _ in points])
            values = np.array([math.nan if loss is None else loss for _, loss in points])
            last_loss = f"{wording.significant(last)} after {points[-1][0]:,.0f}"
            name = run.spec.strategy
            panels.append(Panel(label(name), _thinned(samples, values), last_loss, _note_of(loaded.ranking, name)))
    if not panels:
        return None
    right = max(x for panel in panels for x, _ in panel.points)
    top = max(y for panel in panels for _, y in panel.points if y is not None)
    ends = ("0", f"{right:,.0f}", wording.significant(top))
    drawn = Panels(tuple(panels), "training samples seen", "training loss", 0.0, right, 0.0, top, ends)
    all_in_words = "; ".join(f"{panel.label} {panel.told} samples" for panel in panels)
    return Chart("losses", "The loss, for the same work", "", drawn, all_in_words)


def _thinned(xs: NDArray[np.float64], ys: NDArray[np.float64]) -> tuple[tuple[float, float | None], ...]:
    """Return the points of a line; where they are too many to be seen, the means of neighbours. Gaps are kept."""
    size = max(1, -(-len(xs) // MOST_POINTS))
    points: list[tuple[float, float | None]] = []
    for start in range(0, len(xs), size):
        values = ys[start : start + size]
        known = values[np.isfinite(values)]
        points.append((float(xs[start : start + size].mean()), float(known.mean()) if len(known) else None))
    return tuple(points)


def _in_words(bars: Sequence[Bar]) -> str:
    return "; ".join(f"{bar.label} {bar.told}{f' ({bar.note})' if bar.note else ''}" for bar in bars)


def _note_of(ranking: Ranking, name: str) -> str:
    row = ranking.row(name)
    return _note(row) if row else ""


def _first_round(loaded: Loaded) -> dict[Path, Run]:
    """The first good run of each strategy, since a chart has room for one line each."""
    first: dict[str, tuple[Path, Run]] = {}
    for path, run in loaded.runs.items():
        if run.outcome.state == "done":
            first.setdefault(run.spec.strategy, (path, run))
    order = [row.strategy for row in loaded.ranking.rows]
    return {first[name][0]: first[name][1] for name in order if name in first}
