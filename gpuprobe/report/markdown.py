"""The report as Markdown: the answer first, then the search, the ranking, the reasons, and how to get it again."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from gpuprobe import wording
from gpuprobe.evidence.whole_run import RunBreakdown, breakdown_of_run
from gpuprobe.recording import STEP_FILE
from gpuprobe.report import (
    backends,
    breakdown,
    cells,
    meters,
    prediction_cells,
    scaling,
    scaling_words,
    story,
    whole_run,
)
from gpuprobe.report.categories import CATEGORIES
from gpuprobe.report.page import filled
from gpuprobe.report.verdict import verdict
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ranking.load import Loaded
    from gpuprobe.report.answer import Answer
    from gpuprobe.report.charts import Chart

# The parts that a page shows unfolded.
OPENED = ("Where the step went", "From one device to several")


def render(loaded: Loaded, answer: Answer, charts: Sequence[Chart]) -> str:
    """Return `report.md`, with the charts named by their files, relative to the study's folder."""
    study, ranking = loaded.study, loaded.ranking
    ranked, _ = cells.ranking_table(ranking, cells.RANKED)
    used, dropped = cells.ranking_table(ranking, cells.USED)
    ledger = breakdown.strategy_shares_table([row for row in ranking.rows if row.breakdown is not None])
    best = ranking.rows[0] if ranking.rows else None
    baseline = ranking.row(ranking.baseline)
    metered = [row for row in (baseline, best if best is not baseline else None) if row is not None]
    by_backend, why_backend = backends.step_by_backend(ranking)
    context: dict[str, Any] = {
        "study": study,
        "ranking": ranking,
        "verdict": verdict(loaded),
        "rows": ranked,
        "used": used,
        "dropped": dropped,
        "stories": [story.story_of(search, ranking) for search in ranking.searches],
        "by_backend": by_backend,
        "why_backend": why_backend,
        "scaling": ranking.scaling,
        "scaled": scaling,
        "scaled_words": scaling_words,
        "ledger": ledger,
        "categories": [(name, CATEGORIES[name].meaning) for name in ledger[0][2:]] if ledger else [],
        "meters": meters.meters_table({row.strategy: row.meters for row in metered}),
        "meters_explained": f"{baseline.strategy}: {meters.meters_explained(baseline.meters)}" if baseline else "",
        "task_manager": meters.task_manager(baseline.meters) if baseline else "",
        "whole_runs": whole_run.run_parts_table(_first_runs(loaded)),
        "predictions": prediction_cells.predictions(ranking),
        "scorecard": prediction_cells.scorecard(ranking),
        "details": [cells.strategy_details(row, ranking, study) for row in ranking.rows],
        "made": datetime.fromtimestamp(study.created_ns / NS_PER_S, timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "answer": answer,
        "looks": _pages_of_answer(loaded),
        "charts": {chart.name: chart for chart in charts},
        "traces": cells.traced_runs(loaded),
        "step_pages": cells.step_pages(loaded),
        "wording": wording,
        "evidence": cells.evidence_line,
        "faults": study.request.inject,
    }
    return filled("report.md.jinja", **context)


def _pages_of_answer(loaded: Loaded) -> list[tuple[str, str]]:
    """Return (strategy, address) of the pages of a step to look into: the baseline's and that of the fastest."""
    fastest_row = loaded.ranking.fastest
    page_by_strategy: dict[str, str] = {}
    for path, run in loaded.runs.items():
        if (path / STEP_FILE).is_file():
            step_page = (path / STEP_FILE).relative_to(loaded.folder).as_posix()
            page_by_strategy.setdefault(run.spec.strategy, quote(step_page))
    strategies = [loaded.ranking.baseline, fastest_row.strategy if fastest_row else None]
    return [
        (strategy, page_by_strategy[strategy])
        for strategy in strategies
        if strategy is not None and strategy in page_by_strategy
    ]


def _first_runs(loaded: Loaded) -> dict[str, RunBreakdown]:
    """Return where the wall time of each strategy's first run went."""
    first_runs: dict[str, RunBreakdown] = {}
    for run in loaded.runs.values():
        run_breakdown = breakdown_of_run(run)
        if run_breakdown is not None:
            first_runs.setdefault(run.spec.strategy, run_breakdown)
    return first_runs
