"""The evidence for the baseline's diagnosis (`Case`): that of its own run, and the gains of the other strategies."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpuprobe.diagnosis.case import UNTRACED
from gpuprobe.diagnosis.recorded import case_of
from gpuprobe.ranking.rates import run_rate
from gpuprobe.ranking.rows import INPUT_ON_DEVICE
from gpuprobe.records import Evidence, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpuprobe.diagnosis.case import Case
    from gpuprobe.ranking.ranking import Row
    from gpuprobe.ranking.rates import Interval
    from gpuprobe.ranking.traced import Traced
    from gpuprobe.records import Run, Study

SOURCE = "differential runs"


def baseline_case(
    study: Study,
    runs: Sequence[Run],
    rows: Sequence[Row],
    baseline: Row,
    traces: Mapping[str, Traced],
    readings: Mapping[str, Evidence | None],
) -> Case:
    """Return the evidence for the baseline's diagnosis: that of its traced run, else of its last finished run."""
    compared = _measured_gains(rows, baseline)
    traced = traces.get(baseline.strategy)
    if traced is not None:
        traced_case = case_of(traced.breakdown, traced.replay, traced.readings, traced.run, study)
        return replace(traced_case, compared=compared)
    last_run = [run for run in runs if run.spec.strategy == baseline.strategy and run_rate(run)][-1]
    return replace(case_of(UNTRACED, None, readings.get(baseline.strategy), last_run, study), compared=compared)


def _measured_gains(rows: Sequence[Row], baseline: Row) -> Evidence | None:
    """Return the strategies' gains over each other as signals; None where no two were compared."""
    # Gains that are drift do not count; the intervals hold for all comparisons together.
    gains = [(row, row.joint_gain) for row in rows if row.joint_gain and not row.drift]
    signals = [signal for row, gain in gains for signal in _gain_signals(row, gain, rows, baseline)]
    input_on_device = next((row for row in rows if row.strategy == INPUT_ON_DEVICE), None)
    if baseline.joint_input_share and not (input_on_device and input_on_device.drift):
        signals.append(
            _interval_signal("input_share", f"of the step of {baseline.strategy}", baseline.joint_input_share)
        )
    if not signals:
        return None
    return Evidence(signals=(Signal(name="baseline", unit="", source=SOURCE, value=baseline.strategy), *signals))


def _gain_signals(row: Row, gain: Interval, rows: Sequence[Row], baseline: Row) -> tuple[Signal, ...]:
    """Return a strategy's speed-up, the name of the other strategy, and that one's step relative to the baseline's."""
    reference = next((other for other in rows if other.strategy == row.against), None)
    share_of_baseline_step = (
        1 / reference.speedup.value if reference and reference.speedup else 1.0 if reference is baseline else None
    )
    return (
        _interval_signal(f"gain.{row.strategy}", f"times as fast as {row.against}", gain),
        Signal(name=f"over.{row.strategy}", unit="", source=SOURCE, value=row.against),
        Signal(
            name=f"over_share.{row.strategy}",
            unit=f"of the step of {baseline.strategy}",
            source=SOURCE,
            value=share_of_baseline_step,
            missing=None
            if share_of_baseline_step is not None
            else f"{row.against} was not compared with {baseline.strategy}",
        ),
    )


def _interval_signal(name: str, unit: str, interval: Interval) -> Signal:
    return Signal(
        name=name, unit=unit, source=SOURCE, value=interval.value, low=interval.low, high=interval.high, n=interval.n
    )
