"""The charts of a study, from what is on disk: where the step went, rates, loads, step times and losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.report import drawn_over_time, scaling
from gpuprobe.report.charts import Bar, Bars, Chart, Look, Part, parts_ms
from gpuprobe.report.drawn_over_time import LOSS_DIFFERS, chart_label, loss_note, times_baseline_batch
from gpuprobe.report.palette import BLUE, GREEN, ORANGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ranking.load import Loaded

FIRST_RANK = Look("the first rank", GREEN, "", "#", "green")
OTHER_RANK = Look("the other ranks", BLUE, "", "=", "blue")
OTHER_LOSS = Look(LOSS_DIFFERS, ORANGE, "///", "~", "yellow")
# The scale ends at most this many times above a rate, so that a very wide interval does not squeeze the other bars.
INTERVAL_SHOWN = 1.5


def charts(loaded: Loaded) -> list[Chart]:
    """Return every chart that has something to show."""
    possible_charts = (
        scaling.chart(loaded.ranking.scaling),
        _breakdown(loaded),
        throughput(loaded),
        drawn_over_time.utilization(loaded),
        drawn_over_time.step_times(loaded),
        drawn_over_time.losses(loaded),
    )
    return [chart for chart in possible_charts if chart is not None]


def _breakdown(loaded: Loaded) -> Chart | None:
    """Where the time of a traced step went, for as many samples as the baseline's step holds."""
    ranking = loaded.ranking
    rows = [row for row in ranking.rows if row.breakdown is not None]
    if not rows:
        return None
    bars = []
    for row in rows:
        assert row.breakdown is not None
        times_the_batch = times_baseline_batch(row, ranking)
        step_ms = row.breakdown.step_ms / row.settings.steps_per_execution
        baseline_batch_ms = step_ms / times_the_batch
        larger_batch = (
            f"{wording.milliseconds(step_ms)} a step of {row.settings.batch_size} samples"
            if times_the_batch != 1
            else ""
        )
        note = "; ".join(filter(None, [larger_batch, loss_note(row)]))
        bars.append(
            Bar(
                chart_label(row.strategy),
                wording.milliseconds(baseline_batch_ms),
                parts_ms(row.breakdown, baseline_batch_ms),
                note=note,
            )
        )
    baseline_batch = (ranking.row(ranking.baseline) or ranking.rows[0]).settings.batch_size
    drawn = Bars(
        tuple(bars),
        f"ms for {wording.count(baseline_batch, 'sample')}, in the traced steps, which tracing slows",
        max(bar.value for bar in bars),
    )
    how_to_read = (
        f"One bar is the time of {wording.count(baseline_batch, 'sample')} in the traced steps, the fastest strategy "
        "on top, all on one scale. Plain green is work; in everything else the device waits, copies or exchanges."
    )
    return Chart("ledger", "Where the step went", how_to_read, drawn, _bars_in_words(bars))


def throughput(loaded: Loaded) -> Chart | None:
    """Samples per second of each strategy with its 95 % interval, the fastest on top."""
    rows = loaded.ranking.rows
    if not rows:
        return None
    same_loss = [row for row in rows if not row.loss_difference]
    first_rank = same_loss[0].rank if same_loss else None
    bars = []
    for row in rows:
        rate = row.samples_per_s
        look = OTHER_LOSS if row.loss_difference else FIRST_RANK if row.rank == first_rank else OTHER_RANK
        rate_part = Part(rate.value, wording.significant(rate.value), look)
        bars.append(
            Bar(
                chart_label(row.strategy),
                rate_part.told,
                (rate_part,),
                low=rate.low,
                high=rate.high,
                note=loss_note(row),
            )
        )
    scale_end = max(min(row.samples_per_s.high, INTERVAL_SHOWN * row.samples_per_s.value) for row in rows)
    how_to_read = "The line at a bar's end is its 95 % interval."
    return Chart(
        "throughput", "Throughput", how_to_read, Bars(tuple(bars), "samples a second", scale_end), _bars_in_words(bars)
    )


def _bars_in_words(bars: Sequence[Bar]) -> str:
    return "; ".join(f"{bar.label} {bar.told}{f' ({bar.note})' if bar.note else ''}" for bar in bars)
