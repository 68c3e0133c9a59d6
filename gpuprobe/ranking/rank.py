"""Ranks the runs of a study, as a pure function of the records."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.ranking import spread, telemetry_notes
from gpuprobe.ranking.baseline_case import baseline_case
from gpuprobe.ranking.comparisons import Comparisons
from gpuprobe.ranking.disturbances import disturbances_of
from gpuprobe.ranking.ranking import Failure, Ranking
from gpuprobe.ranking.rows import Key, baseline_of, rates_of, rows_of, runs_of
from gpuprobe.ranking.scaling_parts import scaling_of
from gpuprobe.ranking.scorecard import scorecard
from gpuprobe.thresholds import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpuprobe.ranking.traced import Traced
    from gpuprobe.records import Evidence, Run, Study
    from gpuprobe.telemetry import TelemetrySummary
    from gpuprobe.thresholds import Thresholds


def rank(
    study: Study,
    runs: Sequence[Run],
    telemetry: Mapping[Key, TelemetrySummary],
    traces: Mapping[str, Traced] | None = None,
    readings: Mapping[str, Evidence | None] | None = None,
    limits: Thresholds = DEFAULTS,
) -> Ranking:
    """Rank all strategies with at least one finished run, and diagnose the baseline.

    `telemetry` covers the timed windows, by run. `traces` and `readings` are by strategy; where the baseline has a
    trace, its readings are those of the traced run. Nothing is read or written.
    """
    traces, rates = traces or {}, rates_of(runs)
    rows, baseline_name = rows_of(study, runs, telemetry, traces), baseline_of(study, rates)
    baseline = next((row for row in rows if row.strategy == baseline_name), None)
    evidence = baseline_case(study, runs, rows, baseline, traces, readings or {}) if baseline else None
    diagnosis = diagnose(evidence, limits) if evidence else None
    replays = {name: traced.replay for name, traced in traces.items() if traced.replay}
    known_readings = [evidence for evidence in (readings or {}).values() if evidence is not None]
    compared = Comparisons.of(runs, baseline_name)
    return Ranking(
        study=study.name,
        baseline=baseline_name,
        rows=rows,
        failures=_failures([run for run in runs if run.outcome.state != "skipped"], rates),
        skipped=_failures([run for run in runs if run.outcome.state == "skipped"], rates),
        not_run=tuple(info.name for info in study.strategies if not runs_of(runs, info.name)),
        scaling=scaling_of(study, rows, compared, {name: trace.breakdown for name, trace in traces.items()}),
        findings=diagnosis.findings if diagnosis else (),
        not_evaluated=diagnosis.not_evaluated if diagnosis else (),
        scorecard=scorecard(study.strategies, rows, replays),
        predictions=replays[baseline_name].predictions if baseline_name in replays else (),
        agreement=diagnosis.agreement if diagnosis else "",
        disputed=diagnosis is not None and diagnosis.disputed,
        resolution=compared.resolution(),
        disturbances=disturbances_of(runs, known_readings),
        notes=(
            *study.notes,
            *_failed_after_window_notes(runs),
            *_repetition_notes(study, rates, compared),
            *telemetry_notes.notes(telemetry, study.environment.no_gpu),
        ),
    )


def _failures(runs: Sequence[Run], rates: spread.Rates) -> tuple[Failure, ...]:
    without_rate = [run for run in runs if run.spec.round not in rates.get(run.spec.strategy, {})]
    return tuple(
        Failure(
            strategy=run.spec.strategy,
            round=run.spec.round,
            state="failed" if run.outcome.state == "done" else run.outcome.state,
            message=run.outcome.message or "its window holds too few steps for a rate",
        )
        for run in without_rate
    )


def _failed_after_window_notes(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return notes on runs that failed after their window, which still count, unless the user stopped the study."""
    failed_after_window = [run for run in runs if run.is_measured and run.outcome.state not in {"done", "interrupted"}]
    return tuple(
        f"`{run.spec.strategy}`, round {run.spec.round}, failed after its timed window ({run.outcome.message}): "
        "what it measured until then counts."
        for run in failed_after_window
    )


def _repetition_notes(study: Study, rates: spread.Rates, compared: Comparisons) -> tuple[str, ...]:
    """Return a note on what the intervals lack where strategies ran only once; a combining one always does."""
    combining = {info.name for info in study.strategies if info.combines}
    single_rates = {name: by_round for name, by_round in rates.items() if name not in combining}
    repeated = [name for name, by_round in single_rates.items() if len(by_round) > 1]
    if len(repeated) == len(single_rates):
        return ()
    only_first_repeated, asked_once = repeated == [compared.baseline], study.request.rounds < 2
    advice = " Two rounds or more (--rounds 2) show smaller differences." if asked_once else ""
    if any(compared.took_turns(name, compared.baseline) for name in rates if name != compared.baseline):
        how_often = f"{len(single_rates) - len(repeated)} of {len(single_rates)} strategies ran once"
        if not repeated:
            how_often = "Each strategy ran once"
        elif only_first_repeated:
            how_often = "The first strategy ran twice or more, the others once"
        return (f"{how_often}: how much two processes of one strategy differ is in part an assumption.{advice}",)
    if not repeated:
        advice = " Two rounds or more (--rounds 2) show that." if asked_once else ""
        return (
            "Each strategy ran once: the intervals cover the spread within a run, not the difference between two equal "
            f"runs.{advice}",
        )
    if only_first_repeated:
        first_rates = single_rates[repeated[0]]
        log_rate_before, log_rate_after = (first_rates[number].log_rate for number in sorted(first_rates)[:2])
        return (
            f"Each strategy ran once, and the first once more: its rate had changed by "
            f"{100 * abs(math.expm1(log_rate_after - log_rate_before)):.0f} %, which the intervals include.{advice}",
        )
    return ()
