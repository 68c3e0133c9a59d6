"""The charts of a study over time: how busy the device was, how long steps took, and the loss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe import wording
from gpuprobe.foreign import shortened, visible
from gpuprobe.ranking.rates import step_times_ms
from gpuprobe.report.charts import Box, Boxes, Chart, Panel, Panels
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from gpuprobe.ranking.load import Loaded
    from gpuprobe.ranking.ranking import Ranking, Row
    from gpuprobe.records import Run
    from gpuprobe.telemetry import Telemetry

LONGEST_LABEL = 40
LOSS_DIFFERS = "its loss curve differs"
# A small chart shows no more points of a line than this.
MOST_POINTS = 160
# Where a pause is this many times the usual interval, readings are missing and the line has a gap.
LONG_GAP = 6.0


def chart_label(name: str) -> str:
    """Shorten a name to a label of one line that leaves room for the drawing."""
    return shortened(" ".join(visible(name).split()), LONGEST_LABEL)


def times_baseline_batch(row: Row, ranking: Ranking) -> float:
    """Return a row's batch size over the baseline's: 8 for 256 samples beside 32."""
    baseline = ranking.row(ranking.baseline) or ranking.rows[0]
    return row.settings.batch_size / baseline.settings.batch_size


def loss_note(row: Row) -> str:
    """Return the note on a row whose loss curve differs; empty for others."""
    return LOSS_DIFFERS if row.loss_difference else ""


def utilization(loaded: Loaded) -> Chart | None:
    """GPU utilization over each run's time, or the cores that the training kept busy where there is no GPU."""
    runs = _first_round(loaded)
    has_gpu = any(0 in loaded.telemetry[path].gpus for path in runs if path in loaded.telemetry)
    panels = []
    for path, run in runs.items():
        recording, window = loaded.telemetry.get(path), run.phase("window")
        if recording is None or window is None or not len(recording.t_ns):
            continue
        seconds, load_values = _load_over_time(recording, of_gpu=has_gpu)
        if len(load_values):
            points = _thinned_line(seconds - window.start_ns / NS_PER_S, load_values)
            panels.append(_load_panel(loaded.ranking, run.spec.strategy, points, of_gpu=has_gpu))
    if not panels:
        return None
    seconds_drawn = [x for panel in panels for x, _ in panel.points]
    scale_top = 100.0 if has_gpu else max([1.0, *(y for panel in panels for _, y in panel.points if y is not None)])
    vertical_axis = "GPU utilization in %" if has_gpu else "cores that the training kept busy"
    horizontal_axis = "seconds; the timed window starts at the dotted line, after start-up and warm-up"
    first_s, last_s = min(seconds_drawn), max(seconds_drawn)
    axis_ends = (
        wording.significant(first_s, 2),
        wording.significant(last_s, 2),
        "100 %" if has_gpu else f"{scale_top:.1f}",
    )
    drawn = Panels(tuple(panels), horizontal_axis, vertical_axis, first_s, last_s, 0.0, scale_top, axis_ends, mark=0.0)
    return Chart("utilization", "How busy the device was", "", drawn, "; ".join(f"{p.label} {p.told}" for p in panels))


def _load_over_time(recording: Telemetry, *, of_gpu: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return seconds and load, with NaN where readings are missing for long."""
    times, load_values = recording.series("gpu0_utilization_percent" if of_gpu else "tree_cpu_s")
    seconds = times / NS_PER_S
    if not of_gpu:
        if len(load_values) <= 1:
            return seconds, load_values[:0]
        # A counter of seconds: its slope is the number of busy cores.
        seconds, load_values = seconds[1:], np.diff(load_values) / np.diff(seconds)
    intervals_s = np.diff(seconds)
    long_gaps = (
        np.flatnonzero(intervals_s > LONG_GAP * np.median(intervals_s)) if len(intervals_s) else np.empty(0, int)
    )
    return np.insert(seconds, long_gaps + 1, seconds[long_gaps] + intervals_s[long_gaps] / 2), np.insert(
        load_values, long_gaps + 1, math.nan
    )


def _load_panel(
    ranking: Ranking, strategy: str, points: tuple[tuple[float, float | None], ...], *, of_gpu: bool
) -> Panel:
    row = ranking.row(strategy)
    mean_signal = row.signal("utilization_percent" if of_gpu else "cpu_cores") if row else None
    mean_load = ""
    if mean_signal is not None and isinstance(mean_signal.value, float):
        mean_load = (
            f"mean {wording.share(mean_signal.value / 100)}" if of_gpu else f"mean {wording.cores(mean_signal.value)}"
        )
    return Panel(chart_label(strategy), points, mean_load, _note_of(ranking, strategy))


def step_times(loaded: Loaded) -> Chart | None:
    """How the step times of each strategy are distributed: median, quartiles, and the 5th to 95th percentile."""
    boxes = []
    for row in loaded.ranking.rows:
        by_run = [step_times_ms(run) for run in loaded.runs.values() if run.spec.strategy == row.strategy]
        # In a shared copy a row may have no runs: its ranking is read from a file.
        step_times = np.concatenate(by_run) if by_run else np.empty(0)
        if len(step_times):
            p5, q1, median, q3, p95 = (
                float(percentile) for percentile in np.percentile(step_times, (5, 25, 50, 75, 95))
            )
            percentile_range = f"{wording.milliseconds(p5)} to {wording.milliseconds(p95)}"
            median_words = f"median {wording.milliseconds(median)}, {percentile_range}"
            batch_words = (
                f"of {row.settings.batch_size} samples" if times_baseline_batch(row, loaded.ranking) != 1 else ""
            )
            note = "; ".join(filter(None, [batch_words, loss_note(row)]))
            boxes.append(Box(chart_label(row.strategy), p5, q1, median, q3, p95, median_words, note))
    if not boxes:
        return None
    how_to_read = (
        "The bar holds the middle half of the steps, the mark in it is their median; the line reaches from the 5th to "
        "the 95th percentile."
    )
    drawn = Boxes(tuple(boxes), "ms a step", max(box.p95 for box in boxes))
    all_in_words = "; ".join(f"{box.label} {box.told}" for box in boxes)
    return Chart("step-times", "How long the steps took", how_to_read, drawn, all_in_words)


def losses(loaded: Loaded) -> Chart | None:
    """The training loss against the samples seen."""
    panels = []
    for run in _first_round(loaded).values():
        points = [(float(point.samples), point.loss) for point in run.losses]
        last_loss_value = next((loss for _, loss in reversed(points) if loss is not None), None)
        if last_loss_value is not None and math.isfinite(last_loss_value):
            samples = np.array([x for x, _ in points])
            loss_values = np.array([math.nan if loss is None else loss for _, loss in points])
            last_loss_words = f"{wording.significant(last_loss_value)} after {points[-1][0]:,.0f}"
            strategy = run.spec.strategy
            panels.append(
                Panel(
                    chart_label(strategy),
                    _thinned_line(samples, loss_values),
                    last_loss_words,
                    _note_of(loaded.ranking, strategy),
                )
            )
    if not panels:
        return None
    most_samples = max(x for panel in panels for x, _ in panel.points)
    highest_loss = max(y for panel in panels for _, y in panel.points if y is not None)
    axis_ends = ("0", f"{most_samples:,.0f}", wording.significant(highest_loss))
    drawn = Panels(
        tuple(panels), "training samples seen", "training loss", 0.0, most_samples, 0.0, highest_loss, axis_ends
    )
    all_in_words = "; ".join(f"{panel.label} {panel.told} samples" for panel in panels)
    return Chart("losses", "The loss, for the same work", "", drawn, all_in_words)


def _thinned_line(line_x: NDArray[np.float64], line_y: NDArray[np.float64]) -> tuple[tuple[float, float | None], ...]:
    """Return the points of a line; where they are too many to be seen, the means of neighbours. Gaps are kept."""
    points_a_mean = max(1, -(-len(line_x) // MOST_POINTS))
    points: list[tuple[float, float | None]] = []
    for start in range(0, len(line_x), points_a_mean):
        neighbours = line_y[start : start + points_a_mean]
        finite_neighbours = neighbours[np.isfinite(neighbours)]
        points.append(
            (
                float(line_x[start : start + points_a_mean].mean()),
                float(finite_neighbours.mean()) if len(finite_neighbours) else None,
            )
        )
    return tuple(points)


def _note_of(ranking: Ranking, strategy: str) -> str:
    row = ranking.row(strategy)
    return loss_note(row) if row else ""


def _first_round(loaded: Loaded) -> dict[Path, Run]:
    """The first good run of each strategy, since a chart has room for one line each."""
    first_runs: dict[str, tuple[Path, Run]] = {}
    for path, run in loaded.runs.items():
        if run.outcome.state == "done":
            first_runs.setdefault(run.spec.strategy, (path, run))
    ranked_strategies = [row.strategy for row in loaded.ranking.rows]
    return {
        first_runs[strategy][0]: first_runs[strategy][1] for strategy in ranked_strategies if strategy in first_runs
    }
